// CheckInvariants: what holds after every event, entity by entity, then the indexes. See core.h.
#include "scheduler/core/invariants.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/core.h"
#include "scheduler/core/deadline.h"
#include "scheduler/core/measurements.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/timeline.h"

namespace trainyard::core {
namespace {

class Checker {
 public:
  Checker(const State& state, bool ended_too)
      : state_(state), ended_too_(ended_too), rows_(const_cast<State*>(&state), &none_) {}

  std::vector<std::string> Check() {
    for (const auto& [uid, job] : state_.jobs) CheckJob(*job);
    for (const auto& [uid, run] : state_.runs) CheckRun(*run);
    for (const auto& [uid, study] : state_.studies) CheckStudy(*study);
    for (const auto& [key, trial] : state_.trials) {
      if (ended_too_ || !trial.has_ended()) CheckTrial(*trial.row());
    }
    CheckUse();
    CheckIndexes();
    return std::move(broken_);
  }

 private:
  template <class... Parts>
  void Require(bool holds, const Parts&... parts) {
    if (!holds) broken_.push_back(absl::StrCat(parts...));
  }

  void CheckJob(const records::JobRow& job) {
    const std::string who = absl::StrCat("job ", job.uid());
    Require((job.run_uid() == 0) != (job.study_uid() == 0), who, " has a run or a study, not both");
    Require(state_.specs.contains(job.uid()), who, " has no spec");
    Require(job.timeline_size() <= kTimelineMax, who, " has too long a timeline");
    Require(job.uid() < state_.server.next_uid(), who, " has a uid that is not used up");
    const auto name = state_.job_by_name.find(NameKey(job.project(), job.job_id()));
    Require(name != state_.job_by_name.end() && name->second == job.uid(), who, " has no name");
    if (const RunPtr run = rows_.Run(job.run_uid()); run != nullptr) {
      const bool done = run->state() == records::R_DONE;
      Require(done == IsTerminal(job.state()), who, " and its run disagree about their end");
      Require(run->state() != records::R_PAUSED || job.paused(), who, " has a paused run");
    }
    CheckQueue(who, job);
    if (const StudyPtr study = rows_.Study(job.study_uid()); study != nullptr) {
      const bool over = study->state() == v1::Study::COMPLETED_STUDY;
      Require(over == IsTerminal(job.state()), who, " and its study disagree about their end");
    }
  }

  void CheckQueue(const std::string& who, const records::JobRow& job) {
    const bool over = IsTerminal(job.state());
    for (const records::WaitsFor& wait : job.queue().waits_for()) {
      const JobPtr ahead = rows_.Job(wait.job_uid());
      const bool untold = state_.untold_jobs.contains(wait.job_uid());
      Require(over || (ahead != nullptr && IsTerminal(ahead->state()) == untold), who,
              " waits for a job that has ended, and nobody will tell it");
      Require(wait.job_uid() < job.uid(), who, " waits for a later job");
      const auto dependents = state_.dependents.find(wait.job_uid());
      const bool known =
          dependents != state_.dependents.end() && dependents->second.count(job.uid()) > 0;
      Require(over || known, who, " waits unknown to the job that it waits for");
    }
    const bool broken = !job.queue().broken().empty() && !over && !job.cancel_requested();
    Require(broken == state_.broken_jobs.contains(job.uid()), who, " is in the wrong index");
  }

  void CheckRun(const records::RunRow& run) {
    const std::string who = absl::StrCat("run ", run.uid());
    const records::AttemptRow& attempt = run.attempt();
    const bool active = run.state() == records::R_ACTIVE;
    Require(state_.jobs.contains(run.job_uid()), who, " has no job");
    Require(!active || (run.has_attempt() && !IsTerminal(attempt.state())), who,
            " is active without a live attempt");
    Require(active || !run.has_attempt() || IsTerminal(attempt.state()), who,
            " has a live attempt and is not active");
    Require(run.state() != records::R_BACKING_OFF || run.not_before_us() > 0, who,
            " backs off for ever");
    CheckAttempt(who, attempt);
    std::set<uint64_t> epochs = {attempt.epoch()};
    for (const records::HeldMember& held : run.held()) {
      Require(held.epoch() < attempt.epoch(), who, " holds a member of a later epoch");
      Require(!held.member().released(), who, " holds what is released");
    }
    const Deadline deadline = DeadlineOf(rows_, run);
    const auto indexed = state_.deadline_of_run.find(run.uid());
    const int64_t known = indexed == state_.deadline_of_run.end() ? kNever : indexed->second;
    Require(known == deadline.time_us, who, " has a deadline that the index does not know");
    // Every state has a way out: what waits for the world has a deadline.
    const bool waits_for_world = active || run.state() == records::R_BACKING_OFF;
    Require(!waits_for_world || deadline.time_us != kNever, who, " could wait for ever");
  }

  void CheckAttempt(const std::string& who, const records::AttemptRow& attempt) {
    if (attempt.epoch() == 0) return;
    Require(epochs_.insert(attempt.epoch()).second, who, " shares its epoch");
    Require(attempt.epoch() >> 32 == attempt.incarnation(), who, " has a foreign epoch");
    std::set<int32_t> ranks;
    int count = 0;
    for (const records::MemberRow& member : attempt.members()) {
      for (const wire::RankSlot& rank : member.ranks()) {
        ranks.insert(rank.rank());
        ++count;
      }
      Require(member.exited() || !IsTerminal(attempt.state()) ||
                  attempt.state() != records::A_SUCCEEDED,
              who, " succeeded with a member that did not exit");
    }
    const bool whole = static_cast<int>(ranks.size()) == count && count > 0 &&
                       *ranks.begin() == 0 && *ranks.rbegin() == count - 1;
    Require(whole, who, " is not a whole gang");
    Require((attempt.stop_us() > 0) == (attempt.stop_reason() != wire::STOP_REASON_UNSPECIFIED),
            who, " stops without a reason");
  }

  void CheckStudy(const records::StudyRow& study) {
    const std::string who = absl::StrCat("study ", study.uid());
    v1::TrialCounts counts = ended_too_ ? v1::TrialCounts() : study.counts();
    for (auto it = state_.trials.lower_bound({study.uid(), 0});
         it != state_.trials.end() && it->first.first == study.uid(); ++it) {
      if (ended_too_) Count(*it->second.row(), &counts);
      Require(it->first.second < study.next_trial(), who, " has a trial beyond its last");
    }
    if (counts.SerializeAsString() != study.counts().SerializeAsString()) {
      Require(false, who, " counts its trials wrongly: ", study.counts().ShortDebugString(),
              " but has ", counts.ShortDebugString());
    }
    const int64_t running = counts.active() + counts.stopping();
    if (study.job_uid() != 0) {
      Require(running <= std::max<int64_t>(study.parallel_trials(), 1), who,
              " runs more trials than parallel_trials");
      Require(state_.jobs.contains(study.job_uid()), who, " has lost its job");
    }
    Require(study.max_trials() == 0 || study.next_trial() - 1 <= study.max_trials(), who,
            " has more trials than max_trials");
    Require(study.state() != v1::Study::COMPLETED_STUDY || running == 0, who,
            " is complete with running trials");
  }

  static void Count(const records::TrialRow& trial, v1::TrialCounts* counts) {
    switch (trial.state()) {
      case v1::REQUESTED:
        if (trial.held()) counts->set_held(counts->held() + 1);
        return counts->set_requested(counts->requested() + 1);
      case v1::ACTIVE:
        return counts->set_active(counts->active() + 1);
      case v1::STOPPING:
        return counts->set_stopping(counts->stopping() + 1);
      case v1::INFEASIBLE:
        counts->set_infeasible(counts->infeasible() + 1);
        break;
      default:
        counts->set_succeeded(counts->succeeded() + 1);
        break;
    }
    if (trial.stopped_early()) counts->set_stopped_early(counts->stopped_early() + 1);
  }

  void CheckTrial(const records::TrialRow& trial) {
    const std::string who = absl::StrCat("trial ", trial.study_uid(), "/", trial.id());
    Require(trial.measurements_size() <= kMeasurementsMax, who, " has too long a curve");
    for (int i = 1; i < trial.measurements_size(); ++i) {
      Require(trial.measurements(i - 1).step() < trial.measurements(i).step(), who,
              " has steps out of order");
    }
    const StudyPtr study = rows_.Study(trial.study_uid());
    Require(study != nullptr, who, " has no study");
    const bool open = state_.open_trials.count({trial.study_uid(), trial.id()}) > 0;
    Require(open == IsOpen(trial, study.get()), who, " is in the wrong index");
    const bool requested = state_.requested_trials.count({trial.study_uid(), trial.id()}) > 0;
    Require(requested == (open && trial.state() == v1::REQUESTED), who,
            " is in the wrong index of requested trials");
    const auto client = state_.trials_of_client.find({trial.study_uid(), trial.client_id()});
    const bool handed =
        client != state_.trials_of_client.end() && client->second.count(trial.id()) > 0;
    Require(handed == IsWithClient(trial), who, " is in the wrong index of clients");
    const RunPtr run = rows_.Run(trial.run_uid());
    if (run == nullptr) return;
    const bool running = trial.state() == v1::ACTIVE || trial.state() == v1::STOPPING;
    const bool settles = run->state() == records::R_DONE && run->settle_us() > 0;
    const bool paused = trial.state() == v1::REQUESTED && run->state() == records::R_PAUSED;
    if (paused && study != nullptr && study->state() == v1::Study::ACTIVE_STUDY) return;
    Require(running == (run->state() != records::R_DONE || settles), who,
            " and its run disagree about their end");
  }

  void CheckUse() {
    std::map<std::string, NodeUse> use;
    std::map<std::string, std::set<uint64_t>> runs;
    for (const auto& [uid, run] : state_.runs) {
      ForEachHold(*run, [&, id = uid](const records::MemberRow& member) {
        CountHold(member, +1, &use[member.node_id()]);
        runs[member.node_id()].insert(id);
      });
    }
    Require(runs == state_.runs_by_node, "the index of runs by node is wrong");
    Require(use.size() == state_.node_use.size(), "the index of what nodes hold is wrong");
    for (const auto& [node, held] : use) {
      const auto known = state_.node_use.find(node);
      Require(known != state_.node_use.end() && Same(held, known->second), "node ", node,
              " holds something else than the index says");
      for (const auto& [uuid, milli] : held.device_milli) {
        Require(milli <= 1000, "device ", uuid, " on ", node, " is held twice");
      }
    }
  }

  static bool Same(const NodeUse& a, const NodeUse& b) {
    return a.cpu_milli == b.cpu_milli && a.memory_bytes == b.memory_bytes &&
           a.members == b.members && a.device_milli == b.device_milli;
  }

  void CheckIndexes() {
    absl::btree_set<uint64_t> waiting;
    absl::btree_set<uint64_t> active;
    for (const auto& [uid, run] : state_.runs) {
      const records::RunState run_state = run->state();
      if (run_state == records::R_WAITING || run_state == records::R_BACKING_OFF) {
        waiting.insert(uid);
      }
      if (run_state == records::R_ACTIVE || HoldsAnything(*run)) active.insert(uid);
    }
    Require(waiting == state_.waiting_runs, "the index of waiting runs is wrong");
    Require(active == state_.active_runs, "the index of active runs is wrong");
    absl::btree_set<uint64_t> live;
    absl::btree_set<uint64_t> hungry;
    for (const auto& [uid, study] : state_.studies) {
      if (study->state() == v1::Study::ACTIVE_STUDY) live.insert(uid);
      if (SuggestionsWanted(*study) > 0) hungry.insert(uid);
    }
    Require(live == state_.live_studies, "the index of live studies is wrong");
    Require(hungry == state_.hungry_studies, "the index of hungry studies is wrong");
    std::map<std::string, int64_t> due;
    for (const auto& [id, agent] : state_.agents) {
      if (DueOfNode(*agent) != kNever) due[absl::StrCat("nodes/", id)] = DueOfNode(*agent);
    }
    for (const auto& [key, setting] : state_.settings) {
      if (DueOfSetting(*setting) != kNever) due[key] = DueOfSetting(*setting);
    }
    Require(due == state_.cluster_deadline_of, "the index of deadlines of nodes is wrong");
    Require(state_.deadlines.size() == state_.deadline_of_run.size(), "deadlines are left over");
    Require(state_.specs.size() == state_.jobs.size(), "specs are left over");
  }

  const State& state_;
  const bool ended_too_;
  Touched none_;
  StateRows rows_;
  std::set<uint64_t> epochs_;
  std::vector<std::string> broken_;
};

}  // namespace

std::vector<std::string> CheckInvariants(const State& state) {
  return Checker(state, /*ended_too=*/true).Check();
}
std::vector<std::string> CheckOpenInvariants(const State& state) {
  return Checker(state, /*ended_too=*/false).Check();
}

}  // namespace trainyard::core
