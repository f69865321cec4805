// See curve_model.h.
#include "scheduler/tuning/curve_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "common/random.h"
#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

constexpr int kHalfTimes = 14;
constexpr double kShortest = 0.0025;  // half-times, parts of the horizon
constexpr double kLongest = 0.75;
constexpr double kPowers[] = {0, 0.6, 1, 1.4, 2, 3};
constexpr double kRestDoubt = 0.05;  // of the drop still to come: no curve is of our shapes
constexpr size_t kCurvesMax = 100;   // looked at for noise and scale
constexpr double kOffsetMost = 1e6;  // scales from a curve's first value

double MedianOf(std::vector<double>* values) {
  const auto middle = values->begin() + static_cast<int64_t>(values->size() / 2);
  std::nth_element(values->begin(), middle, values->end());
  return *middle;
}

// Rounded to an eighth of a power of e, so that models and what is fitted to them last a while.
double Rounded(double positive) { return Exp(std::round(8 * Log(positive)) / 8); }

// Standard deviation of a report's noise, from the second differences of curves; at least a
// thousandth of `scale`.
double EstimateNoise(const History& history, double scale) {
  std::vector<double> bends;
  size_t curves = 0;
  for (const auto& [id, entry] : history.entries()) {
    if (entry.curve.size() < 6) continue;
    if (++curves > kCurvesMax) break;
    // The later part, where the curve itself bends little.
    for (size_t i = entry.curve.size() / 3; i + 2 < entry.curve.size(); ++i) {
      bends.push_back(std::abs(entry.curve[i].value / 2 - entry.curve[i + 1].value +
                               entry.curve[i + 2].value / 2));
    }
  }
  // The median of |N(0, 6 s^2)| / 2.
  const double noise = bends.empty() ? 0.02 * scale : MedianOf(&bends) / (0.6745 * 1.2247);
  return std::clamp(noise, 1e-3 * scale, kOffsetMost * scale);
}

// Of the first `count` points.
uint64_t HashOf(const std::vector<CurvePoint>& curve, size_t count) {
  uint64_t hash = 0;
  for (size_t i = 0; i < count; ++i) {
    hash = MixSeed(hash, std::bit_cast<uint64_t>(curve[i].step));
    hash = MixSeed(hash, std::bit_cast<uint64_t>(curve[i].value));
  }
  return hash;
}

// How much curves of this study fall.
double EstimateScale(const History& history) {
  std::vector<double> drops;
  for (const auto& [id, entry] : history.entries()) {
    if (entry.curve.size() < 2) continue;
    const auto [low, high] = std::minmax_element(
        entry.curve.begin(), entry.curve.end(),
        [](const CurvePoint& a, const CurvePoint& b) { return a.value < b.value; });
    drops.push_back(high->value - low->value);
    if (drops.size() >= kCurvesMax) break;
  }
  if (drops.empty()) return 1;
  const double drop = MedianOf(&drops);
  return std::isfinite(drop) && drop > 1e-12 ? std::min(drop, 1e100) : 1;
}

}  // namespace

CurveModel::CurveModel(double horizon, double scale, double noise)
    : horizon_(horizon), scale_(scale), noise_(noise) {
  for (int i = 0; i < kHalfTimes; ++i) {
    const double part = static_cast<double>(i) / (kHalfTimes - 1);
    const double half_time = horizon * Exp(Log(kShortest) * (1 - part) + Log(kLongest) * part);
    for (const double power : kPowers) {
      Shape shape{half_time, power, 0};
      shape.at_horizon = Value(shape, horizon);
      shapes_.push_back(shape);
    }
  }
}

bool CurveModel::Same(double horizon, double scale, double noise) const {
  return horizon == horizon_ && scale == scale_ && noise == noise_;
}

double CurveModel::Value(const Shape& shape, double step) const {
  const double t = step / shape.half_time;
  return shape.power == 0 ? Exp(-t) : Exp(-shape.power * Log(1 + t));
}

// From the first value: sums of squares of large numbers would leave nothing of small differences,
// and one value beyond all others must not make sums that are no numbers.
double CurveModel::Offset(const std::vector<CurvePoint>& curve, size_t i) const {
  const double most = kOffsetMost * scale_;
  return std::clamp(curve[i].value - curve[0].value, -most, most);
}

void CurveModel::Extend(const std::vector<CurvePoint>& curve, Sums* sums) const {
  if (sums->count > curve.size() || HashOf(curve, sums->count) != sums->hash) *sums = Sums();
  if (sums->f.empty()) {
    for (auto* column : {&sums->f, &sums->ff, &sums->fy}) column->assign(shapes_.size(), 0);
  }
  for (; sums->count < curve.size(); ++sums->count) {
    const double y = Offset(curve, sums->count);
    sums->y += y;
    sums->yy += y * y;
    for (size_t s = 0; s < shapes_.size(); ++s) {
      const double f = Value(shapes_[s], curve[sums->count].step);
      sums->f[s] += f;
      sums->ff[s] += f * f;
      sums->fy[s] += f * y;
    }
  }
  sums->hash = HashOf(curve, sums->count);
}

CurvePrediction CurveModel::Predict(int32_t id, const std::vector<CurvePoint>& curve, bool ended) {
  if (!ended) {
    Sums& sums = sums_[id];
    Extend(curve, &sums);
    return PredictFrom(sums, curve);
  }
  const uint64_t hash = HashOf(curve, curve.size());
  const auto [known, is_new] = known_.try_emplace(id);
  if (is_new || known->second.hash != hash) {
    Sums sums;
    Extend(curve, &sums);
    known->second = {hash, PredictFrom(sums, curve)};
    sums_.erase(id);
  }
  return known->second.prediction;
}

CurvePrediction CurveModel::PredictFrom(const Sums& sums,
                                        const std::vector<CurvePoint>& curve) const {
  // Priors: a near the last value, b a fall of the study's scale; both wide.
  const double n = static_cast<double>(sums.count);
  const double noise2 = noise_ * noise_;
  const double prior_a = 1 / (scale_ * scale_);
  const double prior_b = 1 / (4 * scale_ * scale_);
  const double center = Offset(curve, curve.size() - 1);
  std::vector<double> logs;
  std::vector<CurvePrediction> parts;
  double most = -std::numeric_limits<double>::infinity();
  const double y = sums.y - n * center;
  const double yy = sums.yy - 2 * center * sums.y + n * center * center;
  for (size_t s = 0; s < shapes_.size(); ++s) {
    // Posterior precision of (a, b) and its inverse.
    const double paa = n / noise2 + prior_a;
    const double pab = sums.f[s] / noise2;
    const double pbb = sums.ff[s] / noise2 + prior_b;
    const double determinant = paa * pbb - pab * pab;
    const double ra = y / noise2;
    const double rb = (sums.fy[s] - center * sums.f[s]) / noise2 + prior_b * scale_;
    const double a = (pbb * ra - pab * rb) / determinant;
    const double b = (paa * rb - pab * ra) / determinant;
    const double g = shapes_[s].at_horizon;
    CurvePrediction part;
    part.mean = center + a + b * g;
    part.deviation = std::sqrt(std::max(0.0, (pbb - 2 * pab * g + paa * g * g) / determinant));
    logs.push_back(-0.5 * (yy / noise2 - a * ra - b * rb) - 0.5 * Log(determinant));
    most = std::max(most, logs.back());
    parts.push_back(part);
  }
  double weight = 0;
  CurvePrediction all;
  double square = 0;
  for (size_t s = 0; s < parts.size(); ++s) {
    const double w = Exp(logs[s] - most);
    weight += w;
    all.mean += w * (parts[s].mean - center);
    const double off = parts[s].mean - center;
    square += w * (parts[s].deviation * parts[s].deviation + off * off);
  }
  const double shift = all.mean / weight;
  all.mean = curve[0].value + (center + shift);
  const double doubt = kRestDoubt * shift;
  all.deviation =
      std::sqrt(std::max(0.0, square / weight - shift * shift) + doubt * doubt + 1e-300);
  return all;
}

bool StudyCurves::Refresh(const History& history) {
  double horizon = static_cast<double>(spec_.max_steps());
  if (horizon <= 0) {
    for (const auto& [id, entry] : history.entries()) {
      if (entry.status == Entry::kSucceeded && !entry.stopped_early && !entry.curve.empty()) {
        horizon = std::max(horizon, entry.curve.back().step);
      }
    }
  }
  if (!(horizon > 0 && horizon < 1e300)) return false;
  const double scale = Rounded(EstimateScale(history));
  const double noise = Rounded(EstimateNoise(history, scale));
  if (model_ == nullptr || !model_->Same(horizon, scale, noise)) {
    model_ = std::make_unique<CurveModel>(horizon, scale, noise);
  }
  return true;
}

}  // namespace trainyard::tuning
