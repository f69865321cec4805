// The preempt stage: whose devices a run gets, where least is lost. See planner.h.
//  - On each node the cheapest holders that make room together; over the nodes the cheapest one; a
//    gang takes node after node, and what is evicted once costs once.
//  - Runs that borrow are reclaimed from deepest over its guarantee first.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/container/inlined_vector.h"
#include "scheduler/placement/planner.h"

namespace trainyard::placement {
namespace {

// On a large cluster so many nodes are priced; from which on differs from run to run.
constexpr int32_t kSmallCluster = 256;
constexpr size_t kPricedMax = 16;
constexpr double kMinuteUs = 60e6;

}  // namespace

struct Planner::Offer {
  bool good = false;
  double cost = 0;
  int ranks = 0;
  std::vector<int32_t> victims;
};

bool Planner::Evictable(const Run& victim, int power, const Run& by) const {
  if (victim.state != State::kRunning || victim.priority > by.priority) return false;
  if (victim.held->started_us >= now_us_) return false;  // placed in this pass
  if (power == kReclaimPower) return true;               // if it borrows: see OfferOf
  if (!policy_.preempt || !victim.preemptible) return false;
  if (victim.held->started_us + MinRunUs(victim) > now_us_) return false;
  if (victim.priority < by.priority) return true;
  if (victim.front) return false;
  if (Spare(victim)) return true;  // what is beyond its minimum
  if (policy_.order == OrderBy::kFair && !by.front) {
    return power == 0 && victim.owner >= 0 && AboveShare(victim.owner, shape(victim).charge_milli);
  }
  return by.front || victim.level + (victim.fresh ? 1 : 0) > LevelNow(by);
}

// The line's, where it waits in one.
int Planner::LevelNow(const Run& waiting) const {
  return waiting.line < 0 ? waiting.level : lines_[static_cast<size_t>(waiting.line)].level;
}

// Up to which of ripe_ a run of this power looks.
size_t Planner::RipeEnd(int power) const {
  return power == kFrontPower ? ripe_.size() : ripe_.size() - 1;
}

// Whether somebody on the node may be evicted, as far as it is to be seen of each alone.
bool Planner::HasVictim(const Node& node, int power, const Run& by) const {
  return std::any_of(node.holders.begin(), node.holders.end(), [&](int32_t holder) {
    const Run& victim = run(holder);
    if (!Evictable(victim, power, by)) return false;
    return power != kReclaimPower || quota_.Borrows(victim.leaf, victim.held->use);
  });
}

double Planner::CostOf(const Run& victim, int power) const {
  const Held& held = *victim.held;
  const int64_t saved = held.rung_ended
                            ? now_us_
                            : std::min(now_us_, std::max(held.started_us, held.last_checkpoint_us));
  // A restart that was not paid whole is paid again.
  const int64_t restarting = std::max<int64_t>(
      0, held.started_us + (victim.attained_us > 0 ? policy_.restart_cost_us : 0) - now_us_);
  double cost = shape(victim).devices *
                static_cast<double>(policy_.restart_cost_us + now_us_ - saved + restarting + 1);
  const int below = victim.level - std::max(0, power);
  if (policy_.victim_level != 1) cost *= std::pow(policy_.victim_level, -below);
  if (policy_.victim_age != 0) {
    const double age = static_cast<double>(now_us_ - held.started_us) / (10 * kMinuteUs);
    cost *= std::pow(1 + age, policy_.victim_age);
  }
  if (Spare(victim)) cost *= 1e-3;  // shrinking comes before evicting
  if (power == kReclaimPower) {
    cost /= 1 + static_cast<double>(std::max<int64_t>(0, quota_.Over(victim.leaf)));
  }
  return cost;
}

namespace {

// What a holder gives back on one node, in the measures that a need has.
struct Part {
  double cost = 0;
  int64_t devices = 0;  // whole accepted ones, or places for a fraction
  int64_t cpu = 0;
  int64_t memory = 0;
  int32_t run = 0;
  const Slices* slices = nullptr;
  std::vector<Part> together;  // it is these, which give a device only together
};
struct Sum {
  int64_t devices = 0, cpu = 0, memory = 0;
  void Add(const Part& part, int sign) {
    devices += sign * part.devices;
    cpu += sign * part.cpu;
    memory += sign * part.memory;
  }
  bool Holds(const Needs& needs, int64_t ranks) const {
    return (!needs.wants_device() || devices >= ranks * std::max(1, needs.gpu_count)) &&
           cpu >= ranks * needs.cpu_milli && memory >= ranks * needs.memory_bytes;
  }
};

bool Accepts(const Needs& needs, const Device& device) {
  return device.usable && device.profile == needs.profile &&
         device.memory_bytes >= needs.gpu_memory_bytes &&
         (needs.models.empty() ||
          std::find(needs.models.begin(), needs.models.end(), device.model) != needs.models.end());
}

int64_t Places(const Needs& needs, int64_t milli) {
  return needs.gpu_count > 0 ? (milli == 1000 ? 1 : 0) : milli / std::max(1, needs.gpu_milli);
}

Part PartOf(const Node& node, int32_t index, const Slices& slices, const Needs& needs) {
  Part part;
  for (const Slice& slice : slices) {
    if (slice.node != index) continue;
    part.cpu += slice.cpu_milli;
    part.memory += slice.memory_bytes;
    for (const int16_t position : slice.devices) {
      const Device& device = node.devices[static_cast<size_t>(position)];
      if (!Accepts(needs, device)) continue;
      const int64_t milli = device.milli_free + slice.gpu_milli;
      part.devices += Places(needs, milli) - Places(needs, device.milli_free);
    }
  }
  return part;
}

// Thousandths of each device of a node.
using Milli = absl::InlinedVector<int64_t, 16>;

void AddMilli(int32_t index, const Slices& slices, Milli* milli) {
  for (const Slice& slice : slices) {
    if (slice.node != index) continue;
    for (const int16_t position : slice.devices) {
      (*milli)[static_cast<size_t>(position)] += slice.gpu_milli;
    }
  }
}

int64_t PlacesIn(const Node& node, const Needs& needs, const Milli& milli) {
  int64_t places = 0;
  for (size_t i = 0; i < node.devices.size(); ++i) {
    if (Accepts(needs, node.devices[i])) places += Places(needs, milli[i]);
  }
  return places;
}

// Whether a run holds a share of a device there.
bool Shares(int32_t index, const Slices& slices) {
  return std::any_of(slices.begin(), slices.end(), [&](const Slice& slice) {
    return slice.node == index && slice.gpu_milli < 1000 && !slice.devices.empty();
  });
}

// Where devices are shared, what each gives alone does not add up: those that give a device only
// together become one part. `milli`: what is free without any of them.
void Join(const Node& node, int32_t index, const Needs& needs, const Milli& milli,
          std::vector<Part>* parts) {
  const int64_t free = PlacesIn(node, needs, milli);
  std::vector<Milli> with(parts->size(), milli);
  std::vector<size_t> group(parts->size());
  for (size_t i = 0; i < parts->size(); ++i) {
    AddMilli(index, *(*parts)[i].slices, &with[i]);
    (*parts)[i].devices = PlacesIn(node, needs, with[i]) - free;
    group[i] = i;
  }
  for (size_t at = 0; at < milli.size(); ++at) {
    if (!Accepts(needs, node.devices[at])) continue;
    std::vector<size_t> sharers;
    int64_t joint = milli[at];
    int64_t alone = 0;
    for (size_t i = 0; i < with.size(); ++i) {
      if (with[i][at] == milli[at]) continue;
      sharers.push_back(i);
      joint += with[i][at] - milli[at];
      alone += Places(needs, with[i][at]) - Places(needs, milli[at]);
    }
    if (Places(needs, joint) - Places(needs, milli[at]) <= alone) continue;
    for (const size_t i : sharers) {
      std::replace(group.begin(), group.end(), size_t{group[i]}, size_t{group[sharers[0]]});
    }
  }
  std::map<size_t, std::vector<Part>> groups;
  for (size_t i = 0; i < parts->size(); ++i) groups[group[i]].push_back((*parts)[i]);
  parts->clear();
  for (auto& [first, members] : groups) {
    if (members.size() == 1) {
      parts->push_back(std::move(members[0]));
      continue;
    }
    Part& joint = parts->emplace_back();
    Milli all = milli;
    for (const Part& member : members) {
      AddMilli(index, *member.slices, &all);
      joint.cost += member.cost;
      joint.cpu += member.cpu;
      joint.memory += member.memory;
    }
    joint.devices = PlacesIn(node, needs, all) - free;
    joint.together = std::move(members);
  }
}

// Of parts that were chosen, each run by itself, without those that are not needed, dearest first.
std::vector<Part> Sifted(const Node& node, int32_t index, const Needs& needs, const Milli& milli,
                         const Sum& free, int64_t ranks, const std::vector<Part>& chosen) {
  std::vector<Part> runs;
  for (const Part& part : chosen) {
    if (part.together.empty()) runs.push_back(part);
    runs.insert(runs.end(), part.together.begin(), part.together.end());
  }
  std::stable_sort(runs.begin(), runs.end(),
                   [](const Part& a, const Part& b) { return a.cost > b.cost; });
  for (size_t i = 0; i < runs.size();) {
    Sum sum = free;
    Milli left = milli;
    for (size_t k = 0; k < runs.size(); ++k) {
      if (k == i) continue;
      AddMilli(index, *runs[k].slices, &left);
      sum.cpu += runs[k].cpu;
      sum.memory += runs[k].memory;
    }
    sum.devices = PlacesIn(node, needs, left);
    if (sum.Holds(needs, ranks)) {
      runs.erase(runs.begin() + static_cast<ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  return runs;
}

// The cheapest parts that make `sum` hold what is needed: by cost for what they give, then without
// those that turn out not to be needed; or one alone, if that is cheaper.
bool Cheapest(std::vector<Part> parts, Sum sum, const Needs& needs, int64_t ranks,
              std::vector<Part>* cheapest) {
  const auto worth = [](const Part& part) {
    return part.cost / static_cast<double>(std::max<int64_t>(1, part.devices));
  };
  std::stable_sort(parts.begin(), parts.end(),
                   [&](const Part& a, const Part& b) { return worth(a) < worth(b); });
  const Part* alone = nullptr;
  for (const Part& part : parts) {
    Sum with = sum;
    with.Add(part, +1);
    if (with.Holds(needs, ranks) && (alone == nullptr || part.cost < alone->cost)) alone = &part;
  }
  std::vector<const Part*> chosen;
  for (const Part& part : parts) {
    if (sum.Holds(needs, ranks)) break;
    sum.Add(part, +1);
    chosen.push_back(&part);
  }
  if (!sum.Holds(needs, ranks)) return false;
  for (size_t i = 0; i < chosen.size();) {
    Sum without = sum;
    without.Add(*chosen[i], -1);
    if (!without.Holds(needs, ranks)) {
      ++i;
      continue;
    }
    sum = without;
    chosen.erase(chosen.begin() + static_cast<ptrdiff_t>(i));
  }
  double cost = 0;
  for (const Part* part : chosen) cost += part->cost;
  if (alone != nullptr && alone->cost <= cost) chosen = {alone};
  for (const Part* part : chosen) cheapest->push_back(*part);
  return true;
}

}  // namespace

// Leaves those parts that may go together without taking anybody below its guarantee.
template <typename Parts>
void Planner::KeepBorrowers(Parts* parts, QuotaTree* quota) const {
  std::stable_sort(parts->begin(), parts->end(),
                   [](const auto& a, const auto& b) { return a.cost < b.cost; });
  Parts kept;
  for (const auto& part : *parts) {
    const Run& victim = run(part.run);
    if (!quota->Borrows(victim.leaf, victim.held->use)) continue;
    quota->Add(victim.leaf, victim.held->use, -1);
    kept.push_back(part);
  }
  for (const auto& part : kept) quota->Add(run(part.run).leaf, run(part.run).held->use, +1);
  *parts = std::move(kept);
}

// Of fair: leaves those parts that may go together, and with those chosen already, without taking a
// user below its share.
template <typename Parts>
void Planner::KeepAboveShare(Parts* parts, const std::set<int32_t>& chosen) const {
  std::map<int32_t, int64_t> gone;  // by owner
  for (const int32_t victim : chosen) gone[run(victim).owner] += shape(run(victim)).charge_milli;
  std::stable_sort(parts->begin(), parts->end(),
                   [](const auto& a, const auto& b) { return a.cost < b.cost; });
  std::erase_if(*parts, [&](const auto& part) {
    const Run& victim = run(part.run);
    const int64_t without = gone[victim.owner] + shape(victim).charge_milli;
    if (!AboveShare(victim.owner, without)) return true;
    gone[victim.owner] = without;
    return false;
  });
}

Planner::Offer Planner::OfferOf(int32_t index, const Needs& needs, int want, int power,
                                const Run& by, const std::set<int32_t>& chosen,
                                QuotaTree* quota) const {
  Offer offer;
  const Node& node = cluster_.node(index);
  Sum free{0, node.cpu_free, node.memory_free};
  for (const Device& device : node.devices) {
    if (Accepts(needs, device)) free.devices += Places(needs, device.milli_free);
  }
  Milli milli;  // by device, once those that were chosen already are gone
  for (const Device& device : node.devices) milli.push_back(device.milli_free);
  bool shared = false;
  std::vector<Part> parts;
  for (const int32_t holder : node.holders) {
    const Run& victim = run(holder);
    const bool taken = chosen.contains(holder);
    if (!taken && !Evictable(victim, power, by)) continue;
    const Slices& slices = victim.held->slices;
    Part part = PartOf(node, index, slices, needs);
    shared |= Shares(index, slices);
    if (taken) {
      free.Add(part, +1);
      AddMilli(index, slices, &milli);
      continue;
    }
    part.run = holder;
    part.slices = &slices;
    part.cost = CostOf(victim, power);
    parts.push_back(std::move(part));
  }
  if (power == kReclaimPower) KeepBorrowers(&parts, quota);
  const bool shares = policy_.order == OrderBy::kFair && power == 0;
  if (shares) KeepAboveShare(&parts, chosen);
  if (shared) {
    free.devices = PlacesIn(node, needs, milli);
    Join(node, index, needs, milli, &parts);
  }
  Sum most = free;
  for (const Part& part : parts) most.Add(part, +1);
  for (offer.ranks = want; offer.ranks > 0 && !most.Holds(needs, offer.ranks);) --offer.ranks;
  if (offer.ranks == 0) return offer;
  std::vector<Part> cheapest;
  offer.good = Cheapest(std::move(parts), free, needs, offer.ranks, &cheapest);
  if (!offer.good) return offer;
  if (shared) cheapest = Sifted(node, index, needs, milli, free, offer.ranks, cheapest);
  for (const Part& part : cheapest) {
    offer.cost += part.cost;
    offer.victims.push_back(part.run);
  }
  return offer;
}

// Nodes where enough could become free for a rank, by counts alone.
std::vector<int32_t> Planner::Candidates(const Run& by, const Shape& of, const Needs& needs,
                                         int power, const std::vector<char>* within) const {
  std::vector<int32_t> candidates;
  const int32_t nodes = cluster_.size();
  const size_t limit = nodes <= kSmallCluster
                           ? static_cast<size_t>(nodes)
                           : std::max(kPricedMax, 2 * static_cast<size_t>(of.rank_count));
  const auto begin =
      nodes <= kSmallCluster
          ? 0
          : static_cast<int32_t>(by.uid * 2654435761u % static_cast<uint64_t>(nodes));
  const Terms terms = TermsOf(by);
  const auto from = static_cast<size_t>(std::max(0, power + 1));
  for (int32_t n = 0; n < nodes && candidates.size() < limit; ++n) {
    const int32_t i = begin + n < nodes ? begin + n : begin + n - nodes;
    if (within != nullptr && (*within)[static_cast<size_t>(i)] == 0) continue;
    const Node& node = cluster_.node(i);
    if (power != kReclaimPower) {
      int devices = node.whole_free;
      int runs = 0;
      for (size_t level = from; level < RipeEnd(power); ++level) {
        devices += ripe_[level][static_cast<size_t>(i)];
        runs += ripe_runs_[level][static_cast<size_t>(i)];
      }
      if (needs.gpu_count > 0 && devices < needs.gpu_count) continue;
      if (runs == 0 && cluster_.Fits(node, needs, 1, 1 << 20) == 0) continue;
    }
    if (!cluster_.Admits(node, of, terms)) continue;
    // Of a large cluster only some are priced: they must be worth it.
    const bool worth = nodes <= kSmallCluster || HasVictim(node, power, by) ||
                       cluster_.Fits(node, needs, 1, 1 << 20) > 0;
    if (worth) candidates.push_back(i);
  }
  return candidates;
}

// Whose devices would make room for the shape on its first `models` models, on the nodes `within`
// (null: all).
bool Planner::Choose(int32_t index, const Shape& of, int models, int power,
                     const std::vector<char>* within, Choice* choice) const {
  const Run& by = run(index);
  std::set<int32_t> chosen;
  std::set<int32_t> used;
  QuotaTree quota;
  if (power == kReclaimPower) quota = quota_;
  for (const Shape::Group& group : of.groups) {
    Needs needs = group.needs;
    if (std::ssize(needs.models) > models) needs.models.resize(static_cast<size_t>(models));
    const std::vector<int32_t> candidates = Candidates(by, of, needs, power, within);
    auto left = static_cast<int>(group.ranks.size());
    if (needs.gpu_count > 0) {  // ranks for which there are devices at all
      size_t most = 0;
      for (const int32_t node : candidates) {
        most += cluster_.node(node).devices.size() / static_cast<size_t>(needs.gpu_count);
      }
      if (most < group.ranks.size()) return false;
    }
    std::vector<Offer> offers(candidates.size());
    std::vector<char> stale(candidates.size(), 1);
    while (left > 0) {
      Offer best;
      int32_t best_node = kNone;
      for (size_t c = 0; c < candidates.size(); ++c) {
        const int32_t node = candidates[c];
        if (used.contains(node)) continue;
        Offer& offer = offers[c];
        const bool again = power == kReclaimPower || policy_.order == OrderBy::kFair;
        if (stale[c] != 0 || offer.ranks > left || again) {
          offer = OfferOf(node, needs, left, power, by, chosen, &quota);
          stale[c] = 0;
        }
        if (!offer.good) continue;
        const double each = offer.cost / offer.ranks;
        const double best_each = best_node == kNone ? HUGE_VAL : best.cost / best.ranks;
        const bool better =
            each < best_each ||
            (each == best_each &&
             (offer.ranks > best.ranks ||
              (offer.ranks == best.ranks &&
               cluster_.node(node).whole_free < cluster_.node(best_node).whole_free)));
        if (!better) continue;
        best = offer;
        best_node = node;
      }
      if (best_node == kNone) return false;
      used.insert(best_node);
      choice->nodes.push_back(best_node);
      choice->cost += best.cost;
      for (const int32_t victim : best.victims) {
        if (!chosen.insert(victim).second) continue;
        choice->victims.push_back(victim);
        for (const Slice& slice : run(victim).held->slices) {  // its other nodes got cheaper
          for (size_t c = 0; c < candidates.size(); ++c) {
            if (candidates[c] == slice.node) stale[c] = 1;
          }
        }
        if (power == kReclaimPower) quota.Add(run(victim).leaf, run(victim).held->use, -1);
      }
      left -= best.ranks;
    }
  }
  return !choice->victims.empty();
}

}  // namespace trainyard::placement
