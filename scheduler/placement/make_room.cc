// The preempt stage: where a run goes whose devices have to be taken from others, and what becomes
// of those. Whose they are is chosen in evict.cc. See planner.h.
//  - Models are tried best first, and where the shape has a topology the islands or racks it may
//  lie
//    in, each as if nothing else were there: what would be taken elsewhere is of no use.
#include <algorithm>
#include <map>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {
namespace {

constexpr size_t kDomainsPriced = 8;

bool IsShaped(const Shape& of) {
  return of.topology.domain != Domain::kNode || of.topology.domains_max > 0;
}

}  // namespace

// Ranks that a node could hold at most if everybody who may be evicted there was.
int64_t Planner::MostRanks(int32_t index, const Shape& of, int power) const {
  const Needs& needs = of.groups.front().needs;
  if (needs.gpu_count == 0) return of.rank_count;
  const Node& node = cluster_.node(index);
  auto devices = static_cast<int64_t>(node.devices.size());
  if (power != kReclaimPower) {
    devices = node.whole_free;
    for (auto level = static_cast<size_t>(std::max(0, power + 1)); level < RipeEnd(power);
         ++level) {
      devices += ripe_[level][static_cast<size_t>(index)];
    }
  }
  return std::min<int64_t>(devices / needs.gpu_count, of.rank_count);
}

// Sets of nodes in which a shape with a topology may lie: single domains first, most free first,
// then as many of the roomiest together as it takes. The last is of several domains unless `single`
// holds all.
std::vector<Planner::Realm> Planner::RealmsOf(const Run& by, const Shape& of, int power) const {
  struct Place {
    int64_t ranks = 0;
    int64_t free = 0;
    std::vector<int32_t> nodes;
  };
  const Terms terms = TermsOf(by);
  std::map<int32_t, Place> places;
  for (int32_t i = 0; i < cluster_.size(); ++i) {
    const int32_t domain = cluster_.DomainOf(cluster_.node(i), of.topology.domain);
    if (domain == 0 || !cluster_.Admits(cluster_.node(i), of, terms)) continue;
    Place& place = places[domain];
    place.ranks += MostRanks(i, of, power);
    place.free += cluster_.node(i).milli_free;
    place.nodes.push_back(i);
  }
  std::vector<const Place*> order;
  for (const auto& [domain, place] : places) order.push_back(&place);
  const auto add = [this](const Place& place, Realm* realm) {
    realm->nodes.resize(static_cast<size_t>(cluster_.size()));
    for (const int32_t node : place.nodes) realm->nodes[static_cast<size_t>(node)] = 1;
  };
  std::stable_sort(order.begin(), order.end(),
                   [](const Place* a, const Place* b) { return a->free > b->free; });
  std::vector<Realm> realms;
  for (const Place* place : order) {
    if (place->ranks < of.rank_count || realms.size() >= kDomainsPriced) continue;
    realms.emplace_back().single = true;
    add(*place, &realms.back());
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Place* a, const Place* b) { return a->ranks > b->ranks; });
  const size_t most =
      of.topology.domains_max > 0 ? static_cast<size_t>(of.topology.domains_max) : order.size();
  Realm together;
  int64_t ranks = 0;
  for (size_t i = 0; i < std::min(most, order.size()) && ranks < of.rank_count; ++i) {
    add(*order[i], &together);
    ranks += order[i]->ranks;
  }
  if (ranks >= of.rank_count && most > 1) realms.push_back(std::move(together));
  return realms;
}

// The cheapest victims of the first kind of realm that has any.
bool Planner::ChooseShaped(int32_t index, const Shape& of, int models, int power,
                           Choice* best) const {
  if (!IsShaped(of)) return Choose(index, of, models, power, nullptr, best);
  bool found = false;
  for (const Realm& realm : RealmsOf(run(index), of, power)) {
    if (found && !realm.single) break;
    Choice choice;
    if (!Choose(index, of, models, power, &realm.nodes, &choice)) continue;
    if (found && choice.cost >= best->cost) continue;
    *best = std::move(choice);
    found = true;
  }
  if (found || of.topology.required) return found;
  return Choose(index, of, models, power, nullptr, best);
}

bool Planner::MakeRoom(int32_t index, int power, const std::vector<int32_t>& models, Plan* plan) {
  const int32_t shape_id = Restricted(run(index).shape, models);
  if (shape_id == kNone) return false;
  const Shape& of = shapes_.at(shape_id);
  if (power != kReclaimPower) {
    int64_t runs = 0;  // also without devices: cores may be what is short
    for (auto level = static_cast<size_t>(std::max(0, power + 1)); level < RipeEnd(power);
         ++level) {
      runs += ripe_all_[level];
    }
    if (runs == 0) return false;
  }
  for (int accepted = 1; accepted <= of.alternatives; ++accepted) {
    Choice choice;
    if (!ChooseShaped(index, of, accepted, power, &choice)) continue;
    if (Evict(index, of, power, choice, plan)) return true;
  }
  return false;
}

// Where the run goes on the nodes chosen, once the victims are gone; nothing: it does not fit there
// after all.
bool Planner::TakeChosen(int32_t index, const Shape& of, const std::vector<int32_t>& nodes,
                         Slices* slices) {
  Terms terms = TermsOf(run(index));
  if (!IsShaped(of) && !of.spread && of.alternatives == 1) {
    return cluster_.TryTakeOn(of, terms, nodes, slices);
  }
  std::vector<char> only(static_cast<size_t>(cluster_.size()));
  for (const int32_t node : nodes) only[static_cast<size_t>(node)] = 1;
  terms.only = &only;
  return cluster_.TryTake(of, terms, slices);
}

// Carries a choice out, unless what it would take breaks something that the choice did not weigh.
bool Planner::Evict(int32_t index, const Shape& of, int power, const Choice& choice, Plan* plan) {
  const std::vector<int32_t>& victims = choice.victims;
  for (const int32_t victim : victims) {
    for (const Slice& slice : run(victim).held->slices) cluster_.Untake(slice);
  }
  Slices slices;
  bool good = TakeChosen(index, of, choice.nodes, &slices) &&
              (quota_.empty() || quota_.Exceeded(run(index).leaf, UseOf(slices)) < 0);
  // Elastic victims keep what they can go on with; a peer may not take that.
  std::map<int32_t, std::pair<int32_t, Slices>> kept;
  for (size_t i = 0; good && i < victims.size(); ++i) {
    const Run& victim = run(victims[i]);
    if (!Spare(victim)) continue;
    Slices keeps;
    const int32_t shape_id = Retain(victims[i], &keeps);
    if (shape_id != kNone) {
      kept[victims[i]] = {shape_id, std::move(keeps)};
    } else {
      good = power == kReclaimPower || run(index).front || victim.priority < run(index).priority ||
             victim.level > LevelNow(run(index)) || policy_.order == OrderBy::kFair;
    }
  }
  if (!good) {
    for (const auto& [victim, keeps] : kept) {
      for (const Slice& slice : keeps.second) cluster_.Untake(slice);
    }
    for (const Slice& slice : slices) cluster_.Untake(slice);
    for (const int32_t victim : victims) {
      for (const Slice& slice : run(victim).held->slices) cluster_.Take(slice);
    }
    return false;
  }
  for (const int32_t victim : victims) {
    const auto keeps = kept.find(victim);
    if (keeps != kept.end()) {
      Resize(victim, keeps->second.first, std::move(keeps->second.second), run(index).uid, plan);
    } else {
      Preempt(victim, power, run(index).uid, plan);
    }
  }
  Claim(index, run(index).shape, std::move(slices), plan);
  return true;
}

void Planner::Preempt(int32_t victim, int power, uint64_t for_run, Plan* plan) {
  const Held& held = *run(victim).held;
  Preemption& preemption = plan->preemptions.emplace_back();
  preemption.run_uid = run(victim).uid;
  preemption.for_run_uid = for_run;
  preemption.reason = power == kReclaimPower ? "reclaimed for a guarantee"
                      : power == kWindowPower
                          ? "its node is wanted for maintenance or a reservation"
                      : power == kKeptPower  ? "its nodes were kept for a run that may start now"
                      : power == kFrontPower ? "a run that waited long or has priority goes first"
                                             : "a run with less service goes first";
  const int64_t since = std::min(now_us_, std::max(held.started_us, held.last_checkpoint_us));
  preemption.lost_device_us = static_cast<int64_t>(
      shape(run(victim)).devices * static_cast<double>(policy_.restart_cost_us + now_us_ - since));
  Halt(victim, /*given=*/true);
}

}  // namespace trainyard::placement
