// See shape.h.
#include "scheduler/placement/shape.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace trainyard::placement {
namespace {

// A name of any characters, so that two lists of names never read alike.
void AppendName(char mark, const std::string& name, std::string* key) {
  key->push_back(mark);
  absl::StrAppend(key, name.size(), ":", name);
}

void AppendNeeds(const RankNeeds& needs, std::string* key) {
  absl::StrAppend(key, needs.cpu_milli, ",", needs.memory_bytes, ",", needs.gpu_count, ",",
                  needs.gpu_milli, ",", needs.gpu_memory_bytes);
  AppendName(',', needs.gpu_profile, key);
  for (const std::string& model : needs.gpu_models) AppendName('/', model, key);
  key->push_back(';');
}

std::string KeyOf(const WaitingRun& run) {
  std::string key = absl::StrCat(run.spread ? "s" : "p", static_cast<int>(run.topology.domain), ".",
                                 run.topology.domains_max, run.topology.required ? "!" : "", "|");
  size_t same = 0;  // equal needs in a row are written once
  for (size_t i = 0; i < run.ranks.size(); i += same) {
    const RankNeeds& needs = run.ranks[i];
    for (same = 1; i + same < run.ranks.size(); ++same) {
      const RankNeeds& next = run.ranks[i + same];
      if (std::tie(next.cpu_milli, next.memory_bytes, next.gpu_count, next.gpu_milli,
                   next.gpu_memory_bytes, next.gpu_profile, next.gpu_models) !=
          std::tie(needs.cpu_milli, needs.memory_bytes, needs.gpu_count, needs.gpu_milli,
                   needs.gpu_memory_bytes, needs.gpu_profile, needs.gpu_models)) {
        break;
      }
    }
    absl::StrAppend(&key, same, "x");
    AppendNeeds(needs, &key);
  }
  for (const auto& [label, value] : run.node_labels) {
    AppendName('|', label, &key);
    AppendName('=', value, &key);
  }
  for (const Toleration& t : run.tolerations) {
    AppendName('~', t.key, &key);
    AppendName('=', t.value, &key);
  }
  for (const std::string& node : run.avoid_nodes) AppendName('-', node, &key);
  AppendName('@', run.reservation_id, &key);
  if (run.ranks_min > 0) absl::StrAppend(&key, "|e", run.ranks_min, "-", run.ranks_max);
  return key;
}

bool Larger(const Shape::Group& a, const Shape::Group& b) {
  return std::tie(a.needs.gpu_count, a.needs.gpu_milli, a.needs.cpu_milli, a.needs.memory_bytes) >
         std::tie(b.needs.gpu_count, b.needs.gpu_milli, b.needs.cpu_milli, b.needs.memory_bytes);
}

}  // namespace

int32_t Names::Id(absl::string_view name) {
  if (name.empty()) return 0;
  const auto [found, is_new] =
      ids_.try_emplace(std::string(name), static_cast<int32_t>(names_.size()));
  if (is_new) names_.emplace_back(name);
  return found->second;
}

int32_t Names::Find(absl::string_view name) const {
  if (name.empty()) return 0;
  const auto found = ids_.find(name);
  return found == ids_.end() ? -1 : found->second;
}

Shape Shapes::Build(const WaitingRun& run) {
  Shape shape;
  for (size_t rank = 0; rank < run.ranks.size(); ++rank) {
    const RankNeeds& from = run.ranks[rank];
    Needs needs{from.cpu_milli,
                from.memory_bytes,
                from.gpu_count,
                from.gpu_milli,
                from.gpu_memory_bytes,
                names_.Id(from.gpu_profile),
                {}};
    for (const std::string& model : from.gpu_models) needs.models.push_back(names_.Id(model));
    shape.alternatives = std::max(shape.alternatives, static_cast<int32_t>(needs.models.size()));
    shape.cores_milli += needs.cpu_milli;
    auto found = std::find_if(shape.groups.begin(), shape.groups.end(),
                              [&](const Shape::Group& group) { return group.needs == needs; });
    if (found == shape.groups.end()) {
      found = shape.groups.insert(found, Shape::Group{std::move(needs), {}});
    }
    found->ranks.push_back(static_cast<int32_t>(rank));
  }
  std::stable_sort(shape.groups.begin(), shape.groups.end(), Larger);
  shape.rank_count = static_cast<int32_t>(run.ranks.size());
  shape.spread = run.spread;
  shape.topology = run.topology;
  for (const auto& [label, value] : run.node_labels) {
    shape.labels.emplace_back(names_.Id(label), names_.Id(value));
  }
  for (const Toleration& t : run.tolerations) {
    shape.tolerations.emplace_back(names_.Id(t.key), names_.Id(t.value));
  }
  for (const std::string& node : run.avoid_nodes) shape.avoid.push_back(names_.Id(node));
  shape.calendar = names_.Id(run.reservation_id);
  shape.charge_milli = ChargeMilli(run.ranks, policy_);
  shape.devices = static_cast<double>(shape.charge_milli) / 1000;
  shape.gang = shape.charge_milli > policy_.gang_devices * 1000;
  return shape;
}

int32_t Shapes::Intern(const WaitingRun& run) {
  const auto [found, is_new] = ids_.try_emplace(KeyOf(run), static_cast<int32_t>(shapes_.size()));
  if (!is_new) return found->second;
  WaitingRun whole = run;
  if (run.ranks_min > 0 && !run.ranks.empty() &&
      run.ranks_max > static_cast<int32_t>(run.ranks.size())) {
    whole.ranks.resize(static_cast<size_t>(run.ranks_max), run.ranks.back());
  }
  shapes_.push_back(Build(whole));
  Shape& shape = shapes_.back();
  shape.whole = found->second;
  if (run.ranks_min > 0 && shape.groups.size() == 1) {
    shape.elastic_min = std::clamp(run.ranks_min, 1, shape.rank_count);
  }
  const int32_t id = found->second;
  shape.least = id;
  if (shape.elastic_min > 0) shape.least = Fewer(id, shape.elastic_min);
  return id;
}

int32_t Shapes::Fewer(int32_t id, int32_t ranks) {
  const Shape& all = at(at(id).whole);
  if (ranks == all.rank_count) return all.whole;
  const auto [found, is_new] =
      fewer_.try_emplace(std::pair{all.whole, ranks}, static_cast<int32_t>(shapes_.size()));
  if (!is_new) return found->second;
  Shape shape = all;
  shape.groups.front().ranks.resize(static_cast<size_t>(ranks));
  shape.rank_count = ranks;
  shape.charge_milli = std::max<int64_t>(1, all.charge_milli * ranks / all.rank_count);
  shape.cores_milli = all.cores_milli * ranks / all.rank_count;
  shape.devices = static_cast<double>(shape.charge_milli) / 1000;
  shape.gang = shape.charge_milli > policy_.gang_devices * 1000;
  if (ranks == all.elastic_min) shape.least = found->second;
  shapes_.push_back(std::move(shape));
  return found->second;
}

int32_t Shapes::Only(int32_t id, const std::vector<int32_t>& models) {
  const auto [found, is_new] =
      only_.try_emplace(std::pair{id, models}, static_cast<int32_t>(shapes_.size()));
  if (!is_new) return found->second;
  Shape shape = at(id);
  shape.alternatives = 1;
  for (Shape::Group& group : shape.groups) {
    Needs& needs = group.needs;
    if (!needs.wants_device()) continue;
    if (needs.models.empty()) {
      needs.models = models;
    } else {
      std::erase_if(needs.models, [&](int32_t model) {
        return std::find(models.begin(), models.end(), model) == models.end();
      });
    }
    if (needs.models.empty()) return found->second = kNone;
    shape.alternatives = std::max(shape.alternatives, static_cast<int32_t>(needs.models.size()));
  }
  shapes_.push_back(std::move(shape));
  return found->second;
}

int32_t Shapes::Of(const WaitingRun& run) { return Intern(run); }

int32_t Shapes::Of(const RunningRun& run) {
  WaitingRun again;
  again.ranks = run.ranks;
  again.spread = run.spread;
  again.node_labels = run.node_labels;
  again.tolerations = run.tolerations;
  again.topology = run.topology;
  again.ranks_min = run.ranks_min;
  again.reservation_id = run.reservation_id;
  again.ranks_max = run.ranks_max;
  if (again.ranks.empty()) {  // not told: what it holds stands for what it needs
    for (const RunningRun::Slice& slice : run.slices) {
      RankNeeds needs;
      needs.cpu_milli = slice.cpu_milli;
      needs.memory_bytes = slice.memory_bytes;
      const auto devices = static_cast<int32_t>(slice.device_uuids.size());
      (slice.gpu_milli < 1000 && devices > 0 ? needs.gpu_milli : needs.gpu_count) =
          slice.gpu_milli < 1000 && devices > 0 ? slice.gpu_milli : devices;
      again.ranks.push_back(std::move(needs));
    }
  }
  const int32_t id = Intern(again);
  return at(id).elastic_min > 0 ? Fewer(id, static_cast<int32_t>(run.ranks.size())) : id;
}

}  // namespace trainyard::placement
