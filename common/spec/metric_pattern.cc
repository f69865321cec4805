// See metric_pattern.h.
#include "common/spec/metric_pattern.h"

#include <re2/re2.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"

namespace trainyard::spec {
namespace {

constexpr int64_t kMemoryMax = 1 << 20;

// Python, PCRE and Go write (?<name>...) too; RE2 of Debian 12 knows (?P<name>...) only.
std::string WithNamedGroups(const std::string& pattern) {
  std::string out;
  bool escaped = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    out += pattern[i];
    const bool group = !escaped && pattern.compare(i, 3, "(?<") == 0 && i + 3 < pattern.size() &&
                       pattern[i + 3] != '=' && pattern[i + 3] != '!';
    escaped = !escaped && pattern[i] == '\\';
    if (!group) continue;
    out += "?P";
    ++i;
  }
  return out;
}

absl::Status Bad(absl::string_view why) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "BAD_VALUE", absl::StrCat("the expression ", why),
      "write one group for the value, as in accuracy=([0-9.]+), or groups for name and value; "
      "expressions are RE2's, which has no look-ahead and no back references",
      "metrics.regex");
}

}  // namespace

absl::StatusOr<MetricPattern> CompileMetricPattern(const std::string& pattern, bool has_study) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMemoryMax);
  auto expression = std::make_shared<RE2>(WithNamedGroups(pattern), options);
  if (!expression->ok()) return Bad(absl::StrCat("is wrong: ", expression->error()));
  const int count = expression->NumberOfCapturingGroups();
  const auto& named = expression->NamedCapturingGroups();
  const auto group = [&named](const char* name) {
    const auto found = named.find(name);
    return found == named.end() ? 0 : found->second;
  };
  MetricPattern out;
  out.expression = expression;
  out.name = group("name");
  out.value = group("value");
  out.step = group("step");
  if (out.name + out.value + out.step == 0 && (count == 1 || count == 2)) {
    out.name = count - 1;
    out.value = count;
  }
  if (count == 0) return Bad("has no group");
  if (out.value == 0 && count == 1) out.value = 1;
  if (out.value == 0) return Bad("does not say which of its groups is the value");
  if (out.name == 0 && !has_study) {
    return Bad("has no group for the name, and there is no study whose metric it could be");
  }
  return out;
}

}  // namespace trainyard::spec
