// The invariants of core.h, for who checks them after every event. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_INVARIANTS_H_
#define TRAINYARD_SCHEDULER_CORE_INVARIANTS_H_

#include <string>
#include <vector>

#include "scheduler/core/state.h"

namespace trainyard::core {

// CheckInvariants without what only a look into every trial that has ended can tell: those rows are
// packed and do not change any more.
std::vector<std::string> CheckOpenInvariants(const State& state);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_INVARIANTS_H_
