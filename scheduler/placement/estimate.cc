// See estimate.h.
#include "scheduler/placement/estimate.h"

#include <algorithm>
#include <functional>

#include "scheduler/placement/history.h"

namespace trainyard::placement {
namespace {

constexpr int64_t kLeastUs = 60'000'000;

}  // namespace

// How long it is going to hold devices, from now or from its start on.
StartEstimator::Rest StartEstimator::RestOf(const Planner::Run& of) const {
  const bool running = of.held != nullptr;
  const Shape& shape = planner_.shape(of);
  const int64_t worked_us = static_cast<int64_t>(static_cast<double>(planner_.AttainedUs(of)) /
                                                 std::max(0.001, shape.devices));
  int64_t rest = of.guess_us > worked_us ? std::max(kLeastUs, of.guess_us - worked_us) : 0;
  if (rest == 0 && history_ != nullptr) {
    rest = history_->Remaining({}, {}, shape.devices, worked_us).middle_us;
  }
  const bool known = rest > 0;
  if (!known) rest = std::max(kLeastUs, worked_us);  // what went on so long goes on as long
  if (of.limit_us > 0) {
    const int64_t spent = running ? planner_.now_us_ - of.held->started_us : 0;
    rest = std::min(rest, std::max<int64_t>(0, of.limit_us - spent));
  }
  return {rest, known};
}

// When devices become free for a waiting run of the level.
void StartEstimator::Rebuild(bool front, int level) {
  heap_.clear();
  const Policy& policy = planner_.policy_;
  int64_t held = 0;
  for (const Planner::Run& of : planner_.runs_) {
    if (of.held == nullptr) continue;
    const int64_t milli = planner_.shape(of).charge_milli;
    held += milli;
    int64_t at = planner_.now_us_;
    bool known = true;  // what is told to stop is about to leave
    if (of.state == Planner::State::kRunning) {
      const Rest rest = RestOf(of);
      at += rest.us;
      const bool yields =
          policy.preempt && of.preemptible && !of.front && (front || of.level > level);
      if (yields) at = std::min(at, of.held->started_us + planner_.MinRunUs(of));
      known = rest.known || yields;
    }
    heap_.push_back({std::max(at, planner_.now_us_), milli, known});
  }
  for (const Taken& taken : taken_) {
    held += taken.milli;
    heap_.push_back({taken.end_us, taken.milli, taken.known});
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  free_milli_ = planner_.cluster_.ChargeableMilli(policy.cores_per_device) - held;
}

std::vector<StartGuess> StartEstimator::Of(const std::vector<int32_t>& order) {
  std::vector<StartGuess> starts;
  starts.reserve(order.size());
  taken_.clear();
  int known_level = -2;
  int64_t time = planner_.now_us_;
  // While nothing has to leave, the count of devices does not tell what it is that keeps a run.
  bool leaves = false;
  bool sure = true;
  for (const int32_t index : order) {
    const Planner::Run& of = planner_.run(index);
    StartGuess& start = starts.emplace_back();
    if (of.hold) continue;
    const Planner::Key key = planner_.KeyOf(of);  // a study's runs stand at its level
    const int level = std::get<1>(key) < 2 ? -1 : std::get<2>(key);
    if (level != known_level) {
      Rebuild(level < 0, level);
      known_level = level;
      time = planner_.now_us_;
      leaves = false;
      sure = true;
    }
    const int64_t milli = planner_.shape(of).charge_milli;
    while (free_milli_ < milli && !heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      time = std::max(time, heap_.back().at_us);
      sure = sure && heap_.back().known;
      leaves = true;
      free_milli_ += heap_.back().milli;
      heap_.pop_back();
    }
    start.known = leaves && sure && free_milli_ >= milli;
    free_milli_ -= milli;
    start.middle_us = time;
    const Rest rest = RestOf(of);
    const bool end_known = start.known && rest.known;
    taken_.push_back({time + rest.us, milli, end_known});
    heap_.push_back({time + rest.us, milli, end_known});
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    const int64_t wait = time - planner_.now_us_;
    RunTimeHistory::Band band{wait / 8, std::max(kLeastUs, wait) * 3};
    if (history_ != nullptr) band = history_->BandOf(wait);
    start.earliest_us = planner_.now_us_ + std::min(band.low_us, wait);
    start.latest_us = planner_.now_us_ + std::max(band.high_us, wait);
  }
  return starts;
}

std::vector<int32_t> StartEstimator::Order(uint64_t last_uid) const {
  std::vector<std::pair<Planner::Key, int32_t>> order;
  for (const auto& [uid, index] : planner_.by_uid_) {
    const Planner::Run& of = planner_.run(index);
    if (of.state == Planner::State::kWaiting) order.emplace_back(planner_.KeyOf(of), index);
  }
  std::sort(order.begin(), order.end());
  std::vector<int32_t> out;
  for (const auto& [key, index] : order) {
    out.push_back(index);
    if (last_uid != 0 && planner_.run(index).uid == last_uid) break;
  }
  return out;
}

StartGuess StartEstimator::OfRun(uint64_t run_uid) {
  const auto found = planner_.by_uid_.find(run_uid);
  if (found == planner_.by_uid_.end() ||
      planner_.run(found->second).state != Planner::State::kWaiting) {
    return {};
  }
  return Of(Order(run_uid)).back();
}

}  // namespace trainyard::placement
