// Taints of nodes and what tolerates them: "key" or "key=value", read in one way by the planner and
// by the core, so that one does not place what the other refuses. Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_CORE_TAINTS_H_
#define TRAINYARD_SCHEDULER_CORE_TAINTS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace trainyard::core {

struct TaintWords {
  std::string key;    // of a toleration: empty for every taint
  std::string value;  // of a toleration: empty for every value of the key
};

// The halves of "key=value"; "key" and "key=" have no value.
TaintWords TaintOf(absl::string_view text);
// The same of a toleration, of which "*" stands for every taint.
TaintWords TolerationOf(absl::string_view text);
// Whether a job with the toleration does not mind the taint; both as they are written.
bool Tolerates(absl::string_view toleration, absl::string_view taint);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_TAINTS_H_
