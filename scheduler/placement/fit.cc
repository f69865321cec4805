// Where a gang goes: filters, then the tightest nodes (or the emptiest, when it is spread), within
// the islands or racks its topology allows. See cluster.h.
#include <algorithm>
#include <bit>
#include <map>
#include <tuple>

#include "scheduler/placement/cluster.h"

namespace trainyard::placement {
namespace {

bool Tolerates(const Shape& shape, const std::pair<int32_t, int32_t>& taint) {
  return std::any_of(shape.tolerations.begin(), shape.tolerations.end(), [&](const auto& t) {
    return (t.first == 0 || t.first == taint.first) && (t.second == 0 || t.second == taint.second);
  });
}

bool InTime(const Node& node, const Shape& shape, const Terms& terms) {
  bool in_calendar = shape.calendar == 0;
  for (const Window& window : node.windows) {
    if (window.end_us != 0 && window.end_us <= terms.now_us) continue;
    const bool open = window.start_us <= terms.now_us;
    if (shape.calendar != 0 && window.calendar == shape.calendar) {
      in_calendar |= open;
      continue;
    }
    if (open) return false;
    const bool ends_before = terms.limit_us > 0 && terms.now_us + terms.limit_us <= window.start_us;
    if (!terms.preemptible && !ends_before) return false;
  }
  return in_calendar;
}

// Whether a run may use a node that is kept for another one.
bool MakesWay(const Node& node, const Terms& terms) {
  if (terms.run_uid == node.kept_for || terms.priority > node.kept_priority) return true;
  if (node.kept_closed) return false;
  if (terms.preemptible) return true;
  return terms.limit_us > 0 && terms.now_us + terms.limit_us <= node.kept_until_us;
}

}  // namespace

bool Cluster::Admits(const Node& node, const Shape& shape, const Terms& terms) const {
  if (!node.present || !node.schedulable) return false;
  if (terms.only != nullptr && (*terms.only)[static_cast<size_t>(&node - nodes_.data())] == 0) {
    return false;
  }
  if (terms.present_only && node.leaving > 0) return false;
  if (node.kept_for != 0 && !MakesWay(node, terms)) return false;
  for (const auto& taint : node.taints) {
    if (!Tolerates(shape, taint)) return false;
  }
  for (const auto& label : shape.labels) {
    if (!std::binary_search(node.labels.begin(), node.labels.end(), label)) return false;
  }
  if (terms.keep_avoided && !shape.avoid.empty() &&
      std::find(shape.avoid.begin(), shape.avoid.end(), node.name) != shape.avoid.end()) {
    return false;
  }
  return (node.windows.empty() && shape.calendar == 0) || InTime(node, shape, terms);
}

int32_t Cluster::DomainOf(const Node& node, Domain domain) const {
  switch (domain) {
    case Domain::kNode:
      return node.name;
    case Domain::kIsland:
      return node.island;
    case Domain::kRack:
      return node.rack;
  }
  return 0;
}

bool Cluster::Allowed(const Node& node, const Shape& shape, const Terms& terms,
                      const std::vector<char>* domains) const {
  if (domains != nullptr) {
    const auto domain = static_cast<size_t>(DomainOf(node, shape.topology.domain));
    if (domain >= domains->size() || (*domains)[domain] == 0) return false;
  }
  return Admits(node, shape, terms);
}

// An upper bound by counts alone, so that a full cluster costs nothing.
bool Cluster::Hopeless(const Shape&, const Needs& needs, int64_t ranks) const {
  if (needs.gpu_count == 0 || needs.profile != 0) return false;
  for (size_t free = by_whole_.size(); free-- > static_cast<size_t>(needs.gpu_count);) {
    ranks -= int64_t{in_whole_[free]} * (static_cast<int64_t>(free) / needs.gpu_count);
    if (ranks <= 0) return false;
  }
  return true;
}

// Nodes by whole devices free: first those that hold all that is left, tightest first, then those
// that hold most. The lowest index among equals.
int32_t Cluster::NextWhole(const Shape& shape, const Needs& needs, int left, int models,
                           const Terms& terms, const std::vector<char>* domains) const {
  int32_t best = -1;
  int best_fits = 0;
  const auto look = [&](int free) {
    const Bits& bits = by_whole_[static_cast<size_t>(free)];
    const int expected = std::min(left, free / needs.gpu_count);
    for (size_t word = 0; word < bits.size(); ++word) {
      for (uint64_t rest = bits[word]; rest != 0; rest &= rest - 1) {
        const auto index =
            static_cast<int32_t>(word * 64 + static_cast<size_t>(std::countr_zero(rest)));
        const Node& candidate = node(index);
        const int fits = Fits(candidate, needs, left, models);
        if (fits <= best_fits || !Allowed(candidate, shape, terms, domains)) continue;
        best = index;
        best_fits = fits;
        if (fits == expected) return true;
      }
    }
    return best_fits == left;
  };
  const int top = static_cast<int>(by_whole_.size()) - 1;
  const int64_t all = int64_t{left} * needs.gpu_count;
  const int from = static_cast<int>(std::min<int64_t>(all, top + 1));
  for (int free = from; free <= top; ++free) {
    if (in_whole_[static_cast<size_t>(free)] > 0 && look(free)) return best;
  }
  for (int free = from - 1; free >= needs.gpu_count; --free) {
    if (best_fits >= free / needs.gpu_count) break;
    if (in_whole_[static_cast<size_t>(free)] > 0 && look(free)) return best;
  }
  return best;
}

int32_t Cluster::Next(const Shape& shape, const Needs& needs, int left, int models,
                      const Terms& terms, const std::vector<int32_t>& used,
                      const std::vector<char>* domains) const {
  if (!shape.spread && needs.gpu_count > 0 && needs.profile == 0) {
    return NextWhole(shape, needs, left, models, terms, domains);
  }
  int32_t best = -1;
  std::tuple<int64_t, int64_t, int64_t> best_score;
  for (int32_t i = 0; i < size(); ++i) {
    const Node& candidate = node(i);
    const int fits = Fits(candidate, needs, left, models);
    if (fits == 0 || !Allowed(candidate, shape, terms, domains)) continue;
    std::tuple<int64_t, int64_t, int64_t> score;  // smaller is better
    if (shape.spread) {
      score = {std::count(used.begin(), used.end(), i), -candidate.milli_free, -candidate.cpu_free};
    } else {
      score = {left - fits, candidate.milli_free, candidate.cpu_free};
    }
    if (best < 0 || score < best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

bool Cluster::TakeGroups(const Shape& shape, int models, const Terms& terms,
                         const std::vector<char>* domains, Slices* slices) {
  const size_t before = slices->size();
  for (const Shape::Group& group : shape.groups) {
    std::vector<int32_t> used;
    size_t next = 0;
    while (next < group.ranks.size()) {
      const int left = static_cast<int>(group.ranks.size() - next);
      const int32_t chosen = Next(shape, group.needs, left, models, terms, used, domains);
      if (chosen < 0) {
        for (; slices->size() > before; slices->pop_back()) Add(slices->back(), +1);
        return false;
      }
      const int here = shape.spread ? 1 : Fits(node(chosen), group.needs, left, models);
      for (int i = 0; i < here; ++i, ++next) {
        slices->push_back(Cut(chosen, group.needs, group.ranks[next], models));
        Take(slices->back());
      }
      used.push_back(chosen);
    }
  }
  return true;
}

// Sets of domains worth trying, best first: the tightest single one that holds the gang, else the
// roomiest ones together, as few as can be.
std::vector<std::vector<char>> Cluster::Domains(const Shape& shape, int models,
                                                const Terms& terms) const {
  const Needs& needs = shape.groups.front().needs;
  std::map<int32_t, int64_t> room;  // ranks
  for (const Node& candidate : nodes_) {
    const int32_t domain = DomainOf(candidate, shape.topology.domain);
    if (domain == 0 || !Admits(candidate, shape, terms)) continue;
    room[domain] += Fits(candidate, needs, shape.rank_count, models);
  }
  std::vector<std::pair<int64_t, int32_t>> order;
  int32_t largest = 0;
  for (const auto& [domain, ranks] : room) {
    order.emplace_back(-ranks, domain);
    largest = std::max(largest, domain);
  }
  std::sort(order.begin(), order.end());
  std::vector<std::vector<char>> sets;
  const auto wanted = static_cast<int64_t>(shape.rank_count);
  for (size_t i = order.size(); i-- > 0 && sets.size() < 3;) {  // the tightest that hold it
    if (-order[i].first < wanted) continue;
    sets.emplace_back(static_cast<size_t>(largest) + 1, 0);
    sets.back()[static_cast<size_t>(order[i].second)] = 1;
  }
  const size_t most = shape.topology.domains_max > 0
                          ? static_cast<size_t>(shape.topology.domains_max)
                          : order.size();
  std::vector<char> set(static_cast<size_t>(largest) + 1, 0);
  int64_t sum = 0;
  for (size_t i = 0; i < order.size() && i < most && sum < wanted; ++i) {
    set[static_cast<size_t>(order[i].second)] = 1;
    sum -= order[i].first;
  }
  if (sum >= wanted) sets.push_back(std::move(set));
  return sets;
}

bool Cluster::TryTake(const Shape& shape, const Terms& terms, Slices* slices) {
  slices->clear();
  if (shape.rank_count == 0) return false;
  const bool shaped = shape.topology.domain != Domain::kNode || shape.topology.domains_max > 0;
  // Accepted models are tried best first: all ranks on the best one, then with the next allowed.
  for (int models = 1; models <= shape.alternatives; ++models) {
    const bool hopeless = std::any_of(shape.groups.begin(), shape.groups.end(), [&](const auto& g) {
      return Hopeless(shape, g.needs, static_cast<int64_t>(g.ranks.size()));
    });
    if (hopeless) continue;
    if (shaped) {
      for (const std::vector<char>& domains : Domains(shape, models, terms)) {
        if (TakeGroups(shape, models, terms, &domains, slices)) return true;
      }
      if (shape.topology.required) continue;
    }
    if (TakeGroups(shape, models, terms, nullptr, slices)) return true;
  }
  return false;
}

bool Cluster::TryTakeOn(const Shape& shape, const Terms& terms, const std::vector<int32_t>& nodes,
                        Slices* slices) {
  slices->clear();
  for (const Shape::Group& group : shape.groups) {
    size_t next = 0;
    for (const int32_t index : nodes) {
      const int left = static_cast<int>(group.ranks.size() - next);
      if (left == 0) break;
      if (!Admits(node(index), shape, terms)) continue;
      const int here = Fits(node(index), group.needs, left, shape.alternatives);
      for (int i = 0; i < here; ++i, ++next) {
        slices->push_back(Cut(index, group.needs, group.ranks[next], shape.alternatives));
        Take(slices->back());
      }
    }
    if (next < group.ranks.size()) {
      for (; !slices->empty(); slices->pop_back()) Add(slices->back(), +1);
      return false;
    }
  }
  return true;
}

}  // namespace trainyard::placement
