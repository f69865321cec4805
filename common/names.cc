// See names.h.
#include "common/names.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"

namespace trainyard {
namespace {

constexpr size_t kIdBytesMax = 128;

absl::Status BadName(absl::string_view name, absl::string_view expected) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_NAME",
                   absl::StrCat("\"", name, "\" is no valid name"),
                   absl::StrCat("write it as ", expected), "name");
}

// Splits "a/X/b/Y" into {X, Y} when the fixed parts match.
bool Match(absl::string_view name, const std::vector<absl::string_view>& kinds,
           std::vector<std::string>* ids) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != kinds.size() * 2) return false;
  for (size_t i = 0; i < kinds.size(); ++i) {
    if (parts[2 * i] != kinds[i] || parts[2 * i + 1].empty()) return false;
    ids->emplace_back(parts[2 * i + 1]);
  }
  return true;
}

}  // namespace

std::string FormatProject(absl::string_view project) { return absl::StrCat("projects/", project); }
std::string FormatJob(absl::string_view project, absl::string_view job) {
  return absl::StrCat("projects/", project, "/jobs/", job);
}
std::string FormatStudy(absl::string_view project, absl::string_view study) {
  return absl::StrCat("projects/", project, "/studies/", study);
}
std::string FormatTrial(absl::string_view project, absl::string_view study, int32_t trial) {
  return absl::StrCat(FormatStudy(project, study), "/trials/", trial);
}
std::string FormatNode(absl::string_view node) { return absl::StrCat("nodes/", node); }

absl::StatusOr<std::string> ParseProject(absl::string_view name) {
  std::vector<std::string> ids;
  if (!Match(name, {"projects"}, &ids)) return BadName(name, "projects/PROJECT");
  return ids[0];
}
absl::StatusOr<JobName> ParseJob(absl::string_view name) {
  std::vector<std::string> ids;
  if (!Match(name, {"projects", "jobs"}, &ids)) return BadName(name, "projects/PROJECT/jobs/JOB");
  return JobName{ids[0], ids[1]};
}
absl::StatusOr<JobName> ParseStudy(absl::string_view name) {
  std::vector<std::string> ids;
  if (!Match(name, {"projects", "studies"}, &ids)) {
    return BadName(name, "projects/PROJECT/studies/STUDY");
  }
  return JobName{ids[0], ids[1]};
}
absl::StatusOr<TrialName> ParseTrial(absl::string_view name) {
  std::vector<std::string> ids;
  int32_t trial = 0;
  if (!Match(name, {"projects", "studies", "trials"}, &ids) || !absl::SimpleAtoi(ids[2], &trial) ||
      trial < 1) {
    return BadName(name, "projects/PROJECT/studies/STUDY/trials/NUMBER");
  }
  return TrialName{ids[0], ids[1], trial};
}
absl::StatusOr<std::string> ParseNode(absl::string_view name) {
  std::vector<std::string> ids;
  if (!Match(name, {"nodes"}, &ids)) return BadName(name, "nodes/NODE");
  return ids[0];
}

absl::Status CheckId(absl::string_view what, absl::string_view id) {
  bool good = !id.empty() && id.size() <= kIdBytesMax &&
              absl::ascii_isalpha(static_cast<unsigned char>(id[0]));
  for (char c : id) {
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-');
  }
  if (good) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_NAME",
                   absl::StrCat(what, " \"", id, "\" is not allowed"),
                   "use a letter, then letters, digits, '_' or '-', at most 128 characters", what);
}

}  // namespace trainyard
