// What a plan leaves to the next one when the planner does not live on: who was promised a start,
// how far studies sank, and who sank since. See planner.h.
//  - A planner that is filled from a snapshot with the memory of the last plan decides as one that
//    lived through both.
//  - Who is in front of the promised follows from who is promised (levels.cc): it is not kept.
#include <algorithm>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {

void Planner::Recall(const PlanMemory& memory) {
  handed_on_ = PlanMemory{};
  RecallPeaks(memory.peaks);
  RecallPromises(memory);
  // Runs sank while they were told one after the other: that is not what makes them make way.
  for (const int32_t index : fresh_) {
    run(index).fresh = false;
    if (run(index).held != nullptr) CountRipe(index);
  }
  fresh_.clear();
  if (memory.made_us > 0) RecallFresh(memory.made_us);
}

void Planner::RecallPeaks(const std::vector<OwnerView>& peaks) {
  for (const OwnerView& peak : peaks) {
    const auto found = owner_by_uid_.find(peak.owner_uid);
    if (policy_.order != OrderBy::kAttained || found == owner_by_uid_.end()) {
      handed_on_.peaks.push_back(peak);
      continue;
    }
    Owner& owner = owners_[static_cast<size_t>(found->second)];
    owner.recalled_us = static_cast<double>(peak.attained_device_us);
    owner.peak_us = std::max(owner.peak_us, owner.recalled_us);
    owner.next_us = 0;  // all its runs are looked at
    CheckOwner(found->second);
  }
}

void Planner::PromiseNow(int32_t index) {
  if (run(index).promised) return;
  unpromised_.erase({run(index).wait_from_us - run(index).waited_us, index});
  FrontAdd(index);
}

void Planner::RecallPromises(const PlanMemory& memory) {
  for (const uint64_t uid : memory.promised) {
    const auto found = by_uid_.find(uid);
    if (policy_.aging_us > 0 && found != by_uid_.end()) {
      PromiseNow(found->second);
    } else {
      handed_on_.promised.push_back(uid);
    }
  }
  if (memory.made_us > 0 || policy_.aging_us == 0) return;
  KnowCapacity();
  const double limit = LimitUs();
  for (const auto& [uid, index] : by_uid_) {
    const Run& of = run(index);
    if (of.state != State::kRunning) continue;
    const double due = shape(of).gang ? limit * policy_.gang_aging : limit;
    if (static_cast<double>(of.waited_us) >= due) PromiseNow(index);
  }
}

// Whose level is lower than it was at the last plan: its peers may go before it, in one plan.
void Planner::RecallFresh(int64_t made_us) {
  if (policy_.order != OrderBy::kAttained) return;
  for (const auto& [uid, index] : by_uid_) {
    Run& of = run(index);
    if (of.state != State::kRunning || of.held->started_us >= now_us_) continue;
    const int64_t since_us = now_us_ - std::max(made_us, of.held->started_us);
    // As exact as Advance is.
    const auto rounding = static_cast<double>(2 * shape(of).charge_milli + 1000);
    const double then_us = static_cast<double>(AttainedUs(of)) + rounding -
                           static_cast<double>(since_us) * shape(of).devices;
    int level = LevelAt(shape(of), then_us);
    if (of.owner >= 0) {
      level =
          std::max(level, LevelAt(shape(of), owners_[static_cast<size_t>(of.owner)].recalled_us));
    }
    if (level >= of.level) continue;
    of.fresh = true;
    fresh_.push_back(index);
    CountRipe(index);
  }
}

PlanMemory Planner::Memory() const {
  PlanMemory memory = handed_on_;
  memory.made_us = now_us_;
  for (const auto& [submitted_us, uid, index] : promised_) memory.promised.push_back(uid);
  if (policy_.order != OrderBy::kAttained) return memory;
  for (const auto& [uid, index] : owner_by_uid_) {
    const Owner& owner = owners_[static_cast<size_t>(index)];
    if (owner.shared) memory.peaks.push_back({uid, static_cast<int64_t>(ChargedUs(owner))});
  }
  std::sort(memory.peaks.begin(), memory.peaks.end(),
            [](const OwnerView& a, const OwnerView& b) { return a.owner_uid < b.owner_uid; });
  return memory;
}

}  // namespace trainyard::placement
