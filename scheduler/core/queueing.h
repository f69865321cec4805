// A job's place in the queue as it is now: what its spec says, what was changed since, and what its
// queue adds. Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_CORE_QUEUEING_H_
#define TRAINYARD_SCHEDULER_CORE_QUEUEING_H_

#include <string>

#include "scheduler/core/rows.h"

namespace trainyard::core {

inline constexpr int32_t kPriorityMax = 1000;
inline constexpr int kDependenciesMax = 100;

int32_t PriorityOf(const records::JobRow& job, const v1::JobSpec& spec);
bool IsOnHold(const records::JobRow& job, const v1::JobSpec& spec);
const std::string& QueueOf(const records::JobRow& job, const v1::JobSpec& spec);
// 0: for ever.
int64_t MaxWaitUs(const records::JobRow& job, const v1::JobSpec& spec);
// From running; seven days where nobody said anything.
int64_t TimeLimitUs(const records::JobRow& job, const v1::JobSpec& spec);
// Not to be placed whatever is free: on hold, or another job has to end first.
bool IsBlocked(const records::JobRow& job, const v1::JobSpec& spec);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_QUEUEING_H_
