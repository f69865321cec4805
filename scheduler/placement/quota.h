// The quota tree cluster / team / project / user: who may start (limit), who may take back what was
// lent (guarantee), who borrows most. Pure.
//  - A run counts at every level above its leaf, by device model and in all.
//  - A run is guaranteed while its use and what is used already stay within the guarantee of one of
//    its levels. A running run borrows when no level of it covers it. Both are complements, so that
//    two runs never reclaim from each other.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_QUOTA_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_QUOTA_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "scheduler/placement/shape.h"

namespace trainyard::placement {

// Thousandths of a device by model; model 0 counts all devices, kCores counts cores.
inline constexpr int32_t kCores = -1;
using Use = std::vector<std::pair<int32_t, int64_t>>;

class QuotaTree {
 public:
  void Set(const std::vector<QuotaNode>& nodes, Names* names);
  bool empty() const { return levels_.empty(); }
  bool any_guarantee() const { return any_guarantee_; }
  bool any_model_limit() const { return any_model_limit_; }
  // The most specific level that is listed; -1: none.
  int32_t Leaf(const std::string& team, const std::string& project,
               const std::string& principal) const;

  void Add(int32_t leaf, const Use& use, int sign);
  // The level whose limit `use` would break, and of which model; -1: none.
  int32_t Exceeded(int32_t leaf, const Use& use, int32_t* model = nullptr) const;
  // How much more of a model its levels allow; INT64_MAX: no limit.
  int64_t Headroom(int32_t leaf, int32_t model) const;
  // The models on which a guarantee covers `milli` more, of those in `models` (empty: of any), best
  // first. Empty: on whichever it is. Nothing: no guarantee does.
  std::optional<std::vector<int32_t>> Covers(int32_t leaf, int64_t milli,
                                             const std::vector<int32_t>& models, bool cores) const;
  // Whether no guarantee covers what a running run uses.
  bool Borrows(int32_t leaf, const Use& use) const;
  // How far its outermost level is over its guarantee.
  int64_t Over(int32_t leaf) const;
  // Of a user that is listed itself; 1 for all others.
  int64_t WeightOf(int32_t leaf) const;
  std::string Describe(int32_t level) const;
  // Used, and the limit (-1: none), of a model, 0 (all devices) or kCores.
  std::pair<int64_t, int64_t> UsedOf(int32_t level, int32_t model) const;

 private:
  struct Amount {
    QuotaShare share;
    bool listed = false;
    int64_t used = 0;
  };
  struct Level {
    int32_t parent = -1;
    std::string team, project, principal;
    std::map<int32_t, Amount> by_model;
  };
  using Path = std::tuple<std::string, std::string, std::string>;
  std::vector<Level> levels_;
  std::map<Path, int32_t> by_path_;
  bool any_guarantee_ = false;
  bool any_model_limit_ = false;  // of a device model
  int64_t unlisted_ = 0;
};

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_QUOTA_H_
