// See curve_stop.h.
#include "scheduler/tuning/curve_stop.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

constexpr double kPlaces = 5;  // a trial must have a chance at one of so many places
constexpr double kDoubts = 1.5;
constexpr double kChance = 0.02;  // demanded at the pace
constexpr double kChanceLeast = 0.01;
constexpr double kChanceMost = 0.5;  // who will more likely win than not goes on
constexpr double kPace = 0.154;      // share of all steps
constexpr double kTooFast = 1.2;     // times the pace

struct Runner {
  int32_t id;
  CurvePrediction prediction;
};

double Power(double x, double power) { return Exp(power * Log(x)); }

// What is asked of a trial when the study has spent so many times its pace. A good sampler makes
// most trials look promising: the faster steps are spent, the fewer places there are to be won,
// the surer a win must be, and the less the doubt about rivals counts in a trial's favour.
struct Demand {
  size_t places;
  double doubts;
  double chance;
};

Demand DemandAt(double haste) {
  const double over = std::max(1.0, haste / kTooFast);
  const double places = kPlaces / Power(std::max(haste, 1e-3), 4);
  return {static_cast<size_t>(std::clamp(std::round(places), 1.0, kPlaces)),
          kDoubts / Power(over, 8),
          std::clamp(kChance * Power(haste * over, 6), kChanceLeast, kChanceMost)};
}

}  // namespace

std::vector<StopAdvice> CurveStop::Advise(const History& history) {
  if (!curves_.Refresh(history)) return {};
  const auto reports_min =
      std::max<size_t>(kReportsMin, static_cast<size_t>(spec_.min_measurement_count()));
  std::vector<double> bars;  // finals of trials that may win, of running ones pessimistic
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
    }
  }
  if (bars.size() + runners.size() <= static_cast<size_t>(kPlaces)) return {};
  const Demand demand = DemandAt(steps / (trials * curves_.horizon()) / kPace);
  for (const Runner& runner : runners) {
    const double bar = runner.prediction.mean + demand.doubts * runner.prediction.deviation;
    if (std::isfinite(bar)) bars.push_back(bar);
  }
  if (bars.size() < demand.places) return {};
  const auto place = bars.begin() + static_cast<int64_t>(demand.places) - 1;
  std::nth_element(bars.begin(), place, bars.end());
  const double bar = *place;
  std::vector<StopAdvice> stops;
  for (const Runner& runner : runners) {
    const Entry& entry = *history.Find(runner.id);
    if (entry.curve.back().step < static_cast<double>(spec_.min_steps())) continue;
    const CurvePrediction& p = runner.prediction;
    const double chance = NormalCdf((bar - p.mean) / std::max(p.deviation, 1e-300));
    if (chance >= demand.chance && std::isfinite(p.mean)) continue;
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
