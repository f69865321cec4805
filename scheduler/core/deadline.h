// When a run needs a look although nothing happened: end of max_wait, of back-off, of preparation,
// of the time limit, of the grace, of the wait for late measurements. One time per run, kept in an
// ordered index, so that a tick looks at due runs alone.
//
// Limits on an attempt count from when the scheduler was up to watch it: after a restart each
// begins anew in full, so that downtime never counts against an attempt.
#ifndef TRAINYARD_SCHEDULER_CORE_DEADLINE_H_
#define TRAINYARD_SCHEDULER_CORE_DEADLINE_H_

#include <cstdint>

#include "scheduler/core/rows.h"

namespace trainyard::core {

inline constexpr int64_t kNever = INT64_MAX;

// What a deadline means; in the order in which they are acted upon when several are due.
enum class Due {
  kNothing,
  kMaxWait,      // waited too long for a place
  kReady,        // back-off is over
  kMissing,      // a member did not turn up again after its agent came back
  kNotPrepared,  // staging or start took too long
  kTimeLimit,    // the program ran too long
  kNotStopped,   // grace and publishing are over
  kSettled,      // no later measurement will come
};
struct Deadline {
  int64_t time_us = kNever;
  Due due = Due::kNothing;
};
Deadline DeadlineOf(const Rows& rows, const records::RunRow& run);

// Limits of a spec, micros, defaults filled in.
int64_t GraceUs(const v1::Scheduling& scheduling);
int64_t StagingUs(const v1::Scheduling& scheduling);
int64_t PublishUs(const v1::Scheduling& scheduling);
int64_t TimeoutUs(const v1::Scheduling& scheduling);
int64_t StopAfterUs(const v1::Scheduling& scheduling);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_DEADLINE_H_
