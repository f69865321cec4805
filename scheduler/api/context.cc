// See context.h.
#include "scheduler/api/context.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/sha256.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace trainyard::api {
namespace {

std::string Deterministic(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace

absl::StatusOr<int> PageSize(int asked) {
  if (asked < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     absl::StrCat("page_size ", asked, " is negative"),
                     "leave it out, or give 1 to 1000", "page_size");
  }
  return asked == 0 ? kPageDefault : std::min(asked, kPageMax);
}

absl::StatusOr<uint64_t> PageStart(absl::string_view token) {
  uint64_t start = 0;
  if (token.empty() || absl::SimpleAtoi(token, &start)) return start;
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                   absl::StrCat("page_token \"", token, "\" was not given by this server"),
                   "use next_page_token of the page before, or leave it out", "page_token");
}

core::Command MakeCommand(const core::Principal& principal, absl::string_view request_id,
                          const google::protobuf::Message& request, core::CommandBody body) {
  core::Command command;
  command.principal = principal;
  command.body = std::move(body);
  if (request_id.empty()) return command;
  command.request_id = std::string(request_id);
  std::unique_ptr<google::protobuf::Message> copy(request.New());
  copy->CopyFrom(request);
  if (const auto* field = copy->GetDescriptor()->FindFieldByName("request_id"); field != nullptr) {
    copy->GetReflection()->ClearField(copy.get(), field);
  }
  command.body_hash =
      Sha256Of(absl::StrCat(copy->GetDescriptor()->full_name(), "\n", Deterministic(*copy)));
  return command;
}

absl::StatusOr<std::string> ProjectOf(absl::string_view parent) {
  if (parent.empty()) return std::string("default");
  return ParseProject(parent);
}

namespace {

// The command that lists things of the kind.
std::string WhereListed(absl::string_view what, absl::string_view name) {
  if (what == "node") return "nodes";
  if (what == "study") return "study list";
  if (what == "queue" || absl::StartsWith(name, "queues/")) return "queues list";
  if (what == "quota" || absl::StartsWith(name, "quotas/")) return "quota list";
  if (absl::StartsWith(name, "reservations/")) return "reservations list";
  if (what != "trial") return "jobs list";
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  return parts.size() > 3 ? absl::StrCat("study trials ", parts[3]) : "study trials STUDY";
}

}  // namespace

absl::Status NotFound(absl::string_view what, absl::string_view name) {
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("there is no ", what, " \"", name, "\""),
                   absl::StrCat("list what there is: trainyard ", WhereListed(what, name)));
}

absl::Status CheckProject(const runtime::View& view, const std::string& project) {
  std::vector<std::string> names;
  for (const journal::v1::ProjectRow& row : view.Projects()) names.push_back(row.project_id());
  const bool there = std::find(names.begin(), names.end(), project) != names.end();
  if (project.empty() || there) return absl::OkStatus();
  const std::string nearest = NearestName(project, names);
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("there is no project ", project),
                   nearest.empty() ? "see which there are: trainyard projects"
                                   : absl::StrCat("did you mean ", nearest, "?"));
}

namespace {

constexpr int kNamesComparedMax = 2000;

// NOT_FOUND with the nearest of the project's newest names.
absl::Status NoSuchJob(const runtime::View& view, const JobName& name) {
  if (absl::Status status = CheckProject(view, name.project); !status.ok()) return status;
  std::vector<std::string> names;
  for (const core::JobPtr& job : view.Jobs(name.project, 0, kNamesComparedMax)) {
    names.push_back(job->job_id());
  }
  const std::string nearest = NearestName(name.job, names);
  if (nearest.empty()) return NotFound("job", FormatJob(name.project, name.job));
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("there is no job \"", FormatJob(name.project, name.job), "\""),
                   absl::StrCat("did you mean \"", nearest, "\"? All: trainyard jobs list"));
}

}  // namespace

absl::StatusOr<core::JobPtr> FindJob(const Context& context, const core::Principal& principal,
                                     core::Action action, absl::string_view name) {
  absl::StatusOr<JobName> parsed = ParseJob(name);
  if (!parsed.ok()) return parsed.status();
  const runtime::View& view = context.runtime->view();
  core::JobPtr job = view.JobByName(parsed->project, parsed->job);
  const std::string owner = job == nullptr ? "" : job->principal();
  if (absl::Status status = core::CheckAccess(principal, action, parsed->project, owner);
      !status.ok()) {
    return status;
  }
  if (job == nullptr) return NoSuchJob(view, *parsed);
  return job;
}

absl::StatusOr<core::StudyPtr> FindStudy(const Context& context, const core::Principal& principal,
                                         core::Action action, absl::string_view name) {
  absl::StatusOr<JobName> parsed = ParseStudy(name);
  if (!parsed.ok()) return parsed.status();
  const runtime::View& view = context.runtime->view();
  core::StudyPtr study = view.StudyByName(parsed->project, parsed->job);
  const core::JobPtr job = study == nullptr ? nullptr : view.Job(study->job_uid());
  const std::string owner = job == nullptr ? "" : job->principal();
  if (absl::Status status = core::CheckAccess(principal, action, parsed->project, owner);
      !status.ok()) {
    return status;
  }
  if (study == nullptr || study->deleted()) {
    const absl::Status status = CheckProject(view, parsed->project);
    return status.ok() ? NotFound("study", name) : status;
  }
  return study;
}

absl::StatusOr<FoundTrial> FindTrial(const Context& context, const core::Principal& principal,
                                     core::Action action, absl::string_view name) {
  absl::StatusOr<TrialName> parsed = ParseTrial(name);
  if (!parsed.ok()) return parsed.status();
  absl::StatusOr<core::StudyPtr> study =
      FindStudy(context, principal, action, FormatStudy(parsed->project, parsed->study));
  if (!study.ok()) return study.status();
  FoundTrial found{*study, context.runtime->view().Trial((*study)->uid(), parsed->trial)};
  if (found.trial == nullptr) return NotFound("trial", name);
  return found;
}

}  // namespace trainyard::api
