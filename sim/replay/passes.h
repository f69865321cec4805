// The policies of the replay, each made by name. Internal to the replay.
#ifndef TRAINYARD_SIM_REPLAY_PASSES_H_
#define TRAINYARD_SIM_REPLAY_PASSES_H_

#include <memory>

#include "scheduler/placement/policy.h"
#include "sim/replay/engine.h"

namespace trainyard::replay {

std::unique_ptr<Pass> MakeFifoPass();
// By (duration x GPUs) when `by_size` (sjf), else in queue order.
std::unique_ptr<Pass> MakeSkipPass(bool by_size);
std::unique_ptr<Pass> MakeEasyPass();
std::unique_ptr<Pass> MakeSrsfPass(const Options& options);
// `submit_order` inside a level (lasfifo) instead of running first.
std::unique_ptr<Pass> MakeLasPass(const Options& options, bool submit_order);

// Under a policy of the scheduler, by its planner.
Outcome ReplayWithPlanner(const std::vector<TraceJob>& trace, const Options& options,
                          const placement::Policy& policy);

}  // namespace trainyard::replay

#endif  // TRAINYARD_SIM_REPLAY_PASSES_H_
