// What the engine does by itself at the end of a cycle: timers, leases; placement is in
// engine_plan.cc. See engine.h.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "scheduler/runtime/engine.h"

namespace trainyard::runtime {
namespace {

constexpr absl::Duration kFruitlessTickGap = absl::Milliseconds(100);
constexpr absl::Duration kIdleMax = absl::Seconds(1);
constexpr absl::Duration kStoodStill = absl::Seconds(3);  // we look every second

}  // namespace

// Nodes could not be heard while we stood still ourselves (a stopped process, a machine that
// slept): then their leases begin anew, as after a restart. They count theirs from what they sent.
void Engine::ExpireLeases(absl::Duration monotonic) {
  const absl::Duration gap = monotonic - std::exchange(last_due_, monotonic);
  if (gap > kStoodStill) {
    LOG(WARNING) << "stood still for=" << gap << ", all leases begin anew";
    leases_.RestartAll(monotonic, options_.lease);
    return;
  }
  for (const std::string& node_id : leases_.Expire(monotonic)) {
    EndSession(node_id);
    Internal(core::AgentLoss{node_id,
                             absl::StrCat("no word for ", absl::FormatDuration(options_.lease))});
  }
}

// What a lost node had free must not tempt the planner while its lease goes on.
void Engine::EndLostGangs(absl::Duration monotonic) {
  for (const std::string& node_id : lost_gangs_.Heard(leases_, monotonic)) {
    if (sessions_.IsOpen(node_id)) SetLinked(node_id, true);
  }
  for (core::GangSilence& gang : lost_gangs_.Due(state_, leases_, monotonic)) {
    LOG(WARNING) << "gang lost its nodes before their leases are over, run=" << gang.run_uid
                 << " nodes=" << absl::StrJoin(gang.silent, ",");
    for (const std::string& node_id : gang.silent) {
      lost_gangs_.Shun(node_id);
      SetLinked(node_id, false);
    }
    Internal(std::move(gang));
  }
}

void Engine::DoDue() {
  history_.CountOverdue(state_, NowUs());
  const absl::Duration monotonic = options_.clock->Monotonic();
  ExpireLeases(monotonic);
  EndLostGangs(monotonic);
  const int64_t deadline = core::NextDeadline(state_);
  if (deadline > NowUs()) return;
  if (deadline == fruitless_tick_us_ && monotonic < last_tick_ + kFruitlessTickGap) return;
  const uint64_t before = state_.sequence;
  Internal(core::Tick{});
  fruitless_tick_us_ = state_.sequence == before ? deadline : 0;
  last_tick_ = monotonic;
}

absl::Duration Engine::Idle() const {
  const absl::Duration monotonic = options_.clock->Monotonic();
  absl::Duration idle = std::min(kIdleMax, leases_.Next() - monotonic);
  if (lost_gangs_.waits()) idle = std::min(idle, LostGangs::kLookGap);
  const int64_t deadline = core::NextDeadline(state_);
  if (deadline != INT64_MAX) {
    absl::Duration until = absl::Microseconds(deadline - NowUs());
    if (deadline == fruitless_tick_us_) {
      until = std::max(until, last_tick_ + kFruitlessTickGap - monotonic);
    }
    idle = std::min(idle, until);
  }
  if (wake_us_ > 0) idle = std::min(idle, absl::Microseconds(wake_us_ - NowUs()));
  if (!plan_out_ && quick_truncated_) {
    if (explained_version_ != book_.version()) idle = std::min(idle, next_plan_ - monotonic);
    if (whole_due_) idle = std::min(idle, std::max(next_plan_, next_whole_plan_) - monotonic);
  }
  return std::max(absl::ZeroDuration(), idle);
}

}  // namespace trainyard::runtime
