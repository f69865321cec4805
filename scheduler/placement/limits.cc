// The quota stage of the planner: what guarantees cover, which limits keep a run waiting, and which
// device models they leave it. See planner.h and quota.h.
//  - A guarantee of one model is honoured on that model: it takes nothing back elsewhere.
//  - A model that is at its limit is left out of those a run is placed on; it waits for its quota
//    only when no other is left.
#include <algorithm>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {
namespace {

int64_t RankMilli(const Needs& needs) {
  return needs.gpu_count > 0 ? int64_t{1000} * needs.gpu_count : needs.gpu_milli;
}

}  // namespace

// Which lines a guarantee covers now, and on which models.
void Planner::Cover() {
  for (const auto& [id, at] : line_by_id_) {
    Line& line = lines_[static_cast<size_t>(at)];
    const Shape& of = shapes_.at(line.shape);
    const Needs& needs = of.groups.front().needs;
    const bool cores = !needs.wants_device();
    auto covered =
        quota_.Covers(line.leaf, cores ? of.cores_milli : of.charge_milli, needs.models, cores);
    if (covered.has_value() && Restricted(line.shape, *covered) == kNone) covered.reset();
    const bool guaranteed = covered.has_value();
    line.covered = guaranteed ? *std::move(covered) : std::vector<int32_t>();
    if (guaranteed == line.guaranteed) continue;
    line.guaranteed = guaranteed;
    Rekey(at);
  }
}

// The shape on these models alone, none meaning all; kNone: it accepts none of them.
int32_t Planner::Restricted(int32_t shape_id, const std::vector<int32_t>& models) {
  return models.empty() ? shape_id : shapes_.Only(shape_id, models);
}

// Models of the devices there are.
const std::vector<int32_t>& Planner::ModelsHere() const {
  if (!models_here_.empty()) return models_here_;
  std::set<int32_t> models;
  for (int32_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.node(i).present) continue;
    for (const Device& device : cluster_.node(i).devices) models.insert(device.model);
  }
  models_here_.assign(models.begin(), models.end());
  return models_here_;
}

std::vector<int32_t> Planner::AcceptedModels(const Shape& of) const {
  std::vector<int32_t> models;
  for (const Shape::Group& group : of.groups) {
    if (!group.needs.wants_device()) continue;
    const auto& accepted = group.needs.models.empty() ? ModelsHere() : group.needs.models;
    for (const int32_t model : accepted) {
      if (std::find(models.begin(), models.end(), model) == models.end()) models.push_back(model);
    }
  }
  return models;
}

// The limit that keeps a run waiting wherever it would be placed.
Planner::LimitHit Planner::LimitOf(const Run& of) const {
  if (quota_.empty()) return {};
  const Shape& least = shapes_.at(shape(of).least);
  const Shape::Group& front = least.groups.front();
  const bool devices = front.needs.wants_device();
  Use use;
  if (devices) use.emplace_back(0, least.charge_milli);
  if (least.cores_milli > 0) use.emplace_back(kCores, least.cores_milli);
  LimitHit hit;
  hit.level = quota_.Exceeded(of.leaf, use, &hit.model);
  hit.asked_milli = hit.model == kCores ? least.cores_milli : least.charge_milli;
  if (hit.level >= 0 || !devices || !quota_.any_model_limit()) return hit;
  int64_t ranks = 0;  // that there is headroom for
  const auto wanted = static_cast<int64_t>(front.ranks.size());
  const std::vector<int32_t> models = AcceptedModels(least);
  for (const int32_t model : models) {
    const int64_t room = model == 0 ? INT64_MAX : quota_.Headroom(of.leaf, model);
    ranks += std::clamp<int64_t>(room / RankMilli(front.needs), 0, wanted);
    if (ranks >= wanted) return {};
  }
  for (const int32_t model : models) {
    hit.level = quota_.Exceeded(of.leaf, {{model, least.charge_milli}}, &hit.model);
    if (hit.level >= 0) return hit;
  }
  return {};
}

bool Planner::Allowed(const Run& of) const { return LimitOf(of).level < 0; }

// Of `models` (none: those it accepts) those whose limits leave room for a rank. Nothing: none is.
std::optional<std::vector<int32_t>> Planner::OpenModels(const Run& of,
                                                        std::vector<int32_t> models) const {
  const Needs& needs = shape(of).groups.front().needs;
  if (!quota_.any_model_limit() || !needs.wants_device()) return models;
  std::vector<int32_t> open = models.empty() ? AcceptedModels(shape(of)) : models;
  const size_t all = open.size();
  std::erase_if(open, [&](int32_t model) {
    return model != 0 && quota_.Headroom(of.leaf, model) < RankMilli(needs);
  });
  if (open.size() == all) return models;
  if (open.empty()) return std::nullopt;
  return open;
}

// Leaves one of them out; false when none is left.
bool Planner::CloseModel(const Run& of, int32_t closed, std::vector<int32_t>* models) const {
  if (models->empty()) *models = AcceptedModels(shape(of));
  std::erase(*models, closed);
  return !models->empty();
}

}  // namespace trainyard::placement
