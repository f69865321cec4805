// The planner: a cluster and its runs, kept up to date by what happens, and the next plan from it.
// One event costs what it changes, not what waits. MakePlan() fills a planner from a snapshot and
// asks it once; the scheduler and the trace replay feed one and ask it after every event. Pure; not
// thread-safe.
//
// A pass visits waiting runs in order of their keys. Runs of equal shape, quota and time limit form
// a line: when the first of a line cannot start, neither can those behind it, and the line is not
// looked at again before room was added. Keys: priority, then covered by a guarantee, then promised
// (oldest first), then the level of attained service, then the order within a level (of fair: what
// the user holds of its share).
//  - A run that is told to stop gives its devices to whoever the plan chose at once, but that run
//  is
//    placed when they have left: until then it holds a claim (a gang reservation of the plan).
//  - Nodes are kept for a gang whose turn it is but where runs that may not be preempted hold them:
//  a
//    reservation that comes true when those have ended, since only what makes way starts there.
//  - A victim lies on a lower level than the run that wants its devices, or borrows what a
//  guarantee
//    covers; levels only sink and guarantees are complements of borrowing: no cycle of preemptions.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_PLANNER_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_PLANNER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "scheduler/placement/cluster.h"
#include "scheduler/placement/placement.h"
#include "scheduler/placement/quota.h"

namespace trainyard::placement {

class Planner {
 public:
  explicit Planner(const Policy& policy);
  Planner(const Planner&) = delete;
  Planner& operator=(const Planner&) = delete;

  // Nodes. A node is told with what is free on it now: runs the planner knows there are counted as
  // holders, what they hold is not free.
  void SetNode(const NodeView& view);
  void RemoveNode(const std::string& node_id);
  void SetSchedulable(const std::string& node_id, bool schedulable);
  void SetQuotas(const std::vector<QuotaNode>& quotas);
  // Attained service of an owner up to `now_us`, of all its runs: what the runs bring that are told
  // later is in it already.
  void SetOwner(const OwnerView& owner, int64_t now_us);
  // kMaintenance and kCalendar: all that are in force or come; they replace those told before.
  void SetReservations(const std::vector<Reservation>& reservations);

  // Runs. A run that is known already changes its state: one that ran and waits again has given its
  // devices back. `now_us` never falls.
  void AddWaiting(const WaitingRun& run, int64_t now_us);
  // So many are going to be added: makes room for them at once.
  void Reserve(size_t runs) {
    runs_.reserve(runs);
    by_uid_.reserve(runs);
  }
  void AddRunning(const RunningRun& run, int64_t now_us);
  // What a run that was told to stop is to get is taken out of the room again (MakePlan).
  void AddClaim(const Reservation& reservation);
  void Remove(uint64_t run_uid, int64_t now_us);
  // Somebody else told it to stop, or it is ending: its devices leave soon. Removed when they have.
  void Stopping(uint64_t run_uid, int64_t now_us);
  // It wrote a checkpoint; kCheckpointOnStop: it writes one whenever it is told to stop.
  void Checkpointed(uint64_t run_uid, int64_t at_us);
  // How long it takes, for estimates; nothing is decided by it.
  void SetGuess(uint64_t run_uid, const RunTimeGuess& guess);

  // What to do now; placed runs run and preempted ones stop from here on. No explanations, and no
  // reservations: there may be many, and few change (Claims).
  Plan Decide(int64_t now_us);
  // Plan.reservations after the last Decide.
  std::vector<Reservation> Claims() const;
  // Takes up what an earlier planner left (Memory), once all runs are told. Without a memory, who
  // runs was promised it if it waited long enough before.
  void Recall(const PlanMemory& memory);
  // What a later planner has to know of this one after the last Decide. Runs and studies of the
  // memory recalled that this planner was not told of are handed on.
  PlanMemory Memory() const;
  // When the next plan may differ although nothing happens; INT64_MAX: never.
  int64_t WakeUs() const;

  const Policy& policy() const { return policy_; }
  size_t waiting() const { return waiting_; }
  size_t runs() const { return by_uid_.size(); }

 private:
  friend class Explainer;
  friend class StartEstimator;
  static constexpr int32_t kNone = -1;
  static constexpr int kFrontPower = -1;    // of a promised run: takes from every level
  static constexpr int kWindowPower = -3;   // a window of the node opens
  static constexpr int kKeptPower = -4;     // of a run for which the nodes were kept
  static constexpr int kReclaimPower = -2;  // of a guaranteed run: takes from borrowers too

  enum class State : uint8_t { kGone, kWaiting, kRunning, kStopping };
  struct Held {
    Slices slices;
    Use use;
    int64_t started_us = 0;
    int64_t counted_from_us = 0;  // service since then is not in attained_us
    int64_t last_checkpoint_us = 0;
    int64_t min_run_us = -1;        // -1: as the policy says
    int32_t counted_level = kNone;  // in ripe_ under this level
    int32_t counted_priority = 0;   // and in ripe_priorities_ under this one
    bool rung_ended = false;
    bool ripening = false;  // an event will say when it ran its minimum
    bool firm = false;      // running, and may not be preempted
  };
  struct Run {
    uint64_t uid = 0;
    State state = State::kGone;
    bool preemptible = false;
    bool hold = false;
    bool promised = false;
    bool front = false;  // promised, and within the front's share
    bool fresh = false;  // sank to its level in this pass: its peers may go before it
    int8_t level = 0;
    int32_t priority = 0;
    int32_t shape = 0;
    int32_t leaf = kNone;
    int32_t owner = kNone;
    int32_t line = kNone;
    uint32_t version = 0;
    int64_t submitted_us = 0;
    int64_t limit_us = 0;
    int64_t guess_us = 0;        // run time, as a guess
    int64_t attained_us = 0;     // devices x microseconds before this start
    int64_t waited_us = 0;       // before this wait
    int64_t wait_from_us = 0;    // of this wait
    std::unique_ptr<Held> held;  // running and stopping
    int64_t held_since_us = 0;   // the claim
    int32_t next_shape = kNone;  // resized: the shape it comes back with
    std::unique_ptr<Slices> claim;
  };
  struct Owner {
    uint64_t uid = 0;
    int32_t runs = 0;  // waiting and running now
    bool shared = false;
    bool told = false;        // attained_us has all its runs in it (SetOwner)
    int64_t attained_us = 0;  // as of at_us
    double peak_us = 0;       // the most service it was ever charged with: it does not rise again
    double recalled_us = 0;   // the same as of the last plan (Recall)
    int64_t at_us = 0;
    int64_t held_milli = 0;
    int64_t standing_milli = 0;  // kFair: held and claimed, without what stops
    int64_t weight = 1;
    std::set<int32_t> running;
    std::set<int32_t> lines;
    int64_t check_us = INT64_MAX;  // when a level of it may change
    double next_us = 0;            // at this service
  };
  using Member = std::tuple<int64_t, int64_t, uint64_t, int32_t>;  // order, submitted, uid, run
  // Less is earlier: -priority, class, level, order, submitted, uid, line.
  using Key = std::tuple<int32_t, int32_t, int32_t, int64_t, int64_t, uint64_t, int32_t>;
  using LineId = std::tuple<int32_t, bool, int32_t, int32_t, int32_t, int64_t, bool, int32_t>;
  struct Line {
    int32_t priority = 0;
    bool front = false;
    int32_t level = 0;
    int32_t shape = 0;
    int32_t leaf = kNone;
    int64_t limit_us = 0;
    bool preemptible = false;
    int32_t owner = kNone;  // of a study: all its runs here; they sink together
    bool guaranteed = false;
    std::vector<int32_t> covered;  // guaranteed on these models; none: on all
    absl::btree_set<Member> members;
    int32_t group = kNone;
    Key key;
    bool listed = false;
  };
  // Lines whose runs fit in the same places: when the first of them finds no room, none does.
  struct Group {
    std::set<Key> heads;
    uint64_t failed_room = 0;  // what was known when it found no room
    uint64_t failed_ripe = 0;
    int failed_power = 1 << 20;  // of the run that found none
    int64_t keep_again_us = 0;   // before that no nodes are looked for to be kept (Keep)
  };
  using GroupId = std::tuple<int32_t, int64_t, bool>;  // shape, limit, preemptible
  struct Event {
    int64_t time;
    int32_t kind;  // kSink, kRipen, kOwner
    int32_t index;
    uint32_t version;
    bool operator>(const Event& other) const {
      return std::tie(time, kind, index) > std::tie(other.time, other.kind, other.index);
    }
  };
  enum { kSink = 0, kRipen = 1, kOwner = 2 };

  // planner.cc: runs and nodes.
  Run& run(int32_t index) { return runs_[static_cast<size_t>(index)]; }
  const Run& run(int32_t index) const { return runs_[static_cast<size_t>(index)]; }
  const Shape& shape(const Run& of) const { return shapes_.at(of.shape); }
  int32_t Slot(uint64_t uid);
  void NodesChanged();
  void Describe(const RunView& view, int32_t index, int64_t now_us);
  int32_t OwnerOf(const RunView& view, int64_t now_us);
  void LeaveOwner(Run* of);
  void Begin(int32_t index, Slices slices);  // it holds the slices from now on
  void Halt(int32_t index, bool given);      // told to stop; `given`: its slices are free already
  void Release(int32_t index);               // its devices are free
  void DropClaim(Run* run);
  void Attach(int32_t index, int sign);
  Use UseOf(const Slices& slices) const;
  // levels.cc: attained service, levels, promises.
  int64_t AttainedUs(const Run& of) const;
  int64_t OwnerAttainedUs(const Owner& owner) const;
  double ServiceUs(const Owner& owner) const;
  double ChargedUs(const Owner& owner) const;
  double Threshold(const Shape& shape, int level) const;
  int LevelOf(const Run& of) const;
  int LevelAt(const Shape& shape, double attained_us) const;
  void PlanSink(int32_t index);
  void CheckOwner(int32_t owner);
  int64_t MinRunUs(const Run& of) const;
  void CountRipe(int32_t index);
  void Advance();  // everything that is due
  void Promise();
  void KnowCapacity();
  void FrontAdd(int32_t index);
  void FrontRemove(int32_t index);
  void SetFront(int32_t index, bool front);
  void FitFront();
  double LimitUs() const;
  // memory.cc
  void RecallPeaks(const std::vector<OwnerView>& peaks);
  void RecallPromises(const PlanMemory& memory);
  void RecallFresh(int64_t made_us);
  void PromiseNow(int32_t index);
  // lines.cc: the queue.
  void Enqueue(int32_t index);
  void Dequeue(int32_t index);
  void Rekey(int32_t line);
  int32_t LineOf(const Run& of);
  int32_t GroupOf(const Line& line);
  void Unlist(Line* line);
  int64_t OrderOf(const Run& of) const;
  Key KeyOf(const Run& of) const;  // where a waiting run stands in the queue
  // pass.cc
  void Pass(Plan* plan);
  std::vector<std::pair<Key, int32_t>> Heads() const;
  // kNoRoomHere: not on the models that its quota leaves it; others of its shape may fit.
  enum class Try { kStarted, kNoRoom, kNoRoomHere, kNotAllowed };
  Try TryStart(const Line& line, int32_t index, Plan* plan);
  bool TakeNow(int32_t whole_id, const std::vector<int32_t>& models, Terms terms, Slices* slices,
               int32_t* shape_id);
  bool StillFull(const Group& group, int power) const;
  void NoteFull(Group* group, bool again, int power);
  int32_t HighestPriority() const;
  void Claim(int32_t index, int32_t shape_id, Slices slices, Plan* plan);
  void Start(int32_t index, Slices slices, Plan* plan);
  bool Possible(int32_t whole_id, bool avoiding) const;
  Cluster& Empty() const;
  void EmitPlacement(const Run& of, const Slices& slices, Plan* plan) const;
  Terms TermsOf(const Run& of) const;
  uint64_t RipeVersion(int power) const;
  int PowerOf(const Line& line) const;
  // claims.cc
  void Grant(Plan* plan);  // claims whose devices have left
  void ListClaim(int32_t index);
  void UnlistClaim(int32_t index);
  bool TakeHolds(const Shape& shape, const Terms& terms,
                 const std::vector<Reservation::Hold>& holds, Slices* slices);
  // limits.cc
  struct LimitHit {
    int32_t level = kNone;  // of the quota tree; kNone: no limit is hit
    int32_t model = 0;      // that is at its limit; 0: all devices, kCores: cores
    int64_t asked_milli = 0;
  };
  void Cover();
  int32_t Restricted(int32_t shape_id, const std::vector<int32_t>& models);
  const std::vector<int32_t>& ModelsHere() const;
  std::vector<int32_t> AcceptedModels(const Shape& shape) const;
  LimitHit LimitOf(const Run& of) const;
  bool Allowed(const Run& of) const;
  std::optional<std::vector<int32_t>> OpenModels(const Run& of, std::vector<int32_t> models) const;
  bool CloseModel(const Run& of, int32_t closed, std::vector<int32_t>* models) const;
  // windows.cc
  void FindWindows();
  void Close(Plan* plan);
  int64_t NextWindowUs() const;
  // easy.cc
  void Backfill(const Key& key, int32_t first, Plan* plan);
  int64_t EndUs(const Run& of) const;
  int64_t ShadowUs(int32_t waiting, Cluster* room) const;
  bool FitsIn(int32_t waiting, Cluster* room) const;
  std::vector<int32_t> Behind(const Key& key) const;
  // conservative.cc
  class Forecast;
  class Wishes;
  void Conserve(const Key& key, int32_t first, Plan* plan);
  // fair.cc
  void Stand(const Run& of, int sign);
  double EntitledMilli(const Owner& owner) const;
  int64_t StandingOf(const Owner& owner) const;
  bool WithinShare(int32_t owner, int64_t more_milli) const;
  bool AboveShare(int32_t owner, int64_t without_milli) const;
  // elastic.cc
  bool TakeAny(int32_t whole_id, const std::vector<int32_t>& models, const Terms& terms,
               Slices* slices, int32_t* shape_id);
  void Reshape(int32_t index, int32_t shape_id);
  bool Spare(const Run& of) const;
  int32_t Retain(int32_t index, Slices* kept);
  void Resize(int32_t index, int32_t shape_id, Slices slices, uint64_t for_run, Plan* plan);
  void Grow(Plan* plan);
  // keep.cc
  struct Kept {
    std::vector<int32_t> nodes;
    int64_t since_us = 0;
    int64_t until_us = 0;  // when those in the way must have ended; 0: unknown
    int64_t milli = 0;     // devices of the nodes
  };
  bool WantsKeeping(const Run& of) const;
  bool IsOverdue(const Run& of) const;
  bool Firm(int32_t index, uint64_t by_uid) const;
  void Keep(int32_t index);
  void AddKept(const Reservation& reservation);
  void SetKept(int32_t index, std::vector<int32_t> nodes, int64_t since_us);
  void DropKept(int32_t index);
  void StartKept(int32_t least_priority, Plan* plan);
  void TakeKept(int32_t index, Plan* plan);
  void EmitKept(std::vector<Reservation>* reservations) const;
  // evict.cc
  struct Offer;
  struct Choice {
    std::vector<int32_t> victims;
    std::vector<int32_t> nodes;  // where the room is, in the order of their use
    double cost = 0;
  };
  void Preempt(int32_t victim, int power, uint64_t for_run, Plan* plan);  // make_room.cc
  bool Evictable(const Run& victim, int power, const Run& by) const;
  int LevelNow(const Run& waiting) const;
  size_t RipeEnd(int power) const;
  bool HasVictim(const Node& node, int power, const Run& by) const;
  double CostOf(const Run& victim, int power) const;
  Offer OfferOf(int32_t node, const Needs& needs, int want, int power, const Run& by,
                const std::set<int32_t>& chosen, QuotaTree* quota) const;
  template <typename Parts>
  void KeepBorrowers(Parts* parts, QuotaTree* quota) const;
  template <typename Parts>
  void KeepAboveShare(Parts* parts, const std::set<int32_t>& chosen) const;
  std::vector<int32_t> Candidates(const Run& by, const Shape& shape, const Needs& needs, int power,
                                  const std::vector<char>* within) const;
  bool Choose(int32_t index, const Shape& shape, int models, int power,
              const std::vector<char>* within, Choice* choice) const;
  // make_room.cc
  struct Realm {
    std::vector<char> nodes;  // by node
    bool single = false;      // one domain
  };
  int64_t MostRanks(int32_t node, const Shape& shape, int power) const;
  std::vector<Realm> RealmsOf(const Run& by, const Shape& shape, int power) const;
  bool ChooseShaped(int32_t index, const Shape& shape, int models, int power, Choice* best) const;
  bool MakeRoom(int32_t index, int power, const std::vector<int32_t>& models, Plan* plan);
  bool TakeChosen(int32_t index, const Shape& shape, const std::vector<int32_t>& nodes,
                  Slices* slices);
  bool Evict(int32_t index, const Shape& shape, int power, const Choice& choice, Plan* plan);

  const Policy policy_;
  Shapes shapes_;
  Cluster cluster_;
  QuotaTree quota_;
  int64_t now_us_ = 0;
  std::vector<Run> runs_;
  std::vector<int32_t> free_slots_;
  absl::flat_hash_map<uint64_t, int32_t> by_uid_;
  std::vector<Owner> owners_;
  std::vector<int32_t> free_owners_;
  absl::flat_hash_map<uint64_t, int32_t> owner_by_uid_;
  std::vector<Line> lines_;
  std::vector<int32_t> free_lines_;
  std::map<LineId, int32_t> line_by_id_;
  std::vector<Group> groups_;
  std::map<GroupId, int32_t> group_by_id_;
  std::vector<int32_t> free_groups_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  absl::btree_set<std::pair<int64_t, int32_t>> unpromised_;    // (wait began, run), waiting
  std::set<std::tuple<int64_t, uint64_t, int32_t>> promised_;  // (order, uid, run), all unfinished
  std::tuple<int64_t, uint64_t, int32_t> front_last_;  // the last promised run within the share
  int64_t front_milli_ = 0;
  int64_t demand_milli_ = 0;  // of waiting and running runs
  int64_t capacity_milli_ = 0;
  int64_t active_weight_ = 0;  // of all owners
  bool capacity_known_ = false;
  size_t waiting_ = 0;
  std::set<int32_t> claims_;                                   // waiting runs with a claim
  absl::flat_hash_map<int32_t, std::set<int32_t>> claims_of_;  // by node
  std::set<int32_t> told_;                                     // claims that are looked at anew
  std::map<int32_t, Kept> kept_;  // waiting runs for which nodes are kept
  int64_t kept_milli_ = 0;
  int32_t firm_ = 0;           // running runs that may not be preempted
  std::set<int32_t> elastic_;  // running
  std::vector<int32_t> fresh_;
  PlanMemory handed_on_;  // of runs and studies that are not known here
  // By level, by node: devices of ripe runs. Behind the levels: those that are there for everybody,
  // and promised ones, which yield to a higher priority alone.
  std::vector<std::vector<uint16_t>> ripe_;
  std::vector<std::vector<uint16_t>> ripe_runs_;
  std::vector<int64_t> ripe_all_;               // by level: ripe runs, with devices or without
  std::map<int32_t, int32_t> ripe_priorities_;  // how many ripe runs have it
  std::vector<uint64_t> ripe_version_;          // by level: rises when a run becomes ripe there
  bool changed_ = true;
  std::vector<int32_t> windowed_;  // nodes that have windows
  bool windows_known_ = false;
  int64_t next_window_us_ = INT64_MAX;
  // The cluster as if nothing ran, and what it could hold; made anew when nodes change.
  mutable std::unique_ptr<Cluster> empty_;
  mutable std::map<std::pair<int32_t, bool>, bool> possible_;
  mutable std::vector<int32_t> models_here_;
};

// MakePlan with a planner that knows nothing yet and that the caller keeps.
Plan MakePlan(const Snapshot& snapshot, Planner* planner, bool explain = true);

// Planner::Checkpointed and RunningRun::last_checkpoint_us: writes one whenever it is told to stop.
inline constexpr int64_t kCheckpointOnStop = INT64_MAX;

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_PLANNER_H_
