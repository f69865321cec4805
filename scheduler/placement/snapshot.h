// What placement is told: nodes, runs that wait, runs that hold devices, quotas, reservations.
// Plain values. A field that is not set (0, empty, false) is no constraint, so that a caller may
// know less than there is to know. Times are microseconds on one clock; 0 means "none" unless said
// otherwise.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_SNAPSHOT_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_SNAPSHOT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trainyard::placement {

struct DeviceView {
  std::string uuid;
  std::string model;
  int32_t index = 0;
  int64_t memory_bytes = 0;
  int32_t numa_node = 0;
  int32_t link_island = 0;
  int32_t milli_free = 1000;  // 1000: wholly free
  bool healthy = true;
  std::string
      parent_uuid;      // of a MIG slice: the device it is cut from, which is then not given out
  std::string profile;  // of a MIG slice ("3g.40gb"); empty: a whole device
};
// Keeps off every run that does not tolerate it.
struct Taint {
  std::string key;
  std::string value;
};
struct NodeView {
  std::string node_id;
  bool schedulable = true;  // connected, not draining, not quarantined
  std::string unschedulable_reason;
  int64_t cpu_milli_total = 0;
  int64_t cpu_milli_free = 0;
  int64_t memory_total = 0;
  int64_t memory_free = 0;
  std::vector<DeviceView> devices;
  std::map<std::string, std::string> labels;
  std::vector<Taint> taints;
  std::string rack;                // nodes of one rack share a switch
  std::string island;              // nodes joined by faster links than the rack's
  int64_t available_until_us = 0;  // drained or taken away then; bounded runs may end before
};
// What one rank needs.
struct RankNeeds {
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  int32_t gpu_count = 0;
  int32_t gpu_milli = 0;
  std::vector<std::string> gpu_models;  // best first; empty: any
  std::string gpu_profile;  // gpu_count counts MIG slices of this profile; empty: whole devices
  int64_t gpu_memory_bytes = 0;  // at least, of each device
};
enum class Domain { kNode, kIsland, kRack };
// How a gang lies over the cluster.
struct Topology {
  Domain domain = Domain::kNode;
  int32_t domains_max = 0;  // at most so many domains; 0: any number, as few as can be had
  bool required = false;    // wait for it; otherwise it is only preferred
};
struct Toleration {
  std::string key;    // empty: every taint
  std::string value;  // empty: every value of the key
};
// Run time to expect, from the history of similar runs (10th, 50th, 90th of a hundred), counted
// from the start of the run's work. Never trusted: for estimates and tie-breaks. All 0: unknown.
struct RunTimeGuess {
  int64_t low_us = 0;
  int64_t middle_us = 0;
  int64_t high_us = 0;
  bool known() const { return middle_us > 0; }
};
// What waiting and running runs have in common.
struct RunView {
  uint64_t run_uid = 0;
  uint64_t owner_uid = 0;  // study or job: what attained service is charged to; 0: the run itself
  std::string team;        // with project and principal: its place in the quota tree
  std::string project;
  std::string principal;
  std::string queue;  // empty: the default queue
  int32_t priority = 0;
  int64_t submitted_us = 0;        // first queued; 0: queued_us, or started_us of a running run
  int64_t attained_device_us = 0;  // devices x time held in all attempts until Snapshot.now_us
  int64_t time_limit_us = 0;       // of one attempt's running time; 0: none
  RunTimeGuess guess;
  bool preemptible = false;
  int32_t ranks_min = 0;  // elastic: the fewest ranks it can go on with; 0: not elastic
  int32_t ranks_max = 0;  // elastic: the most it can use; 0: as many as `ranks`
  std::string name;       // what it is called again and again, for the history
};
struct WaitingRun : RunView {
  std::vector<RankNeeds> ranks;          // one per rank; all or none are placed
  bool spread = false;                   // over as many nodes as can be had
  int64_t queued_us = 0;                 // of this wait
  std::vector<std::string> avoid_nodes;  // failed there before
  bool hold = false;
  int64_t start_by_us = 0;                         // by its longest wait it ends as EXPIRED then
  std::map<std::string, std::string> node_labels;  // all of them must be there, with these values
  std::vector<Toleration> tolerations;
  Topology topology;
  std::string reservation_id;  // may use the nodes of this calendar reservation; needs them
};
struct RunningRun : RunView {
  int64_t started_us = 0;          // of this attempt
  int64_t last_checkpoint_us = 0;  // 0: none in this attempt; its work since started_us is lost
  int64_t deadline_us = 0;         // by its time limit; 0: none
  int64_t min_run_us = -1;         // not evicted before started_us + this; -1: as the policy says
  int64_t grace_us = 0;            // from the order to stop until its devices are free, at most
  bool stopping = false;           // told to stop already; its devices become free without more
  bool rung_ended = false;         // a trial whose rung just ended: it has little to lose
  struct Slice {
    std::string node_id;
    int64_t cpu_milli = 0;
    int64_t memory_bytes = 0;
    std::vector<std::string> device_uuids;
    int32_t gpu_milli = 1000;  // of each device
  };
  std::vector<Slice> slices;
  std::vector<RankNeeds> ranks;  // as it was placed; needed to shrink, grow and to start again
  std::string reservation_id;
  bool spread = false;
  std::map<std::string, std::string> node_labels;
  std::vector<Toleration> tolerations;
  Topology topology;
};
// Share of the devices of one model. `guarantee`: can be had at once, by reclaim if need be.
// `limit`: never more. In thousandths of a device (of a core for the model "cpu").
struct QuotaShare {
  int64_t guarantee_milli = 0;
  int64_t limit_milli = -1;  // -1: none
  int64_t weight = 1;        // of what nobody is guaranteed
};
// A level of the tree cluster / team / project / user: the most specific name that is set says
// which it is. A run counts at every level above it. Runs whose leaf is not listed have no quota of
// their own.
struct QuotaNode {
  std::string team;
  std::string project;
  std::string principal;
  std::map<std::string, QuotaShare> by_model;  // device model, "cpu" for cores, "" for all devices
};
// Service of an owner (a study, a user's array): of all its runs together, those of the snapshot
// and those that ended, until Snapshot.now_us.
struct OwnerView {
  uint64_t owner_uid = 0;
  int64_t attained_device_us = 0;
};
enum class ReservationKind {
  kGang,         // holds devices for a run that is to start there; made by a plan
  kMaintenance,  // nothing runs there between start and end
  kCalendar,     // only runs that name it, between start and end
};
struct Reservation {
  std::string id;  // of kGang: may be empty
  ReservationKind kind = ReservationKind::kMaintenance;
  uint64_t run_uid = 0;  // kGang: for whom
  int64_t start_us = 0;  // kGang: when it is expected to start
  int64_t end_us = 0;    // 0: open
  int64_t made_us = 0;   // kGang: since when it is held
  int32_t priority = 0;  // kGang: of the run
  struct Hold {
    std::string node_id;
    std::vector<std::string> device_uuids;  // kGang only; otherwise the whole node
    int64_t cpu_milli = 0;                  // kGang only
    int64_t memory_bytes = 0;               // kGang only
  };
  std::vector<Hold> holds;
  std::string reason;
};
class RunTimeHistory;

// What one plan leaves to the next. A planner that lives on remembers it by itself.
struct PlanMemory {
  int64_t made_us = 0;             // when the plan was made; 0: there was none
  std::vector<uint64_t> promised;  // unfinished runs that were promised a start
  std::vector<OwnerView> peaks;    // the most service that studies were ever charged with
};

struct Snapshot {
  int64_t now_us = 0;
  std::vector<NodeView> nodes;
  std::vector<WaitingRun> waiting;  // any order
  std::vector<RunningRun> running;
  std::vector<QuotaNode> quotas;
  std::vector<OwnerView> owners;                  // who is not listed: the sum over its runs here
  std::vector<Reservation> reservations;          // in force: those of the last plan, and people's
  std::shared_ptr<const RunTimeHistory> history;  // guesses for runs that bring none; may be null
  PlanMemory memory;                              // of the last plan
};

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_SNAPSHOT_H_
