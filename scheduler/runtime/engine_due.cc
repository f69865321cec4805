// What the engine does by itself at the end of a cycle: timers, leases, placement; see engine.h.
// Placement of a small cluster is planned at once, for the head of the queue, so that a submit and
// its placement share one commit; the whole queue is explained by a planner thread.
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
constexpr size_t kWholeRuns = 20'000;
constexpr int kQuickRounds = 8;
constexpr absl::Duration kWholePlanGap = absl::Milliseconds(100);
constexpr absl::Duration kFruitlessTickGap = absl::Milliseconds(100);
constexpr absl::Duration kIdleMax = absl::Seconds(1);

}  // namespace

void Engine::DoDue() {
  const absl::Duration monotonic = options_.clock->Monotonic();
  for (const std::string& node_id : leases_.Expire(monotonic)) {
    Disconnect(node_id);
    Internal(core::AgentLoss{node_id,
                             absl::StrCat("no word for ", absl::FormatDuration(options_.lease))});
  }
  const int64_t deadline = core::NextDeadline(state_);
  if (deadline > NowUs()) return;
  if (deadline == fruitless_tick_us_ && monotonic < last_tick_ + kFruitlessTickGap) return;
  const uint64_t before = state_.sequence;
  Internal(core::Tick{});
  fruitless_tick_us_ = state_.sequence == before ? deadline : 0;
  last_tick_ = monotonic;
}

// By order of queueing the head tells what comes next. Other orders look at everybody.
bool Engine::UseQuickPlan() const {
  if (book_.nodes() > kQuickNodes) return false;
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
  job.policies.what_ifs = options_.what_ifs;
  for (const placement::RunningRun& run : job.snapshot.running) {
    job.epochs[run.run_uid] = state_.runs.at(run.run_uid)->attempt().epoch();
  }
  job.snapshot.history = history_.Shared(options_.clock->Monotonic());
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
  Remember(plan.memory);
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

void Engine::Explain(const placement::Plan& plan) {
  std::vector<uint64_t> hopeless;
  for (const placement::Explanation& explanation : plan.explanations) {
    explanations_.push_back(std::make_shared<const placement::Explanation>(explanation));
    history_.Foretold(explanation, NowUs());
    if (explanation.reason == "NO_CAPACITY" || explanation.reason == "WAITING_FOR_NODES") {
      hopeless.push_back(explanation.run_uid);
    }
  }
  book_.Park(hopeless);
}

// One quick plan for the head of the queue; true when another one may find more.
bool Engine::PlaceHead() {
  const size_t waiting = book_.waiting();
  const bool by_head = options_.policy.order == placement::OrderBy::kQueued;
  PlanJob job = Snapshot(by_head ? kQuickRuns : kQuickWhole, &quick_truncated_);
  const size_t looked_at = job.snapshot.waiting.size();
  const PlanAnswer answer = ThinkOver(std::move(job));
  const placement::Plan& plan = answer.plan;
  if (CarryOut(plan, answer.epochs, answer.version)) {
    retry_plan_ = options_.clock->Monotonic() + kIdleMax;
  }
  if (plan.placements.size() != looked_at) Explain(plan);
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
  if (plan_out_ || !quick_truncated_ || explained_version_ == book_.version()) return false;
  if (options_.clock->Monotonic() < next_whole_plan_) return false;
  bool truncated = false;
  *job = Snapshot(kWholeRuns, &truncated);
  plan_out_ = true;
  return true;
}

void Engine::Answer(PlanAnswer answer) {
  plan_out_ = false;
  explained_version_ = answer.version;
  next_whole_plan_ =
      options_.clock->Monotonic() + (UseQuickPlan() ? kWholePlanGap : absl::ZeroDuration());
  Explain(answer.plan);
  if (!CarryOut(answer.plan, answer.epochs, answer.version)) return;
  explained_version_ = ~0ULL;  // once more, without the nodes that refused
  next_whole_plan_ = options_.clock->Monotonic() + kIdleMax;
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
  bool truncated = false;
  preview.plan = Snapshot(kWholeRuns, &truncated);
  preview.run_uid = run.uid();
  preview.plan.snapshot.waiting.push_back(WaitingOf(state_, run, job, spec));
  ++*previews_out_;
  preview.done = [out = previews_out_, done = std::move(done)](absl::StatusOr<Preview> answer) {
    --*out;
    done(std::move(answer));
  };
  previews_.push_back(std::move(preview));
}

absl::Duration Engine::Idle() const {
  const absl::Duration monotonic = options_.clock->Monotonic();
  absl::Duration idle = std::min(kIdleMax, leases_.Next() - monotonic);
  const int64_t deadline = core::NextDeadline(state_);
  if (deadline != INT64_MAX) {
    absl::Duration until = absl::Microseconds(deadline - NowUs());
    if (deadline == fruitless_tick_us_) {
      until = std::max(until, last_tick_ + kFruitlessTickGap - monotonic);
    }
    idle = std::min(idle, until);
  }
  if (wake_us_ > 0) idle = std::min(idle, absl::Microseconds(wake_us_ - NowUs()));
  if (!plan_out_ && quick_truncated_ && explained_version_ != book_.version()) {
    idle = std::min(idle, next_whole_plan_ - monotonic);
  }
  return std::max(absl::ZeroDuration(), idle);
}

}  // namespace trainyard::runtime
