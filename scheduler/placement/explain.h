// Why runs wait, in words that are true of the plan they were made with. See explain.cc.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_EXPLAIN_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_EXPLAIN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/placement/planner.h"

namespace trainyard::placement {

// "4 ranks of 2 GPUs (A100) and 1 core each", "1 core and 256 MiB".
std::string DescribeNeeds(const WaitingRun& run);

// Explains the runs that wait after planner.Decide(): reason, message, position, who is ahead and
// when it may start. Runs of equal chance share one finding, so that all of a long queue costs
// little.
class Explainer {
 public:
  Explainer(Planner* planner, const Snapshot& snapshot);
  std::vector<Explanation> All();

 private:
  struct Finding {
    std::string reason;
    std::string message;
    bool blocks = false;  // it could start on the nodes that take work: it stands in the way
  };
  // Shape, leaf of the quota tree, time limit, preemptible, priority.
  using Chance = std::tuple<int32_t, int32_t, int64_t, bool, int32_t>;
  struct Place {
    int32_t index;
    const WaitingRun* run;
  };
  const Finding& FindingOf(const Place& place);
  Finding Judge(const Place& place);
  Finding JudgeQuota(const Place& place);
  Finding JudgeRoom(const Place& place, const std::vector<int32_t>& models);
  std::string Shortage(const WaitingRun& run, const Shape& shape, const Cluster& room,
                       bool empty) const;
  std::string ClosedNodes() const;
  std::string DescribeKept(int32_t index) const;
  // Nothing runs and all nodes take work; nothing runs; as it is; as it is without claims.
  enum class Scene { kEverywhere, kReachable, kNow, kUnheld };
  Cluster& View(Scene scene, bool windows);
  bool Holds(Scene scene, bool windows, const Shape& shape, const Terms& terms);

  Planner* const planner_;
  const Snapshot& snapshot_;
  absl::flat_hash_map<uint64_t, const WaitingRun*> waiting_;
  std::map<Chance, Finding> findings_;
  std::map<std::pair<Scene, bool>, std::unique_ptr<Cluster>> views_;
};

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_EXPLAIN_H_
