// Why a run waits, in words that are true of the snapshot they were made from. Pure.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_EXPLAIN_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_EXPLAIN_H_

#include <string>

#include "scheduler/placement/placement.h"
#include "scheduler/placement/room.h"

namespace trainyard::placement {

// "4 ranks of 2 GPUs (A100) and 1 core each", "1 core and 256 MiB".
std::string DescribeNeeds(const WaitingRun& run);

// What is short in `room` for the run: "needs 8 GPUs on one node, largest free is 4". `empty`: the
// room is that of the empty cluster.
std::string DescribeShortage(const WaitingRun& run, const Room& room, bool empty);

// Sets reason, message and counterfactuals of a run for which no place was found in `now`. True
// when it could start on the empty schedulable nodes: then it blocks those behind it.
bool ExplainRefusal(const Snapshot& snapshot, const WaitingRun& run, const Room& now,
                    Explanation* explanation);

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_EXPLAIN_H_
