// What is said about a rank that does not come: how long the others wait, what its process is
// doing, on which node. Thread-safe.
#ifndef TRAINYARD_WORKER_TRAINING_HANG_H_
#define TRAINYARD_WORKER_TRAINING_HANG_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard::training {

// How long ranks wait for one of them in one collective: TRAINYARD_HANG_TIMEOUT in seconds, 0 for
// ever; 10 minutes when it is unset or no number.
absl::Duration HangTimeout();

// "stopped by a signal", "running", "asleep in futex_wait"; "" when the process is not to be seen.
std::string DescribeProcess(pid_t pid);

// The host's name.
std::string NodeName();

// TIMED_OUT in the words that supervisors know as a hang: "hang: rank 1 on node a (stopped by a
// signal) has not come to barrier for 5.0 s, since 12:00:05 UTC".
absl::Status Hang(absl::string_view who, absl::string_view where, absl::Duration waited);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_HANG_H_
