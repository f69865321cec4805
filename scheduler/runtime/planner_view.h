// The state as placement sees it: a run that waits, a run that holds something, quotas,
// reservations. Plain conversions, without a memory of their own. Owner thread.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_PLANNER_VIEW_H_
#define TRAINYARD_SCHEDULER_RUNTIME_PLANNER_VIEW_H_

#include <vector>

#include "scheduler/core/state.h"
#include "scheduler/placement/placement.h"

namespace trainyard::runtime {

// What the ranks of a job need, by rank; evaluator pools take no part.
std::vector<placement::RankNeeds> NeedsOf(const trainyard::v1::JobSpec& spec);

// Room, labels and taints of a node on which nothing runs.
placement::NodeView EmptyNode(const journal::v1::AgentRow& agent);

// Whether the run is to be placed at all: not on hold, waiting for no job, in a queue that starts
// jobs.
bool MayStart(const core::State& state, const journal::v1::JobRow& job,
              const trainyard::v1::JobSpec& spec);

// Its priority, that of its queue added.
int32_t PriorityWithQueue(const core::State& state, const journal::v1::JobRow& job,
                          const trainyard::v1::JobSpec& spec);

placement::WaitingRun WaitingOf(const core::State& state, const journal::v1::RunRow& run,
                                const journal::v1::JobRow& job, const trainyard::v1::JobSpec& spec);
// Also of a run that has ended and whose members are not gone yet.
placement::RunningRun RunningOf(const core::State& state, const journal::v1::RunRow& run,
                                const journal::v1::JobRow& job, const trainyard::v1::JobSpec& spec,
                                int64_t now_us);

std::vector<placement::QuotaNode> QuotasOf(const core::State& state);
// Of people, not of plans.
std::vector<placement::Reservation> ReservationsOf(const core::State& state);

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_PLANNER_VIEW_H_
