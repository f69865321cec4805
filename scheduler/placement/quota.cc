// See quota.h.
#include "scheduler/placement/quota.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trainyard::placement {

void QuotaTree::Set(const std::vector<QuotaNode>& nodes, Names* names) {
  levels_.clear();
  by_path_.clear();
  any_guarantee_ = false;
  any_model_limit_ = false;
  for (const QuotaNode& node : nodes) {
    const Path path{node.team, node.project, node.principal};
    const auto [found, is_new] = by_path_.try_emplace(path, static_cast<int32_t>(levels_.size()));
    if (is_new) levels_.push_back({-1, node.team, node.project, node.principal, {}});
    Level& level = levels_[static_cast<size_t>(found->second)];
    for (const auto& [model, share] : node.by_model) {
      const int32_t key = model == "cpu" ? kCores : names->Id(model);
      level.by_model[key].share = share;
      level.by_model[key].listed = true;
      any_guarantee_ |= share.guarantee_milli > 0;
      any_model_limit_ |= key > 0 && share.limit_milli >= 0;
    }
  }
  for (Level& level : levels_) {
    const int32_t self = by_path_.at({level.team, level.project, level.principal});
    if (!level.principal.empty()) {
      level.parent = Leaf(level.team, level.project, "");
    } else if (!level.project.empty()) {
      level.parent = Leaf(level.team, "", "");
    } else if (!level.team.empty()) {
      level.parent = Leaf("", "", "");
    }
    if (level.parent == self) level.parent = -1;
  }
}

int32_t QuotaTree::Leaf(const std::string& team, const std::string& project,
                        const std::string& principal) const {
  if (levels_.empty()) return -1;
  for (const Path& path : {Path{team, project, principal}, Path{team, project, ""},
                           Path{team, "", ""}, Path{"", "", ""}}) {
    const auto found = by_path_.find(path);
    if (found != by_path_.end()) return found->second;
  }
  return -1;
}

void QuotaTree::Add(int32_t leaf, const Use& use, int sign) {
  if (leaf < 0) {
    for (const auto& [model, milli] : use) unlisted_ += model == 0 ? sign * milli : 0;
  }
  for (; leaf >= 0; leaf = levels_[static_cast<size_t>(leaf)].parent) {
    Level& level = levels_[static_cast<size_t>(leaf)];
    for (const auto& [model, milli] : use) level.by_model[model].used += sign * milli;
  }
}

int32_t QuotaTree::Exceeded(int32_t leaf, const Use& use, int32_t* which) const {
  for (; leaf >= 0; leaf = levels_[static_cast<size_t>(leaf)].parent) {
    const Level& level = levels_[static_cast<size_t>(leaf)];
    for (const auto& [model, milli] : use) {
      const auto found = level.by_model.find(model);
      if (found == level.by_model.end() || found->second.share.limit_milli < 0) continue;
      if (found->second.used + milli <= found->second.share.limit_milli) continue;
      if (which != nullptr) *which = model;
      return leaf;
    }
  }
  return -1;
}

int64_t QuotaTree::Headroom(int32_t leaf, int32_t model) const {
  int64_t room = INT64_MAX;
  for (; leaf >= 0; leaf = levels_[static_cast<size_t>(leaf)].parent) {
    const auto& by_model = levels_[static_cast<size_t>(leaf)].by_model;
    const auto found = by_model.find(model);
    if (found == by_model.end() || found->second.share.limit_milli < 0) continue;
    room = std::min(room, found->second.share.limit_milli - found->second.used);
  }
  return room;
}

std::optional<std::vector<int32_t>> QuotaTree::Covers(int32_t leaf, int64_t milli,
                                                      const std::vector<int32_t>& models,
                                                      bool cores) const {
  std::vector<int32_t> covered;
  for (; leaf >= 0; leaf = levels_[static_cast<size_t>(leaf)].parent) {
    for (const auto& [model, amount] : levels_[static_cast<size_t>(leaf)].by_model) {
      if (amount.share.guarantee_milli <= 0 || (model == kCores) != cores) continue;
      const bool accepted = model <= 0 || models.empty() ||
                            std::find(models.begin(), models.end(), model) != models.end();
      if (!accepted || amount.used + milli > amount.share.guarantee_milli) continue;
      if (model <= 0) return std::vector<int32_t>();
      if (std::find(covered.begin(), covered.end(), model) == covered.end()) {
        covered.push_back(model);
      }
    }
  }
  if (covered.empty()) return std::nullopt;
  std::sort(covered.begin(), covered.end(), [&](int32_t a, int32_t b) {
    const auto rank = [&](int32_t model) {
      return std::pair(std::find(models.begin(), models.end(), model) - models.begin(), model);
    };
    return rank(a) < rank(b);
  });
  return covered;
}

// The cores beside devices are no guarantee of those devices.
bool QuotaTree::Borrows(int32_t leaf, const Use& use) const {
  const bool devices =
      std::any_of(use.begin(), use.end(), [](const auto& part) { return part.first != kCores; });
  for (; leaf >= 0; leaf = levels_[static_cast<size_t>(leaf)].parent) {
    const Level& level = levels_[static_cast<size_t>(leaf)];
    for (const auto& [model, milli] : use) {
      const auto found = level.by_model.find(model);
      if (milli == 0 || found == level.by_model.end()) continue;
      if (devices && model == kCores) continue;
      const Amount& amount = found->second;
      if (amount.share.guarantee_milli > 0 && amount.used <= amount.share.guarantee_milli) {
        return false;
      }
    }
  }
  return true;
}

int64_t QuotaTree::Over(int32_t leaf) const {
  if (leaf < 0) return unlisted_;
  int64_t over = 0;
  for (; leaf >= 0; leaf = levels_[static_cast<size_t>(leaf)].parent) {
    const Level& level = levels_[static_cast<size_t>(leaf)];
    if (level.team.empty() && level.project.empty() && level.principal.empty()) break;
    over = 0;
    for (const auto& [model, amount] : level.by_model) {
      over = std::max(over, amount.used - amount.share.guarantee_milli);
    }
  }
  return over;
}

int64_t QuotaTree::WeightOf(int32_t leaf) const {
  if (leaf < 0 || levels_[static_cast<size_t>(leaf)].principal.empty()) return 1;
  const auto& by_model = levels_[static_cast<size_t>(leaf)].by_model;
  const auto found = by_model.find(0);
  return found == by_model.end() ? 1 : std::max<int64_t>(1, found->second.share.weight);
}

std::pair<int64_t, int64_t> QuotaTree::UsedOf(int32_t level, int32_t model) const {
  const auto& by_model = levels_[static_cast<size_t>(level)].by_model;
  const auto found = by_model.find(model);
  if (found == by_model.end()) return {0, -1};
  return {found->second.used, found->second.share.limit_milli};
}

std::string QuotaTree::Describe(int32_t index) const {
  const Level& level = levels_[static_cast<size_t>(index)];
  if (!level.principal.empty()) return absl::StrCat("user ", level.principal);
  if (!level.project.empty()) return absl::StrCat("project ", level.project);
  if (!level.team.empty()) return absl::StrCat("team ", level.team);
  return "the cluster";
}

}  // namespace trainyard::placement
