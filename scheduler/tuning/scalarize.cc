// See scalarize.h.
#include "scheduler/tuning/scalarize.h"

#include <algorithm>
#include <limits>

#include "common/random.h"
#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

constexpr uint64_t kDirections = 11;  // different weightings, so that fits can be used again
constexpr double kAugment = 0.05;
constexpr double kBreach = 2.0;  // what breaking a limit costs at least; goals lie within 0 and 1.1

}  // namespace

Scalarizer::Scalarizer(const v1::StudySpec& spec, const History& history, uint64_t seed) {
  if (spec.metrics_size() == 1 && !spec.metrics(0).has_safety_threshold()) return;
  Random random(MixSeed(0x5ca1a, seed % kDirections));
  double sum = 0;
  bool has_goal = false;
  for (const auto& metric : spec.metrics()) has_goal = has_goal || !metric.has_safety_threshold();
  for (int m = 0; m < spec.metrics_size(); ++m) {
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (const auto& [value, id] : history.ranking()) {
      const double y = history.Find(id)->objectives[m];
      low = std::min(low, y);
      high = std::max(high, y);
    }
    const bool is_limit = spec.metrics(m).has_safety_threshold();
    Part part{m, low, high / 2 - low / 2, 0, is_limit, !is_limit || !has_goal, 0};
    part.limit = spec.metrics(m).safety_threshold();
    if (history.maximizes(m)) part.limit = -part.limit;
    part.weight = !part.is_goal ? 0 : -Log(random.Uniform() + 1e-12);  // uniform on the simplex
    sum += part.weight;
    parts_.push_back(part);
  }
  for (Part& part : parts_) part.weight = sum > 0 ? part.weight / sum : 0;
}

double Scalarizer::Goal(const Entry& entry) const {
  if (parts_.empty()) return entry.objectives[0];
  double worst = 0;
  double total = 0;
  for (const Part& part : parts_) {
    if (!part.is_goal) continue;
    const double unit = part.range > 0 ? part.range : 1;
    const double scaled = part.weight * ((entry.objectives[part.metric] / 2 - part.low / 2) / unit);
    worst = std::max(worst, scaled);
    total += scaled;
  }
  return worst + kAugment * total;
}

double Scalarizer::Value(const Entry& entry) const {
  double value = Goal(entry);
  for (const Part& part : parts_) {
    const double y = entry.objectives[part.metric];
    if (!part.is_limit || !(y > part.limit)) continue;
    const double unit = part.range > 0 ? part.range : 1;
    value += kBreach + std::min((y / 2 - part.limit / 2) / unit, 2.0);
  }
  return value;
}

}  // namespace trainyard::tuning
