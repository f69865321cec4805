// Named places where a test makes the process die, stall or fail. Costs one relaxed load when
// nothing is armed.
//
//   TRAINYARD_FAULT_POINT("journal.before_sync");
//
// Armed from the environment at first use: TRAINYARD_FAULTS="name=exit@3,other=stall:500@1" means:
// at the 3rd pass of `name` the process ends as by SIGKILL; at the 1st pass of `other` the thread
// sleeps 500 ms. Thread-safe.
#ifndef TRAINYARD_COMMON_FAULT_POINT_H_
#define TRAINYARD_COMMON_FAULT_POINT_H_

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace trainyard::fault {

extern std::atomic<bool> g_armed;
void Pass(absl::string_view name);
// Replaces what is armed; `text` as in TRAINYARD_FAULTS, empty disarms. For tests.
void Arm(absl::string_view text);
// Names passed since the process began (only while armed), for tests that walk every point.
std::vector<std::string> Seen();

}  // namespace trainyard::fault

#define TRAINYARD_FAULT_POINT(name)                                    \
  do {                                                                 \
    if (::trainyard::fault::g_armed.load(std::memory_order_relaxed)) { \
      ::trainyard::fault::Pass(name);                                  \
    }                                                                  \
  } while (false)

#endif  // TRAINYARD_COMMON_FAULT_POINT_H_
