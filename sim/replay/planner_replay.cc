// Replay with the scheduler's own planner: what would be placed and preempted is what the scheduler
// would do. A run that is told to stop writes its checkpoint and is gone within the same second; it
// waits again at once. See replay.h.
#include <algorithm>
#include <cmath>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/placement/estimate.h"
#include "scheduler/placement/history.h"
#include "scheduler/placement/planner.h"
#include "scheduler/placement/what_if.h"
#include "sim/replay/passes.h"

namespace trainyard::replay {
namespace {

constexpr int64_t kSecondUs = 1'000'000;

class PlannerReplay {
 public:
  PlannerReplay(const std::vector<TraceJob>& trace, const Options& options,
                const placement::Policy& policy)
      : trace_(trace),
        options_(options),
        policy_(policy),
        planner_(policy),
        jobs_(trace.size()),
        results_(trace.size()) {
    const int nodes = options.pack ? options.nodes : 1;
    const int gpus = options.pack ? options.gpus_per_node : options.nodes * options.gpus_per_node;
    for (int i = 0; i < nodes; ++i) {
      placement::NodeView view;
      view.node_id = absl::StrCat("n", i);
      view.devices.resize(static_cast<size_t>(gpus));
      for (int g = 0; g < gpus; ++g) {
        view.devices[static_cast<size_t>(g)].uuid = absl::StrCat(i, "-", g);
        view.devices[static_cast<size_t>(g)].index = g;
      }
      planner_.SetNode(view);
      nodes_.push_back(std::move(view));
    }
    node_gpus_ = gpus;
    for (size_t row = 0; row < trace.size(); ++row) jobs_[row].remaining = trace[row].duration;
  }

  Outcome Run() {
    for (;;) {
      const int64_t next = NextTime();
      if (next == INT64_MAX) break;
      now_ = next;
      while (!finishes_.empty() && finishes_.top().time <= now_) {
        const Finish finish = finishes_.top();
        finishes_.pop();
        if (jobs_[finish.row].version == finish.version) End(finish.row);
      }
      CountOverdue();
      const size_t first = arrived_;
      for (; arrived_ < trace_.size() && trace_[arrived_].submit == now_; ++arrived_) {
        Wait(arrived_);
      }
      while (Step()) {
      }
      for (size_t row = first; options_.estimates && row < arrived_; ++row) Estimate(row);
    }
    Outcome outcome;
    outcome.summary = Summarise(trace_, results_, options_, passes_);
    outcome.jobs = std::move(results_);
    outcome.summary.estimates = history_.starts();
    outcome.summary.estimates_met = history_.hits();
    outcome.summary.estimates_told = told_;
    outcome.summary.told_met = told_met_;
    return outcome;
  }

 private:
  struct Job {
    int64_t remaining = 0;
    int64_t started = -1;
    int64_t cost = 0;
    int64_t attained_us = 0;
    uint32_t version = 0;
    bool ran_before = false;
    int64_t predicted_us = -1;  // wait, as it was estimated on arrival
    placement::RunTimeHistory::Band band;
    bool told = false;     // a user would have seen it: it rests on something that was learned
    bool overdue = false;  // still waits after its band: counted as missed already
    int64_t queued = 0;
    placement::Placement held;  // while it runs
  };
  struct Finish {
    int64_t time;
    size_t row;
    uint32_t version;
    bool operator>(const Finish& other) const {
      return std::tie(time, row) > std::tie(other.time, other.row);
    }
  };

  int64_t NextTime() {
    int64_t next = INT64_MAX;
    while (!finishes_.empty() && jobs_[finishes_.top().row].version != finishes_.top().version) {
      finishes_.pop();
    }
    if (!finishes_.empty()) next = finishes_.top().time;
    if (arrived_ < trace_.size()) next = std::min(next, trace_[arrived_].submit);
    if (options_.snapshots) {
      if (next == INT64_MAX && waiting_.empty()) return next;
    } else if (next == INT64_MAX && planner_.runs() == 0) {
      return next;
    }
    const int64_t wake = options_.snapshots ? wake_us_ : planner_.WakeUs();
    if (wake != INT64_MAX) {
      next = std::min(next, std::max(now_ + 1, (wake + kSecondUs - 1) / kSecondUs));
    }
    return next;
  }

  // What waiting and running runs have in common.
  template <typename RunView>
  RunView ViewOf(size_t row) const {
    const TraceJob& job = trace_[row];
    RunView run;
    run.run_uid = row + 1;
    run.owner_uid = job.study == 0 ? row + 1 : static_cast<uint64_t>(job.study) << 32;
    run.principal = job.tenant;
    run.preemptible = true;
    run.submitted_us = job.submit * kSecondUs;
    run.attained_device_us = jobs_[row].attained_us;
    run.time_limit_us =
        static_cast<int64_t>(std::ceil(options_.limit_factor * static_cast<double>(job.duration))) *
        kSecondUs;
    for (int32_t left = job.gpus; left > 0; left -= node_gpus_) {
      run.ranks.emplace_back().gpu_count = std::min(left, node_gpus_);
    }
    return run;
  }

  placement::WaitingRun WaitingOf(size_t row) const {
    auto run = ViewOf<placement::WaitingRun>(row);
    run.queued_us = jobs_[row].queued * kSecondUs;
    return run;
  }

  placement::RunningRun RunningOf(size_t row) const {
    const Job& job = jobs_[row];
    auto run = ViewOf<placement::RunningRun>(row);
    run.started_us = job.started * kSecondUs;
    run.attained_device_us += (now_ - job.started) * trace_[row].gpus * kSecondUs;
    run.last_checkpoint_us = placement::kCheckpointOnStop;
    for (const placement::PlannedMember& member : job.held.members) {
      for (const std::vector<std::string>& devices : member.rank_devices) {
        placement::RunningRun::Slice& slice = run.slices.emplace_back();
        slice.node_id = member.node_id;
        slice.device_uuids = devices;
      }
    }
    return run;
  }

  void Wait(size_t row) {
    jobs_[row].queued = now_;
    if (options_.snapshots) {
      waiting_.insert(row);
    } else {
      planner_.AddWaiting(WaitingOf(row), now_ * kSecondUs);
    }
  }

  // Everything anew, but for what the last plan left.
  placement::Plan PlanSnapshot() {
    placement::Snapshot snapshot;
    snapshot.now_us = now_ * kSecondUs;
    snapshot.nodes = nodes_;
    std::map<uint64_t, int64_t> studies;
    for (const size_t row : waiting_) snapshot.waiting.push_back(WaitingOf(row));
    for (const size_t row : running_) snapshot.running.push_back(RunningOf(row));
    for (size_t row = 0; row < arrived_; ++row) {  // also those that ended
      if (trace_[row].study == 0) continue;
      studies[static_cast<uint64_t>(trace_[row].study) << 32] += jobs_[row].attained_us;
    }
    for (const placement::RunningRun& run : snapshot.running) {
      if (run.owner_uid != run.run_uid) {
        studies[run.owner_uid] += run.attained_device_us - jobs_[run.run_uid - 1].attained_us;
      }
    }
    for (const auto& [uid, attained_us] : studies) snapshot.owners.push_back({uid, attained_us});
    snapshot.reservations = reservations_;
    snapshot.memory = memory_;
    placement::Planner planner(policy_);
    placement::FillPlanner(snapshot, &planner);
    placement::Plan plan = planner.Decide(snapshot.now_us);
    reservations_ = planner.Claims();
    memory_ = planner.Memory();
    wake_us_ = planner.WakeUs();
    return plan;
  }

  void SetHeld(const placement::Placement& held, int milli_free) {
    for (const placement::PlannedMember& member : held.members) {
      placement::NodeView& node = nodes_[std::stoul(member.node_id.substr(1))];
      for (const std::vector<std::string>& devices : member.rank_devices) {
        for (const std::string& uuid : devices) {
          node.devices[std::stoul(uuid.substr(uuid.find('-') + 1))].milli_free = milli_free;
        }
      }
    }
  }
  void Leave(size_t row) {
    if (!options_.snapshots || jobs_[row].held.members.empty()) return;
    SetHeld(jobs_[row].held, 1000);
    jobs_[row].held.members.clear();
    std::erase(running_, row);
  }

  // What a user would have been told right after the submit, for jobs that did not start at once.
  void Estimate(size_t row) {
    if (results_[row].first_start >= 0) return;
    const placement::StartGuess guess =
        placement::StartEstimator(planner_, &history_).OfRun(row + 1);
    Job& job = jobs_[row];
    job.told = guess.known;
    job.predicted_us = guess.middle_us - now_ * kSecondUs;
    job.band = {guess.earliest_us - now_ * kSecondUs, guess.latest_us - now_ * kSecondUs};
    overdue_.push({now_ + job.band.high_us / kSecondUs + 1, row, 0});
  }

  void Observe(const Job& job, int64_t actual_us) {
    history_.ObserveStart(job.predicted_us, job.band, actual_us);
    if (!job.told) return;
    ++told_;
    told_met_ += actual_us >= job.band.low_us && actual_us <= job.band.high_us ? 1 : 0;
  }

  // Those that wait longer than their band are known to be missed before they start.
  void CountOverdue() {
    for (; !overdue_.empty() && overdue_.top().time <= now_; overdue_.pop()) {
      const size_t row = overdue_.top().row;
      Job& job = jobs_[row];
      if (results_[row].first_start >= 0) continue;
      job.overdue = true;
      Observe(job, job.band.high_us * 5 / 4 + kSecondUs);
    }
  }

  void End(size_t row) {
    history_.ObserveRun({}, {}, trace_[row].gpus, trace_[row].duration * kSecondUs);
    results_[row].end = now_;
    ++jobs_[row].version;
    if (options_.snapshots) {
      jobs_[row].attained_us += (now_ - jobs_[row].started) * trace_[row].gpus * kSecondUs;
      Leave(row);
    } else {
      planner_.Remove(row + 1, now_ * kSecondUs);
    }
  }

  bool Step() {
    const placement::Plan plan =
        options_.snapshots ? PlanSnapshot() : planner_.Decide(now_ * kSecondUs);
    ++passes_;
    for (const placement::Preemption& preemption : plan.preemptions) {
      const size_t row = preemption.run_uid - 1;
      Job& job = jobs_[row];
      const int64_t progress = now_ - job.started - job.cost;
      if (progress > 0) job.remaining -= progress;
      job.attained_us += (now_ - job.started) * trace_[row].gpus * kSecondUs;
      job.started = -1;
      ++job.version;
      ++results_[row].preemptions;
      Leave(row);
      Wait(row);
    }
    for (const placement::Placement& placed : plan.placements) {
      const size_t row = placed.run_uid - 1;
      Job& job = jobs_[row];
      job.started = now_;
      job.cost = job.ran_before ? options_.restart_cost : 0;
      job.ran_before = true;
      if (results_[row].first_start < 0) {
        results_[row].first_start = now_;
        if (job.predicted_us >= 0 && !job.overdue) {
          Observe(job, (now_ - trace_[row].submit) * kSecondUs);
        }
      }
      finishes_.push({now_ + job.cost + job.remaining, row, ++job.version});
      if (options_.snapshots) {
        SetHeld(placed, 0);
        job.held = placed;
        waiting_.erase(row);
        running_.push_back(row);
      } else {
        planner_.Checkpointed(placed.run_uid, placement::kCheckpointOnStop);
      }
    }
    return !plan.preemptions.empty();
  }

  const std::vector<TraceJob>& trace_;
  const Options options_;
  const placement::Policy policy_;
  placement::Planner planner_;
  // Of snapshots.
  std::vector<placement::NodeView> nodes_;
  std::set<size_t> waiting_;
  std::vector<size_t> running_;  // in the order of their starts
  std::vector<placement::Reservation> reservations_;
  placement::PlanMemory memory_;
  int64_t wake_us_ = INT64_MAX;
  placement::RunTimeHistory history_;
  int64_t told_ = 0;      // starts that users would have seen an estimate of
  int64_t told_met_ = 0;  // of those, within the band
  int32_t node_gpus_ = 0;
  std::vector<Job> jobs_;
  std::vector<JobResult> results_;
  std::priority_queue<Finish, std::vector<Finish>, std::greater<>> finishes_;
  std::priority_queue<Finish, std::vector<Finish>, std::greater<>> overdue_;
  size_t arrived_ = 0;
  int64_t now_ = -1;
  int64_t passes_ = 0;
};

}  // namespace

Outcome ReplayWithPlanner(const std::vector<TraceJob>& trace, const Options& options,
                          const placement::Policy& policy) {
  return PlannerReplay(trace, options, policy).Run();
}

}  // namespace trainyard::replay
