// The passes that take GPUs away: srsf, las, lasfifo. They differ in their order alone; the walk
// over it is one. See replay.h.
#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "sim/replay/passes.h"

namespace trainyard::replay {
namespace {

// The walk: jobs in priority order until every GPU is spoken for. A running job keeps its nodes
// unless one before it took them. Another takes GPUs nobody holds; else GPUs not held by jobs
// already walked, and on each chosen node the last-in-order holders not yet walked are evicted,
// each giving back all its nodes.
class Walk {
 public:
  Walk(Engine* engine, const Options& options, const std::vector<LiveJob*>& order)
      : engine_(engine),
        order_(order),
        unclaimed_(options.nodes, options.gpus_per_node, options.pack),
        holders_(static_cast<size_t>(options.pack ? options.nodes : 1)),
        old_(order.size()) {
    for (size_t i = order.size(); i-- > 0;) {  // the last in order is evicted first
      if (!order[i]->running()) continue;
      old_[i] = order[i]->share;
      for (const auto& [node, gpus] : order[i]->share) {
        holders_[static_cast<size_t>(node)].push_back(static_cast<int32_t>(i));
      }
    }
  }

  void Run() {
    std::vector<Share> target(order_.size());
    held_.resize(order_.size());
    free_ = std::make_unique<Pool>(engine_->pool());
    for (size_t i = 0; i < order_.size(); ++i) held_[i] = order_[i]->running();
    for (size_t i = 0; i < order_.size() && unclaimed_.total_free() > 0; ++i) {
      if (held_[i]) {
        target[i] = old_[i];
        unclaimed_.Take(old_[i]);
        walked_ = i + 1;
        continue;
      }
      Share share;
      if (free_->Fit(order_[i]->gpus, &share) || MakeRoom(i, &share)) {
        free_->Take(share);
        unclaimed_.Take(share);
        target[i] = std::move(share);
      }
      walked_ = i + 1;
    }
    Perform(target);
  }

 private:
  bool MakeRoom(size_t i, Share* share) {
    if (!unclaimed_.Fit(order_[i]->gpus, share)) return false;
    walked_ = i;
    for (const auto& [node, gpus] : *share) {
      std::vector<int32_t>& holders = holders_[static_cast<size_t>(node)];
      for (size_t h = 0; free_->free(node) < gpus && h < holders.size(); ++h) {
        const auto victim = static_cast<size_t>(holders[h]);
        if (victim < walked_ || !held_[victim]) continue;
        held_[victim] = false;
        free_->Give(old_[victim]);
      }
    }
    return true;
  }

  // A job that got its very GPUs back is undisturbed; one that moved or lost them is preempted.
  void Perform(const std::vector<Share>& target) {
    for (size_t i = 0; i < order_.size(); ++i) {
      if (!order_[i]->running() || target[i] == old_[i]) continue;
      engine_->Stop(order_[i]);
      engine_->CountPreemption(*order_[i]);
    }
    for (size_t i = 0; i < order_.size(); ++i) {
      if (!order_[i]->running() && !target[i].empty()) engine_->Start(order_[i], target[i]);
    }
  }

  Engine* const engine_;
  const std::vector<LiveJob*>& order_;
  Pool unclaimed_;                             // not held by walked jobs
  std::unique_ptr<Pool> free_;                 // held by nobody
  std::vector<std::vector<int32_t>> holders_;  // by node, last in order first
  std::vector<Share> old_;
  std::vector<bool> held_;  // still holds its old share
  size_t walked_ = 0;
};

bool AnyWaiting(const std::vector<LiveJob*>& jobs) {
  return std::any_of(jobs.begin(), jobs.end(), [](const LiveJob* job) { return !job->running(); });
}

class SrsfPass : public Pass {
 public:
  explicit SrsfPass(const Options& options) : options_(options) {}
  void Arrive(LiveJob* job) override { jobs_.push_back(job); }
  void Finish(LiveJob* job) override { std::erase(jobs_, job); }
  void Schedule(Engine* engine) override {
    if (!AnyWaiting(jobs_)) return;
    const int64_t now = engine->now();
    std::sort(jobs_.begin(), jobs_.end(), [now](const LiveJob* a, const LiveJob* b) {
      return std::tuple(a->RemainingAt(now) * a->gpus, a->submit, a->row) <
             std::tuple(b->RemainingAt(now) * b->gpus, b->submit, b->row);
    });
    Walk(engine, options_, jobs_).Run();
  }

 private:
  const Options options_;
  std::vector<LiveJob*> jobs_;
};

class LasPass : public Pass {
 public:
  LasPass(const Options& options, bool submit_order)
      : options_(options), submit_order_(submit_order) {}
  void Arrive(LiveJob* job) override { levels_[0].push_back(job); }
  void Finish(LiveJob* job) override {
    std::erase(levels_[0], job);
    std::erase(levels_[1], job);
    demoted_.erase(job->row);
  }
  void Demote(LiveJob* job) override {
    std::erase(levels_[0], job);
    levels_[1].push_back(job);
    demoted_[job->row] = true;
  }
  double NextThreshold(const LiveJob& job) const override {
    if (demoted_.contains(job.row)) return -1;
    return options_.las_threshold.value_or(57600) *
           std::pow(job.gpus, options_.las_gpu_exponent.value_or(0));
  }
  void Schedule(Engine* engine) override {
    if (!AnyWaiting(levels_[0]) && !AnyWaiting(levels_[1])) return;
    std::vector<LiveJob*> order;
    for (std::vector<LiveJob*>& level : levels_) {
      if (submit_order_) {
        std::sort(level.begin(), level.end(), [](const LiveJob* a, const LiveJob* b) {
          return std::tie(a->submit, a->row) < std::tie(b->submit, b->row);
        });
      }
      order.insert(order.end(), level.begin(), level.end());
    }
    Walk(engine, options_, order).Run();
    if (submit_order_) return;
    for (std::vector<LiveJob*>& level : levels_) {
      std::stable_partition(level.begin(), level.end(),
                            [](const LiveJob* job) { return job->running(); });
    }
  }

 private:
  const Options options_;
  const bool submit_order_;
  std::vector<LiveJob*> levels_[2];
  std::unordered_map<int32_t, bool> demoted_;
};

}  // namespace

std::unique_ptr<Pass> MakeSrsfPass(const Options& options) {
  return std::make_unique<SrsfPass>(options);
}
std::unique_ptr<Pass> MakeLasPass(const Options& options, bool submit_order) {
  return std::make_unique<LasPass>(options, submit_order);
}

}  // namespace trainyard::replay
