// See estimate.h.
#include "scheduler/placement/estimate.h"

#include <algorithm>
#include <functional>

#include "scheduler/placement/history.h"

namespace trainyard::placement {
namespace {

constexpr int64_t kLeastUs = 60'000'000;
constexpr int64_t kWholeMilli = 1000;

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

// One pool for each model there is; without any device, one of cores.
void StartEstimator::MakePools() {
  pools_.clear();
  pools_of_.clear();
  const Cluster& cluster = planner_.cluster_;
  const int64_t cores_per_device = std::max<int64_t>(1, planner_.policy_.cores_per_device);
  std::map<int32_t, int64_t> by_model;
  int64_t cores = 0;
  for (int32_t i = 0; i < cluster.size(); ++i) {
    const Node& node = cluster.node(i);
    if (!node.present || !node.schedulable) continue;
    cores += node.cpu_total;
    for (const Device& device : node.devices) {
      if (device.usable) by_model[device.model] += kWholeMilli;
    }
  }
  cores_apart_ = !by_model.empty();
  for (const auto& [model, milli] : by_model) {
    Pool& pool = pools_.emplace_back();
    pool.model = model;
    pool.total_milli = milli;
  }
  pools_.emplace_back().total_milli = cores / cores_per_device;
}

// Those that a run of the shape may use.
const std::vector<int32_t>& StartEstimator::PoolsOf(int32_t shape_id) {
  const auto [found, is_new] = pools_of_.try_emplace(shape_id);
  if (!is_new) return found->second;
  std::vector<int32_t>& pools = found->second;
  const Shape& shape = planner_.shapes_.at(shape_id);
  const auto cores = static_cast<int32_t>(pools_.size()) - 1;
  bool devices = false;
  for (const Shape::Group& group : shape.groups) devices |= group.needs.wants_device();
  if (cores_apart_ && devices) {
    const std::vector<int32_t> models = planner_.AcceptedModels(shape);
    for (int32_t i = 0; i < cores; ++i) {
      const int32_t model = pools_[static_cast<size_t>(i)].model;
      if (std::find(models.begin(), models.end(), model) != models.end()) pools.push_back(i);
    }
  }
  if (pools.empty()) pools.push_back(cores);
  return pools;
}

// What a run holds is not free until then.
void StartEstimator::Hold(const Planner::Run& of, int64_t until_us, bool known) {
  const auto add = [&](Pool& pool, int64_t milli) {
    pool.free_milli -= milli;
    pool.heap.push_back({until_us, milli, known});
  };
  const Shape& shape = planner_.shape(of);
  int64_t devices = 0;
  for (const Slice& slice : of.held->slices) devices += std::ssize(slice.devices);
  if (!cores_apart_ || devices == 0) return add(pools_.back(), shape.charge_milli);
  if (shape.cores_milli > 0) {
    const int64_t per_device = std::max<int64_t>(1, planner_.policy_.cores_per_device);
    add(pools_.back(), shape.cores_milli / per_device);
  }
  if (pools_.size() == 2) return add(pools_.front(), shape.charge_milli);
  for (const Slice& slice : of.held->slices) {
    const Node& node = planner_.cluster_.node(slice.node);
    for (const int16_t position : slice.devices) {
      const int32_t model = node.devices[static_cast<size_t>(position)].model;
      const auto pool = std::find_if(pools_.begin(), pools_.end() - 1,
                                     [&](const Pool& one) { return one.model == model; });
      if (pool != pools_.end() - 1) add(*pool, slice.gpu_milli);
    }
  }
}

// When devices become free for a waiting run of the level.
void StartEstimator::Rebuild(bool front, int level) {
  for (Pool& pool : pools_) {
    pool.heap.clear();
    pool.free_milli = pool.total_milli;
    pool.time_us = planner_.now_us_;
    pool.leaves = false;
    pool.sure = true;
  }
  for (const Planner::Run& of : planner_.runs_) {
    if (of.held == nullptr) continue;
    int64_t at = planner_.now_us_;
    bool known = true;  // what is told to stop is about to leave
    if (of.state == Planner::State::kRunning) {
      const Rest rest = RestOf(of);
      at += rest.us;
      const bool yields =
          planner_.policy_.preempt && of.preemptible && !of.front && (front || of.level > level);
      if (yields) at = std::min(at, of.held->started_us + planner_.MinRunUs(of));
      known = rest.known || yields;
    }
    Hold(of, std::max(at, planner_.now_us_), known);
  }
  for (const Taken& taken : taken_) {
    Pool& pool = pools_[static_cast<size_t>(taken.pool)];
    pool.free_milli -= taken.milli;
    pool.heap.push_back({taken.end_us, taken.milli, taken.known});
  }
  for (Pool& pool : pools_) std::make_heap(pool.heap.begin(), pool.heap.end(), std::greater<>());
}

int64_t StartEstimator::FreeIn(const std::vector<int32_t>& pools) const {
  int64_t free = 0;
  for (const int32_t i : pools) {
    free += std::max<int64_t>(0, pools_[static_cast<size_t>(i)].free_milli);
  }
  return free;
}

// To the next time that something leaves one of them; false: nothing does.
bool StartEstimator::Advance(const std::vector<int32_t>& pools) {
  Pool* next = nullptr;
  for (const int32_t i : pools) {
    Pool& pool = pools_[static_cast<size_t>(i)];
    if (pool.heap.empty()) continue;
    if (next == nullptr || pool.heap.front().at_us < next->heap.front().at_us) next = &pool;
  }
  if (next == nullptr) return false;
  std::pop_heap(next->heap.begin(), next->heap.end(), std::greater<>());
  const Free& left = next->heap.back();
  next->time_us = std::max(next->time_us, left.at_us);
  next->sure = next->sure && left.known;
  next->leaves = true;
  next->free_milli += left.milli;
  next->heap.pop_back();
  return true;
}

// While nothing has to leave, the count of devices does not tell what it is that keeps a run.
StartEstimator::Room StartEstimator::MakeRoom(const std::vector<int32_t>& pools, int64_t milli) {
  while (FreeIn(pools) < milli && Advance(pools)) {
  }
  Room room{planner_.now_us_, false};
  bool leaves = false;
  bool sure = true;
  for (const int32_t i : pools) {
    const Pool& pool = pools_[static_cast<size_t>(i)];
    if (pool.free_milli <= 0 && pools.size() > 1) continue;
    room.at_us = std::max(room.at_us, pool.time_us);
    leaves |= pool.leaves;
    sure &= pool.sure;
  }
  room.known = leaves && sure && FreeIn(pools) >= milli;
  return room;
}

void StartEstimator::Take(const std::vector<int32_t>& pools, int64_t milli, int64_t end_us,
                          bool known) {
  for (size_t i = 0; i < pools.size() && milli > 0; ++i) {
    Pool& pool = pools_[static_cast<size_t>(pools[i])];
    const bool last = i + 1 == pools.size();
    const int64_t part = last ? milli : std::min(milli, std::max<int64_t>(0, pool.free_milli));
    if (part == 0) continue;
    milli -= part;
    pool.free_milli -= part;
    taken_.push_back({pools[i], end_us, part, known});
    pool.heap.push_back({end_us, part, known});
    std::push_heap(pool.heap.begin(), pool.heap.end(), std::greater<>());
  }
}

std::vector<StartGuess> StartEstimator::Of(const std::vector<int32_t>& order) {
  std::vector<StartGuess> starts;
  starts.reserve(order.size());
  taken_.clear();
  MakePools();
  int known_level = -2;
  for (const int32_t index : order) {
    const Planner::Run& of = planner_.run(index);
    StartGuess& start = starts.emplace_back();
    if (of.hold) continue;
    const Planner::Key key = planner_.KeyOf(of);  // a study's runs stand at its level
    const int level = std::get<1>(key) < 2 ? -1 : std::get<2>(key);
    if (level != known_level) {
      Rebuild(level < 0, level);
      known_level = level;
    }
    const int64_t milli = planner_.shape(of).charge_milli;
    const std::vector<int32_t>& pools = PoolsOf(of.shape);
    const Room room = MakeRoom(pools, milli);
    start.known = room.known;
    start.middle_us = room.at_us;
    const Rest rest = RestOf(of);
    Take(pools, milli, room.at_us + rest.us, start.known && rest.known);
    const int64_t wait = room.at_us - planner_.now_us_;
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
