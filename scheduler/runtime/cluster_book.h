// Free room of every node and the queue in order, kept up to date from changed rows, so that a
// snapshot for placement costs what is waiting in front and not what is in the whole state. Owner
// thread.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_CLUSTER_BOOK_H_
#define TRAINYARD_SCHEDULER_RUNTIME_CLUSTER_BOOK_H_

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "scheduler/core/command.h"
#include "scheduler/core/state.h"
#include "scheduler/placement/placement.h"

namespace trainyard::runtime {

class ClusterBook {
 public:
  // Fills an empty book from all rows.
  void Fill(const core::State& state);
  // Brings the book up to date with the rows `touched` names.
  void Update(const core::State& state, const core::Touched& touched);
  // Takes runs that no reachable node could hold out of the queue until a node changes, so that
  // they do not stand in the way of those behind them. `version`: of the book when that was found;
  // nothing happens when nodes changed since.
  void Park(const std::vector<uint64_t>& run_uids, uint64_t version);
  // Whether the node's agent has a session now; a node without one takes no work.
  void SetLinked(const std::string& node_id, bool linked);

  // At most `most` waiting runs, in order; held and parked ones are left out. `truncated` when
  // there are more.
  placement::Snapshot Snapshot(const core::State& state, size_t most, int64_t now_us,
                               bool* truncated) const;
  size_t waiting() const { return order_.size(); }
  // Whether the run is in the queue: not held, not parked.
  bool Waits(uint64_t run_uid) const;
  bool linked(const std::string& node_id) const;
  size_t nodes() const { return nodes_.size(); }
  // Rises when room was freed, a node came, or the queue changed: when a new plan may differ.
  uint64_t version() const { return version_; }
  // Rises when nodes, quotas, queues or reservations changed.
  uint64_t nodes_version() const { return nodes_version_; }

  // The command that carries a plan out: nodes, ranks and devices; the core fills in the rest.
  // `epochs`: of the attempts that the plan saw, by run, so that a later one is not stopped for it.
  using Epochs = std::map<uint64_t, uint64_t>;
  static core::ApplyPlan PlanCommand(const placement::Plan& plan, const Epochs& epochs);

 private:
  using Order = std::tuple<int64_t, int64_t, uint64_t>;  // -priority, queued_us, run uid
  struct Held {
    std::string node_id;
    int64_t cpu_milli = 0;
    int64_t memory_bytes = 0;
    std::vector<std::string> device_uuids;
    int32_t gpu_milli = 1000;
    bool operator==(const Held&) const = default;
  };
  struct Node {
    bool known = false;
    bool linked = false;
    std::string inventory;     // serialized
    placement::NodeView view;  // totals and free
  };

  void UpdateRun(const core::State& state, uint64_t run_uid);
  void UpdateHolds(const journal::v1::RunRow* run, uint64_t run_uid);
  void UpdateOrder(const core::State& state, const journal::v1::RunRow* run, uint64_t run_uid);
  void UpdateAgent(const core::State& state, const std::string& node_id);
  void Take(const Held& held, int sign);
  void NodesChanged();

  std::map<std::string, Node> nodes_;
  absl::flat_hash_map<uint64_t, std::vector<Held>> held_;
  absl::btree_map<uint64_t, Order> orders_;  // of order_ and parked_; uids rise, so it is full
  absl::btree_set<Order> order_;
  absl::flat_hash_map<uint64_t, Order> parked_;
  uint64_t version_ = 0;
  uint64_t nodes_version_ = 0;
  uint64_t nodes_changed_ = 0;  // version_ then
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_CLUSTER_BOOK_H_
