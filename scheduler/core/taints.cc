// See taints.h.
#include "scheduler/core/taints.h"

namespace trainyard::core {

TaintWords TaintOf(absl::string_view text) {
  const size_t end = text.find('=');
  if (end == absl::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, end)), std::string(text.substr(end + 1))};
}

TaintWords TolerationOf(absl::string_view text) {
  TaintWords words = TaintOf(text);
  if (words.key == "*") words.key.clear();
  return words;
}

bool Tolerates(absl::string_view toleration, absl::string_view taint) {
  const TaintWords by = TolerationOf(toleration);
  const TaintWords of = TaintOf(taint);
  return (by.key.empty() || by.key == of.key) && (by.value.empty() || by.value == of.value);
}

}  // namespace trainyard::core
