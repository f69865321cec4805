// What the engine does by itself at the end of a cycle: timers, leases, placement; see engine.h.
// Placement of a small cluster is planned at once, for the head of the queue, so that a submit and
// its placement share one commit; the whole queue is explained by a planner thread.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "scheduler/runtime/engine.h"

namespace trainyard::runtime {
namespace {

constexpr size_t kQuickRuns = 64;
constexpr size_t kQuickNodes = 128;
constexpr size_t kWholeRuns = 2000;
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

bool Engine::UseQuickPlan() const { return book_.nodes() <= kQuickNodes; }

void Engine::Explain(const placement::Plan& plan) {
  std::vector<uint64_t> hopeless;
  for (const placement::Explanation& explanation : plan.explanations) {
    explanations_.push_back(std::make_shared<const placement::Explanation>(explanation));
    if (explanation.reason == "NO_CAPACITY" || explanation.reason == "WAITING_FOR_NODES") {
      hopeless.push_back(explanation.run_uid);
    }
  }
  book_.Park(hopeless);
}

// One quick plan for the head of the queue; true when another one may find more.
bool Engine::PlaceHead() {
  const size_t waiting = book_.waiting();
  const placement::Snapshot snapshot =
      book_.Snapshot(state_, kQuickRuns, NowUs(), &quick_truncated_);
  const placement::Plan plan = placement::MakePlan(snapshot, {});
  if (!plan.placements.empty() || !plan.preemptions.empty()) {
    Internal(ClusterBook::PlanCommand(plan));
    CatchUp();
  }
  // The core looked again and refused: the same plan is not tried over and over.
  if (!plan.placements.empty() && book_.waiting() == waiting) {
    retry_plan_ = options_.clock->Monotonic() + kIdleMax;
  }
  const bool all_placed = plan.placements.size() == snapshot.waiting.size();
  if (!all_placed) Explain(plan);
  return quick_truncated_ && book_.waiting() < waiting;
}

void Engine::PlaceNow() {
  if (planned_version_ == book_.version() && options_.clock->Monotonic() < retry_plan_) return;
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
  job->snapshot = book_.Snapshot(state_, kWholeRuns, NowUs(), &truncated);
  job->version = book_.version();
  plan_out_ = true;
  return true;
}

void Engine::Answer(PlanAnswer answer) {
  plan_out_ = false;
  explained_version_ = answer.version;
  next_whole_plan_ =
      options_.clock->Monotonic() + (UseQuickPlan() ? kWholePlanGap : absl::ZeroDuration());
  Explain(answer.plan);
  if (!answer.plan.placements.empty() || !answer.plan.preemptions.empty()) {
    Internal(ClusterBook::PlanCommand(answer.plan));
  }
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
  if (!plan_out_ && quick_truncated_ && explained_version_ != book_.version()) {
    idle = std::min(idle, next_whole_plan_ - monotonic);
  }
  return std::max(absl::ZeroDuration(), idle);
}

}  // namespace trainyard::runtime
