// The queue and the cluster as planner threads see them: a copy of the rows that placement looks
// at, brought up to date from what the owner tells, and a planner that lives on between whole plans
// and is told what changed. The owner pays for what changed, and a plan of a long queue costs what
// changed too, as long as that is simple: runs that begin to wait, start where they were placed,
// stop, write checkpoints and are gone. After anything else everything is planned anew, and the
// whole queue is explained then.
//  - Tell() never waits for a plan. Plans and snapshots are made one at a time.
//  - What the core did not carry out is no news, as no row changed: the owner says Doubt().
#ifndef TRAINYARD_SCHEDULER_RUNTIME_PLAN_DESK_H_
#define TRAINYARD_SCHEDULER_RUNTIME_PLAN_DESK_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/mutex.h"
#include "scheduler/core/state.h"
#include "scheduler/placement/planner.h"
#include "scheduler/runtime/cluster_book.h"
#include "scheduler/runtime/planner.h"

namespace trainyard::runtime {

// Rows that changed; null: gone.
struct News {
  struct RunNews {
    uint64_t uid = 0;
    core::RunPtr run;
    bool waits = false;   // in State.waiting_runs
    bool active = false;  // in State.active_runs
  };
  std::vector<std::pair<uint64_t, core::JobPtr>> jobs;
  std::vector<std::pair<uint64_t, core::SpecPtr>> specs;
  std::vector<RunNews> runs;
  std::vector<std::pair<uint64_t, core::StudyPtr>> studies;
  std::vector<std::pair<core::TrialKey, core::TrialPtr>> trials;
  std::vector<std::pair<std::string, core::AgentPtr>> agents;
  std::vector<std::pair<std::string, core::SettingPtr>> settings;
  std::vector<std::pair<std::string, bool>> linked;  // nodes that got or lost their session
  std::optional<std::map<std::string, journal::v1::ProjectRow>> projects;
};
// Of what `touched` names, as it is in `state` now.
News NewsOf(const core::State& state, const core::Touched& touched);
// Everything that has not ended.
News NewsOfAll(const core::State& state);

class PlanDesk {
 public:
  // Owner thread.
  void Tell(News news);
  // The next plan is a whole one.
  void Doubt() { doubted_ = true; }

  // Planner threads. A whole plan where the job asks for it or what changed is not simple.
  PlanAnswer Plan(const PlanJob& job);
  // All that is known now, in place of the job's snapshot.
  placement::Snapshot Snapshot(const PlanJob& job);

 private:
  enum class Kind { kWaiting, kPlaced, kRunning, kStopping, kBoth };
  // What the planner was told of a run, or did with it.
  struct Told {
    Kind kind = Kind::kWaiting;
    uint64_t epoch = 0;  // kRunning, kStopping
    size_t place = 0;    // kPlaced: hash of its nodes and devices
  };

  void Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(News* news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  placement::Snapshot Look(const PlanJob& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Follow(uint64_t run_uid, int64_t now_us) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool FollowAll(const PlanJob& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PlanWhole(const PlanJob& job, PlanAnswer* answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Note(const placement::Plan& plan) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::map<uint64_t, uint64_t> EpochsOf(const placement::Plan& plan) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::atomic<bool> doubted_ = false;
  Mutex inbox_mutex_;
  std::vector<News> inbox_ ABSL_GUARDED_BY(inbox_mutex_);

  Mutex mutex_;
  core::State rows_ ABSL_GUARDED_BY(mutex_);  // only what placement looks at, and no index but two
  ClusterBook book_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<placement::Planner> planner_ ABSL_GUARDED_BY(mutex_);  // null: plan anew
  uint64_t planner_nodes_ ABSL_GUARDED_BY(mutex_) = 0;  // the book's, when the planner was made
  absl::flat_hash_map<uint64_t, Told> told_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> changed_ ABSL_GUARDED_BY(mutex_);  // runs, since the last plan
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_PLAN_DESK_H_
