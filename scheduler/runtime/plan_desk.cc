// See plan_desk.h.
#include "scheduler/runtime/plan_desk.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/kept_trial.h"
#include "scheduler/runtime/planner_view.h"

namespace trainyard::runtime {
namespace {

template <typename Map, typename Key>
typename Map::mapped_type Find(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : found->second;
}

template <typename Map, typename Key, typename Row>
void Put(const Key& key, Row row, Map* map) {
  if (row == nullptr) {
    map->erase(key);
  } else {
    (*map)[key] = std::move(row);
  }
}

News::RunNews NewsOfRun(const core::State& state, uint64_t uid) {
  return {uid, Find(state.runs, uid), state.waiting_runs.contains(uid),
          state.active_runs.contains(uid)};
}

// Nodes and devices, in any order, as one number.
size_t PlaceOf(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  return absl::Hash<std::vector<std::string>>()(names);
}

size_t PlaceOf(const placement::Placement& placement) {
  std::vector<std::string> names;
  for (const placement::PlannedMember& member : placement.members) {
    names.push_back(member.node_id);
    for (const std::vector<std::string>& devices : member.rank_devices) {
      names.insert(names.end(), devices.begin(), devices.end());
    }
  }
  return PlaceOf(std::move(names));
}

size_t PlaceOf(const journal::v1::RunRow& run) {
  std::vector<std::string> names;
  core::ForEachHold(run, [&](const journal::v1::MemberRow& member) {
    names.push_back(member.node_id());
    names.insert(names.end(), member.device_uuids().begin(), member.device_uuids().end());
  });
  return PlaceOf(std::move(names));
}

}  // namespace

News NewsOf(const core::State& state, const core::Touched& touched) {
  News news;
  for (const uint64_t uid : touched.jobs) {
    news.jobs.emplace_back(uid, Find(state.jobs, uid));
    news.specs.emplace_back(uid, Find(state.specs, uid));
  }
  std::set<uint64_t> runs = touched.runs;
  for (const std::string& id : touched.agents) {
    news.agents.emplace_back(id, Find(state.agents, id));
    const auto there = state.runs_by_node.find(id);  // some wait for what they had there
    if (there != state.runs_by_node.end()) runs.insert(there->second.begin(), there->second.end());
  }
  for (const uint64_t uid : runs) news.runs.push_back(NewsOfRun(state, uid));
  for (const uint64_t uid : touched.studies) {
    news.studies.emplace_back(uid, Find(state.studies, uid));
  }
  for (const core::TrialKey& key : touched.trials) {
    news.trials.emplace_back(key, Find(state.trials, key).row());
  }
  for (const std::string& key : touched.setting_keys) {
    news.settings.emplace_back(key, Find(state.settings, key));
  }
  if (touched.settings) news.projects = state.projects;
  return news;
}

News NewsOfAll(const core::State& state) {
  core::Touched all;
  all.settings = true;
  for (const auto& [id, row] : state.agents) all.agents.insert(id);
  for (const auto& [key, row] : state.settings) all.setting_keys.insert(key);
  for (const uint64_t uid : state.live_studies) all.studies.insert(uid);
  all.trials = state.open_trials;
  all.runs.insert(state.waiting_runs.begin(), state.waiting_runs.end());
  all.runs.insert(state.active_runs.begin(), state.active_runs.end());
  News news = NewsOf(state, all);
  news.jobs.assign(state.jobs.begin(), state.jobs.end());
  news.specs.assign(state.specs.begin(), state.specs.end());
  return news;
}

void PlanDesk::Tell(News news) {
  MutexLock lock(&inbox_mutex_);
  inbox_.push_back(std::move(news));
}

void PlanDesk::Read() {
  std::vector<News> inbox;
  {
    MutexLock lock(&inbox_mutex_);
    inbox.swap(inbox_);
  }
  for (News& news : inbox) Take(&news);
}

void PlanDesk::Take(News* news) {
  core::Touched touched;
  for (auto& [uid, job] : news->jobs) Put(uid, std::move(job), &rows_.jobs);
  for (auto& [uid, spec] : news->specs) Put(uid, std::move(spec), &rows_.specs);
  for (auto& [uid, study] : news->studies) Put(uid, std::move(study), &rows_.studies);
  for (auto& [key, trial] : news->trials) {
    const bool over = trial == nullptr || core::HasEnded(*trial);
    Put(key, over ? nullptr : std::move(trial), &rows_.trials);
  }
  for (News::RunNews& one : news->runs) {
    const bool over = one.run == nullptr || (!one.waits && !one.active);
    if (over) {
      rows_.runs.erase(one.uid);
    } else {
      rows_.runs.Put(std::move(one.run));
    }
    rows_.waiting_runs.erase(one.uid);
    rows_.active_runs.erase(one.uid);
    if (one.waits) rows_.waiting_runs.insert(one.uid);
    if (one.active) rows_.active_runs.insert(one.uid);
    touched.runs.insert(one.uid);
    changed_.insert(one.uid);
  }
  for (auto& [id, agent] : news->agents) {
    Put(id, std::move(agent), &rows_.agents);
    touched.agents.insert(id);
  }
  for (auto& [key, row] : news->settings) {
    Put(key, std::move(row), &rows_.settings);
    touched.setting_keys.insert(key);
  }
  if (news->projects.has_value()) {
    rows_.projects = *std::move(news->projects);
    touched.settings = true;
  }
  for (const auto& [node_id, linked] : news->linked) book_.SetLinked(node_id, linked);
  book_.Update(rows_, touched);
}

placement::Snapshot PlanDesk::Look(const PlanJob& job) const {
  bool truncated = false;
  placement::Snapshot snapshot = book_.Snapshot(rows_, SIZE_MAX, job.now_us, &truncated);
  snapshot.reservations.insert(snapshot.reservations.end(), job.held.begin(), job.held.end());
  snapshot.history = job.history;
  snapshot.memory = job.memory;
  Refusals refusals = job.refusals;
  refusals.Apply(&snapshot);
  return snapshot;
}

placement::Snapshot PlanDesk::Snapshot(const PlanJob& job) {
  MutexLock lock(&mutex_);
  Read();
  return Look(job);
}

// Tells the planner what became of a run; false: it cannot be told.
bool PlanDesk::Follow(uint64_t uid, int64_t now_us) {
  const core::RunPtr run = Find(rows_.runs, uid);
  const bool waits = book_.Waits(uid);
  const bool holds = run != nullptr && core::HoldsAnything(*run);
  const auto told = told_.find(uid);
  if (told != told_.end() && told->second.kind == Kind::kBoth) return false;
  if (!holds) {
    // It was placed as the plan said, or else it still waits: then the core would not have it.
    if (told != told_.end() && told->second.kind == Kind::kPlaced && waits) return false;
    if (waits) {
      const placement::WaitingRun view =
          WaitingOf(rows_, *run, *rows_.jobs.at(run->job_uid()), *rows_.specs.at(run->job_uid()));
      if (view.ranks_min > 0) return false;
      planner_->AddWaiting(view, now_us);
      told_[uid] = {};
    } else if (told != told_.end()) {
      planner_->Remove(uid, now_us);
      told_.erase(told);
    }
    return true;
  }
  if (told == told_.end() || told->second.kind == Kind::kWaiting) return false;
  const core::SpecPtr spec = Find(rows_.specs, run->job_uid());
  if (spec == nullptr || spec->launch().min_replicas() > 0) return false;
  const uint64_t epoch = run->attempt().epoch();
  Told& known = told->second;
  if (known.kind == Kind::kPlaced) {
    if (PlaceOf(*run) != known.place) return false;
    known = {Kind::kRunning, epoch, 0};
  }
  if (known.epoch != epoch) return false;
  const bool stops = run->state() != journal::v1::R_ACTIVE || run->attempt().stop_us() > 0;
  if (stops && known.kind == Kind::kRunning) {
    planner_->Stopping(uid, now_us);
    known.kind = Kind::kStopping;
  }
  if (!stops && run->checkpoint().epoch() == epoch) {
    planner_->Checkpointed(uid, run->checkpoint().commit_us());
  }
  return true;
}

bool PlanDesk::FollowAll(const PlanJob& job) {
  const bool simple = job.policies.by_queue.empty() &&
                      job.policies.usual.select == placement::Select::kSkip &&
                      job.refusals.NextUs() == 0;
  if (job.whole || !simple || doubted_ || planner_ == nullptr ||
      planner_nodes_ != book_.nodes_version()) {
    return false;
  }
  for (const uint64_t uid : changed_) {
    if (!Follow(uid, job.now_us)) return false;
  }
  return true;
}

// What the planner did with runs.
void PlanDesk::Note(const placement::Plan& plan) {
  for (const placement::Placement& placement : plan.placements) {
    told_[placement.run_uid] = {Kind::kPlaced, 0, PlaceOf(placement)};
  }
  for (const placement::Preemption& preemption : plan.preemptions) {
    const auto told = told_.find(preemption.run_uid);
    if (told != told_.end()) told->second.kind = Kind::kStopping;
  }
  // The core decides by itself when a run grows: the planner cannot know what became of it.
  if (!plan.resizes.empty()) doubted_ = true;
}

std::map<uint64_t, uint64_t> PlanDesk::EpochsOf(const placement::Plan& plan) const {
  std::map<uint64_t, uint64_t> epochs;
  const core::State* const rows = &rows_;
  const auto add = [&](uint64_t uid) {
    const core::RunPtr run = Find(rows->runs, uid);
    if (run != nullptr) epochs[uid] = run->attempt().epoch();
  };
  for (const placement::Preemption& preemption : plan.preemptions) add(preemption.run_uid);
  for (const placement::Resize& resize : plan.resizes) add(resize.run_uid);
  return epochs;
}

void PlanDesk::PlanWhole(const PlanJob& job, PlanAnswer* answer) {
  placement::Snapshot snapshot = Look(job);
  if (planner_ != nullptr) {  // what it decided since is not in the job's memory
    const core::State* const rows = &rows_;
    snapshot.memory = planner_->Memory();
    std::erase_if(snapshot.memory.promised, [&](uint64_t uid) {
      const auto run = rows->runs.find(uid);
      return run == rows->runs.end() || run->second->state() == journal::v1::R_DONE;
    });
    std::erase_if(snapshot.memory.peaks, [&](const placement::OwnerView& peak) {
      return rows->jobs.find(peak.owner_uid) == rows->jobs.end();
    });
  }
  planner_.reset();
  told_.clear();
  answer->whole = true;
  if (!job.policies.by_queue.empty()) {
    answer->plan = MakeWholePlan(snapshot, job.policies);
  } else {
    planner_ = std::make_unique<placement::Planner>(job.policies.usual);
    planner_nodes_ = book_.nodes_version();
    answer->plan = placement::MakePlan(snapshot, planner_.get());
    for (const placement::RunningRun& running : snapshot.running) {
      const Kind kind = running.stopping ? Kind::kStopping : Kind::kRunning;
      told_[running.run_uid] = {kind, rows_.runs.at(running.run_uid)->attempt().epoch(), 0};
    }
    for (const placement::WaitingRun& waiting : snapshot.waiting) {
      const bool is_new = told_.try_emplace(waiting.run_uid).second;
      if (!is_new) told_[waiting.run_uid].kind = Kind::kBoth;
    }
    Note(answer->plan);
  }
  ShareExplanations(answer);
  book_.Park(answer->hopeless, book_.version());
}

PlanAnswer PlanDesk::Plan(const PlanJob& job) {
  PlanAnswer answer;
  answer.version = job.version;
  MutexLock lock(&mutex_);
  Read();
  answer.whole = false;
  if (FollowAll(job)) {
    answer.plan = planner_->Decide(job.now_us);
    answer.plan.reservations = planner_->Claims();
    Note(answer.plan);
  } else {
    doubted_ = false;
    PlanWhole(job, &answer);
  }
  changed_.clear();
  answer.epochs = EpochsOf(answer.plan);
  return answer;
}

}  // namespace trainyard::runtime
