// Elastic jobs: with minReplicas in its spec a job goes on with fewer replicas when no more can be
// had, from its last checkpoint, and grows again when there is room. That it may start with fewer
// is checked when it is placed (place.cc); this is the growing. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_ELASTIC_H_
#define TRAINYARD_SCHEDULER_CORE_ELASTIC_H_

#include "scheduler/core/draft.h"

namespace trainyard::core {

int32_t CountRanks(const records::AttemptRow& attempt);

// Whether the run's attempt has fewer ranks than its spec asks for.
bool IsShort(const records::RunRow& run, const v1::JobSpec& spec);

// Room may have appeared: a node came or took work again, or something was released. Each running
// attempt that is short, and for which one more replica fits now, within its quota's limits and the
// topology it requires, is asked to stop with its grace and to go on larger. While anything waits
// that could start if it had the room nothing grows. O(active runs), and while there are short ones
// O(waiting runs x nodes).
void ConsiderGrowth(Draft* draft);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_ELASTIC_H_
