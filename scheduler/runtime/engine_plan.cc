// Placement by the engine; see engine.h. A small cluster is planned at once, for the head of the
// queue, so that a submit and its placement share one commit; long queues and large clusters are
// planned by a planner thread, from what the plan desk was told (plan_desk.h).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "glog/logging.h"
#include "scheduler/runtime/engine.h"
#include "scheduler/runtime/planner_view.h"

namespace trainyard::runtime {
namespace {

constexpr size_t kQuickRuns = 64;
constexpr size_t kQuickNodes = 128;
constexpr size_t kQuickWhole = 512;  // where the order is not that of queueing
constexpr int kQuickRounds = 8;
constexpr size_t kForetellMost = 1024;  // of one plan's explanations
constexpr size_t kUntoldMax = 100'000;  // runs: beyond it the desk is filled anew
constexpr absl::Duration kPlanGap = absl::Milliseconds(100);
constexpr absl::Duration kRetryGap = absl::Seconds(1);
// Between whole plans of the desk: planner threads are free for small ones most of the time.
constexpr absl::Duration kWholeGap = absl::Seconds(1);
constexpr int kWholeShare = 20;

}  // namespace

// By order of queueing the head tells what comes next. Other orders look at everybody.
bool Engine::UseQuickPlan() const {
  if (options_.plan_apart || book_.nodes() > kQuickNodes) return false;
  return options_.policy.order == placement::OrderBy::kQueued || book_.waiting() <= kQuickWhole;
}

PlanJob Engine::Snapshot(size_t most, bool* truncated) {
  PlanJob job;
  job.snapshot = book_.Snapshot(state_, most, NowUs(), truncated);
  job.snapshot.reservations.insert(job.snapshot.reservations.end(), held_for_gangs_.begin(),
                                   held_for_gangs_.end());
  job.snapshot.memory = memory_;
  refusals_.Apply(&job.snapshot);
  job.policies = PoliciesOf(state_, options_.policy);
  for (const placement::RunningRun& run : job.snapshot.running) {
    job.epochs[run.run_uid] = state_.runs.at(run.run_uid)->attempt().epoch();
  }
  job.snapshot.history = history_.Shared(options_.clock->Monotonic());
  job.version = book_.version();
  return job;
}

void Engine::TellDesk() {
  if (plan_desk_ == nullptr) {
    plan_desk_ = std::make_shared<PlanDesk>();
    News news = NewsOfAll(state_);
    for (const auto& [node_id, agent] : state_.agents) {
      if (book_.linked(node_id)) news.linked.emplace_back(node_id, true);
    }
    plan_desk_->Tell(std::move(news));
  } else {
    News news = NewsOf(state_, untold_);
    news.linked = std::move(untold_links_);
    plan_desk_->Tell(std::move(news));
  }
  untold_.Clear();
  untold_links_.clear();
}

PlanJob Engine::DeskJob() {
  TellDesk();
  PlanJob job;
  job.desk = plan_desk_;
  job.now_us = NowUs();
  job.held = held_for_gangs_;
  job.memory = memory_;
  placement::Snapshot none;
  none.now_us = job.now_us;
  refusals_.Apply(&none);  // those that are old are forgotten
  job.refusals = refusals_;
  job.policies = PoliciesOf(state_, options_.policy);
  job.history = history_.Shared(options_.clock->Monotonic());
  job.version = book_.version();
  return job;
}

// What has ended is not remembered.
void Engine::Remember(const placement::PlanMemory& memory) {
  memory_ = memory;
  std::erase_if(memory_.promised, [this](uint64_t uid) {
    const auto run = state_.runs.find(uid);
    return run == state_.runs.end() || run->second->state() == journal::v1::R_DONE;
  });
  std::erase_if(memory_.peaks, [this](const placement::OwnerView& peak) {
    return state_.jobs.find(peak.owner_uid) == state_.jobs.end();
  });
}

// `version`: of the book, when the plan's snapshot was taken. True when the core refused a placing
// though nothing had changed since: it is told, and the run is planned elsewhere.
bool Engine::CarryOut(const placement::Plan& plan, const ClusterBook::Epochs& epochs,
                      uint64_t version) {
  held_for_gangs_ = plan.reservations;
  wake_us_ = plan.wake_us;
  const int64_t forgiven_us = refusals_.NextUs();
  if (forgiven_us > 0 && (wake_us_ == 0 || forgiven_us < wake_us_)) wake_us_ = forgiven_us;
  if (plan.memory.made_us > 0) Remember(plan.memory);
  if (plan.placements.empty() && plan.preemptions.empty() && plan.resizes.empty()) return false;
  const bool stale = version != book_.version();
  Internal(ClusterBook::PlanCommand(plan, epochs));
  const std::vector<core::Refusal> refusals = std::exchange(refused_now_, {});
  CatchUp();
  if (stale) return false;  // the next plan knows what changed
  for (const core::Refusal& refusal : refusals) {
    if (refusals_.Note(refusal, NowUs())) {
      LOG(WARNING) << "placing refused run=" << refusal.run_uid << " node=" << refusal.node_id
                   << " why=\"" << refusal.why << '"';
    }
    explanations_.push_back(
        std::make_shared<const placement::Explanation>(Refusals::ExplanationOf(refusal)));
  }
  return !refusals.empty();
}

void Engine::Explain(PlanAnswer* answer) {
  const int64_t now_us = NowUs();
  // Of a long queue some, each time others.
  const size_t told = answer->explanations.size();
  for (size_t i = 0; i < std::min(told, kForetellMost); ++i) {
    if (++foretell_ >= told) foretell_ = 0;
    if (!history_.Foretold(*answer->explanations[foretell_], now_us)) break;
  }
  if (explanations_.empty()) {
    explanations_ = std::move(answer->explanations);
  } else {
    explanations_.insert(explanations_.end(), std::make_move_iterator(answer->explanations.begin()),
                         std::make_move_iterator(answer->explanations.end()));
  }
  book_.Park(answer->hopeless, answer->version);
}

// One quick plan for the head of the queue; true when another one may find more.
bool Engine::PlaceHead() {
  const size_t waiting = book_.waiting();
  const bool by_head = options_.policy.order == placement::OrderBy::kQueued;
  PlanJob job = Snapshot(by_head ? kQuickRuns : kQuickWhole, &quick_truncated_);
  const size_t looked_at = job.snapshot.waiting.size();
  PlanAnswer answer = ThinkOver(std::move(job));
  const placement::Plan& plan = answer.plan;
  if (CarryOut(plan, answer.epochs, answer.version)) {
    retry_plan_ = options_.clock->Monotonic() + kRetryGap;
  }
  if (plan.placements.size() != looked_at) Explain(&answer);
  return quick_truncated_ && book_.waiting() < waiting;
}

void Engine::PlaceNow() {
  const bool woken = wake_us_ > 0 && NowUs() >= wake_us_;
  const bool same = planned_version_ == book_.version() && !woken;
  if (same && options_.clock->Monotonic() < retry_plan_) return;
  if (woken) {
    wake_us_ = 0;
    explained_version_ = ~0ULL;
  }
  retry_plan_ = absl::InfiniteDuration();
  if (UseQuickPlan()) {
    quick_truncated_ = false;
    for (int round = 0; round < kQuickRounds && book_.waiting() > 0; ++round) {
      if (!PlaceHead()) break;
    }
    if (book_.waiting() == 0) quick_truncated_ = false;
  } else {
    quick_truncated_ = book_.waiting() > 0;
  }
  planned_version_ = book_.version();
}

bool Engine::TakePlanJob(PlanJob* job) {
  if (plan_desk_ != nullptr && untold_.runs.size() > kUntoldMax) {
    plan_desk_ = nullptr;
    untold_.Clear();
    untold_links_.clear();
  }
  if (plan_out_ || !quick_truncated_) return false;
  const absl::Duration monotonic = options_.clock->Monotonic();
  const bool whole = whole_due_ && monotonic >= next_whole_plan_;
  if (!whole && explained_version_ == book_.version()) return false;
  if (monotonic < next_plan_) return false;
  *job = DeskJob();
  job->whole = whole || UseQuickPlan();  // quick plans are not the desk's
  plan_out_ = true;
  plan_began_ = monotonic;
  return true;
}

// Whether the core did all that the plan said, or time will show it: what it did not is no news.
bool Engine::WasCarriedOut(const placement::Plan& plan, const ClusterBook::Epochs& epochs) const {
  for (const placement::Placement& placement : plan.placements) {
    const auto run = state_.runs.find(placement.run_uid);
    if (run != state_.runs.end() && run->second->state() == journal::v1::R_WAITING) return false;
  }
  const auto stops = [&](uint64_t run_uid) {
    const auto run = state_.runs.find(run_uid);
    const auto epoch = epochs.find(run_uid);
    return run == state_.runs.end() || epoch == epochs.end() ||
           run->second->attempt().epoch() != epoch->second ||
           run->second->state() != journal::v1::R_ACTIVE || run->second->attempt().stop_us() > 0;
  };
  return std::all_of(plan.preemptions.begin(), plan.preemptions.end(),
                     [&](const auto& one) { return stops(one.run_uid); }) &&
         std::all_of(plan.resizes.begin(), plan.resizes.end(),
                     [&](const auto& one) { return one.for_run_uid == 0 || stops(one.run_uid); });
}

void Engine::Answer(PlanAnswer answer) {
  plan_out_ = false;
  ++plan_counts_.all;
  plan_counts_.whole += answer.whole ? 1 : 0;
  explained_version_ = answer.version;
  const absl::Duration monotonic = options_.clock->Monotonic();
  next_plan_ = monotonic + (UseQuickPlan() ? kPlanGap : absl::ZeroDuration());
  if (answer.whole) {
    next_whole_plan_ = monotonic + std::max(kWholeGap, kWholeShare * (monotonic - plan_began_));
  }
  whole_due_ = !answer.whole;
  Explain(&answer);
  const bool refused = CarryOut(answer.plan, answer.epochs, answer.version);
  const bool done = WasCarriedOut(answer.plan, answer.epochs);
  if (!done && plan_desk_ != nullptr) plan_desk_->Doubt();
  if (!refused && done) return;
  if (!refused && answer.version != book_.version()) return;  // the next plan knows what changed
  explained_version_ = ~0ULL;  // once more, without the nodes that refused
  next_plan_ = monotonic + kRetryGap;
}

// The whole queue, for whoever asks: a copy of it, where it is short.
PlanJob Engine::LookJob() {
  if (plan_desk_ != nullptr || !UseQuickPlan() || book_.waiting() > kQuickWhole) return DeskJob();
  bool truncated = false;
  return Snapshot(SIZE_MAX, &truncated);
}

void Engine::Look(core::Command submit, std::function<void(absl::StatusOr<Preview>)> done) {
  submit.now_us = NowUs();
  auto& body = std::get<core::SubmitJob>(submit.body);
  body.validate_only = true;
  absl::Status status;
  if (auto decision = core::Decide(state_, submit); !decision.ok()) {
    status = decision.status();
  } else if (*previews_out_ >= kPreviewsMax) {
    status = MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                       absl::StrCat(kPreviewsMax, " looks ahead are under way already"),
                       "try again in a second");
  }
  if (!status.ok()) return AfterCommit([done = std::move(done), status] { done(status); });
  const v1::JobSpec& spec = body.spec;
  journal::v1::JobRow job;
  job.set_uid(state_.server.next_uid());
  job.set_project(body.project);
  job.set_principal(submit.principal.name);
  job.set_create_us(submit.now_us);
  journal::v1::RunRow run;
  run.set_uid(job.uid() + 1);
  run.set_queued_us(submit.now_us);
  PreviewJob preview;
  preview.plan = LookJob();
  preview.run = WaitingOf(state_, run, job, spec);
  ++*previews_out_;
  preview.done = [out = previews_out_, done = std::move(done)](absl::StatusOr<Preview> answer) {
    --*out;
    done(std::move(answer));
  };
  previews_.push_back(std::move(preview));
}

void Engine::AskWhatIf(uint64_t run_uid,
                       std::function<void(std::vector<placement::Counterfactual>)> done) {
  if (auto found = found_what_ifs_->Find(run_uid, options_.clock->Monotonic()); found.has_value()) {
    return AfterCommit([done = std::move(done), found = *std::move(found)] { done(found); });
  }
  const auto run = state_.runs.find(run_uid);
  const bool waits = run != state_.runs.end() && run->second->state() == journal::v1::R_WAITING;
  const auto job = waits ? state_.jobs.find(run->second->job_uid()) : state_.jobs.end();
  const auto spec = waits ? state_.specs.find(run->second->job_uid()) : state_.specs.end();
  if (job == state_.jobs.end() || spec == state_.specs.end() || *previews_out_ >= kPreviewsMax) {
    return AfterCommit([done = std::move(done)] { done({}); });
  }
  WhatIfJob ask;
  ask.plan = LookJob();
  ask.run = WaitingOf(state_, *run->second, *job->second, *spec->second);
  ++*previews_out_;
  ask.done = [out = previews_out_, found = found_what_ifs_, clock = options_.clock, run_uid,
              begun = options_.clock->Monotonic(), done = std::move(done)](const auto& changes) {
    --*out;
    found->Note(run_uid, begun, clock->Monotonic(), changes);
    done(changes);
  };
  what_ifs_.push_back(std::move(ask));
}

}  // namespace trainyard::runtime
