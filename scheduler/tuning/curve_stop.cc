// See curve_stop.h.
#include "scheduler/tuning/curve_stop.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

constexpr size_t kPlaces = 5;  // a trial must have a chance at one of so many places
constexpr double kDoubts = 1.5;
constexpr double kChance = 0.03;  // demanded at the pace
constexpr double kChanceLeast = 0.01;
constexpr double kChanceMost = 0.9;
constexpr double kPace = 0.172;  // share of all steps; faster spending demands much more

struct Runner {
  int32_t id;
  CurvePrediction prediction;
};

}  // namespace

std::vector<StopAdvice> CurveStop::Advise(const History& history) {
  if (!curves_.Refresh(history)) return {};
  const auto reports_min =
      std::max<size_t>(kReportsMin, static_cast<size_t>(spec_.min_measurement_count()));
  std::vector<double> bars;  // pessimistic finals of trials that may win
  std::vector<Runner> runners;
  double steps = 0;
  int trials = 0;
  for (const auto& [id, entry] : history.entries()) {
    if (entry.curve.empty()) continue;
    ++trials;
    steps += std::min(entry.curve.back().step, curves_.horizon());
    if (entry.status == Entry::kSucceeded && !entry.stopped_early) {
      bars.push_back(entry.objectives[0]);
    } else if (entry.running && entry.curve.size() >= reports_min) {
      runners.push_back({id, curves_.Predict(entry)});
      const CurvePrediction& p = runners.back().prediction;
      bars.push_back(p.mean + kDoubts * p.deviation);
    }
  }
  if (bars.size() <= kPlaces) return {};
  std::nth_element(bars.begin(), bars.begin() + (kPlaces - 1), bars.end());
  const double bar = bars[kPlaces - 1];
  const double spent = steps / (trials * curves_.horizon());
  const double haste = spent / kPace;
  const double haste2 = haste * haste;
  const double haste8 = haste2 * haste2 * haste2 * haste2;
  const double chance_least = std::clamp(kChance * haste8 * haste2, kChanceLeast, kChanceMost);
  std::vector<StopAdvice> stops;
  for (const Runner& runner : runners) {
    const Entry& entry = *history.Find(runner.id);
    if (entry.curve.back().step < static_cast<double>(spec_.min_steps())) continue;
    const CurvePrediction& p = runner.prediction;
    const double chance = NormalCdf((bar - p.mean) / std::max(p.deviation, 1e-300));
    if (chance >= chance_least) continue;
    const double sign = history.maximizes(0) ? -1 : 1;
    stops.push_back(
        {runner.id,
         absl::StrFormat("predicted %.6g (+- %.2g) at step %.10g has a %.2g chance to "
                         "be better than %.6g",
                         sign * p.mean, p.deviation, curves_.horizon(), chance, sign * bar)});
  }
  return stops;
}

}  // namespace trainyard::tuning
