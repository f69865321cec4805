// Names of jobs: made up, and free ones near a taken one. See job_machine.h.
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "scheduler/core/job_machine.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

constexpr size_t kBaseMax = 100;
constexpr int kTries = 50;

// A letter, then letters, digits, '_' or '-', of whatever people wrote.
std::string BaseOf(const v1::JobSpec& spec) {
  absl::string_view source = spec.display_name();
  if (source.empty()) source = spec.program().python_module();
  if (source.empty() && !spec.program().command().empty()) source = spec.program().command(0);
  if (const size_t slash = source.rfind('/'); slash != absl::string_view::npos) {
    source.remove_prefix(slash + 1);
  }
  std::string base;
  for (const char c : source.substr(0, kBaseMax)) {
    const bool keep = absl::ascii_isalnum(c) || c == '_' || c == '-';
    if (keep && (!base.empty() || absl::ascii_isalpha(c))) {
      base += c;
    } else if (!base.empty() && base.back() != '-') {
      base += '-';
    }
  }
  while (!base.empty() && base.back() == '-') base.pop_back();
  return base.empty() ? "job" : base;
}

}  // namespace

bool IsNameTaken(absl::string_view project, absl::string_view name, const State& state) {
  const ShortId key = NameKey(project, name);
  return state.job_by_name.contains(key) || state.study_by_name.contains(key) ||
         state.old_names.contains(NameHash(absl::StrCat(project, "/", name)));
}

std::string FreeNameLike(absl::string_view project, absl::string_view name, uint64_t uid,
                         const State& state) {
  const absl::string_view base = name.substr(0, kBaseMax);
  for (int i = 2; i < kTries; ++i) {
    const std::string candidate = absl::StrCat(base, "-", i);
    if (!IsNameTaken(project, candidate, state)) return candidate;
  }
  return absl::StrCat(base, "-", uid, "-", state.sequence);
}

std::string MadeUpName(absl::string_view project, const v1::JobSpec& spec, uint64_t uid,
                       const State& state) {
  const std::string name = absl::StrCat(BaseOf(spec), "-", uid);
  return IsNameTaken(project, name, state) ? FreeNameLike(project, name, uid, state) : name;
}

}  // namespace trainyard::core
