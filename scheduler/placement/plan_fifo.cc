// First in, first out by gangs: higher priority first, then whoever queued first. A run that must
// wait for room holds back those behind it; one that could never start on the nodes that are
// reachable does not. See placement.h.
#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "scheduler/placement/explain.h"
#include "scheduler/placement/placement.h"
#include "scheduler/placement/room.h"

namespace trainyard::placement {
namespace {

constexpr size_t kBlockersMax = 10;

// Nodes the run failed on are avoided while the reachable cluster could hold it without them.
std::set<std::string> Avoided(const WaitingRun& run, const Snapshot& snapshot) {
  std::set<std::string> avoid(run.avoid_nodes.begin(), run.avoid_nodes.end());
  if (avoid.empty()) return avoid;
  Room reachable(snapshot.nodes, /*empty=*/true, /*schedulable_only=*/true);
  if (!reachable.Take(run, avoid).has_value()) avoid.clear();
  return avoid;
}

// All ranks, or of an elastic run as many of the first ones as have room. O(log ranks) tries: what
// holds k ranks holds fewer.
std::optional<Placement> TakeMost(const WaitingRun& run, const std::set<std::string>& avoid,
                                  Room* room) {
  auto whole = room->Take(run, avoid);
  if (whole.has_value() || run.ranks_min <= 0) return whole;
  const auto first = [&run](size_t count) {
    WaitingRun part = run;
    part.ranks.resize(count);
    return part;
  };
  size_t fits = 0;
  size_t low = static_cast<size_t>(run.ranks_min);
  size_t high = run.ranks.empty() ? 0 : run.ranks.size() - 1;
  while (low <= high && low > 0) {
    const size_t middle = low + (high - low) / 2;
    Room trial = *room;
    if (trial.Take(first(middle), avoid).has_value()) {
      fits = middle;
      low = middle + 1;
    } else {
      high = middle - 1;
    }
  }
  if (fits == 0) return std::nullopt;
  return room->Take(first(fits), avoid);
}

class FifoPlanner {
 public:
  explicit FifoPlanner(const Snapshot& snapshot)
      : snapshot_(snapshot), room_(snapshot.nodes, /*empty=*/false, /*schedulable_only=*/true) {}

  Plan Make() {
    std::vector<const WaitingRun*> order;
    order.reserve(snapshot_.waiting.size());
    for (const WaitingRun& run : snapshot_.waiting) order.push_back(&run);
    std::sort(order.begin(), order.end(), [](const WaitingRun* a, const WaitingRun* b) {
      return std::tuple(-a->priority, a->queued_us, a->run_uid) <
             std::tuple(-b->priority, b->queued_us, b->run_uid);
    });
    for (const WaitingRun* run : order) Visit(*run);
    return std::move(plan_);
  }

 private:
  struct Verdict {
    bool blocks = false;
    Explanation explanation;
  };

  void Visit(const WaitingRun& run) {
    Explanation explanation;
    explanation.run_uid = run.run_uid;
    if (run.hold) {
      explanation.reason = "WAITING_FOR_RESOURCES";
      explanation.message = "held by its owner until it is released";
      Wait(std::move(explanation));
      return;
    }
    if (head_ == nullptr) {
      if (auto placement = TakeMost(run, Avoided(run, snapshot_), &room_); placement.has_value()) {
        plan_.placements.push_back(*std::move(placement));
        return;
      }
    }
    const Verdict& verdict = Judge(run);
    explanation = verdict.explanation;
    explanation.run_uid = run.run_uid;
    if (verdict.blocks && head_ != nullptr) {
      explanation.reason = "WAITING_BEHIND";
      explanation.message =
          absl::StrCat("behind ", ahead_.size() >= kBlockersMax ? "at least " : "", ahead_.size(),
                       ahead_.size() == 1 ? " run" : " runs", " in the queue; the first of them ",
                       head_message_);
      explanation.counterfactuals.clear();
    }
    Wait(std::move(explanation));
    if (verdict.blocks && head_ == nullptr) {
      head_ = &run;
      head_message_ = verdict.explanation.message;
    }
    if (verdict.blocks && ahead_.size() < kBlockersMax) ahead_.push_back(run.run_uid);
  }

  // Whether a run that has no place now blocks others, and why it waits; runs of equal needs share
  // one answer. The room does not change once a run blocks.
  const Verdict& Judge(const WaitingRun& run) {
    const auto [found, is_new] = verdicts_.try_emplace(DescribeNeeds(run));
    if (is_new || (head_ == nullptr && found->second.blocks)) {
      found->second.explanation = {};
      found->second.blocks = ExplainRefusal(snapshot_, run, room_, &found->second.explanation);
    }
    return found->second;
  }

  void Wait(Explanation explanation) {
    explanation.position = ++position_;
    explanation.blockers.assign(ahead_.begin(), ahead_.end());
    plan_.explanations.push_back(std::move(explanation));
  }

  const Snapshot& snapshot_;
  Room room_;
  Plan plan_;
  const WaitingRun* head_ = nullptr;  // the first run that waits for room
  std::string head_message_;
  std::map<std::string, Verdict> verdicts_;  // by needs
  std::deque<uint64_t> ahead_;
  int32_t position_ = 0;
};

}  // namespace

// Other policies are added here by name; an unknown name is served in order.
Plan MakePlan(const Snapshot& snapshot, const Policy& /*policy*/) {
  return FifoPlanner(snapshot).Make();
}

}  // namespace trainyard::placement
