// Where a learning curve is going: y(t) = a + b f(t), a mixture over a grid of shapes f (powers and
// an exponential of several half-times), a and b integrated in closed form at each, so that the
// prediction is exact from running sums. In the spirit of Domhan and others (2015) and Klein and
// others (2017). Sums are kept by running trial, predictions by ended one, both with a hash of what
// they were made of: a curve that was corrected is summed anew, so that answers depend on the curve
// alone. Thread-compatible.
#ifndef TRAINYARD_SCHEDULER_TUNING_CURVE_MODEL_H_
#define TRAINYARD_SCHEDULER_TUNING_CURVE_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "scheduler/tuning/history.h"

namespace trainyard::tuning {

struct CurvePrediction {
  double mean = 0;  // value at the horizon, without noise
  double deviation = 0;
};

class CurveModel {
 public:
  // `horizon`: the step to predict; `scale`: how far values lie apart in this study; `noise`:
  // standard deviation of one report. All positive.
  CurveModel(double horizon, double scale, double noise);

  double horizon() const { return horizon_; }
  bool Same(double horizon, double scale, double noise) const;
  // Of a curve of at least two points, which grows no more when `ended`. Values count as far as
  // they lie within a million scales of the first; numbers always.
  CurvePrediction Predict(int32_t id, const std::vector<CurvePoint>& curve, bool ended);

 private:
  struct Shape {
    double half_time;
    double power;  // 0: exponential
    double at_horizon;
  };
  struct Sums {
    size_t count = 0;
    uint64_t hash = 0;  // of the points that were counted
    double y = 0;
    double yy = 0;
    std::vector<double> f, ff, fy;  // a shape
  };
  struct Known {
    uint64_t hash = 0;
    CurvePrediction prediction;
  };
  double Value(const Shape& shape, double step) const;
  double Offset(const std::vector<CurvePoint>& curve, size_t i) const;
  CurvePrediction PredictFrom(const Sums& sums, const std::vector<CurvePoint>& curve) const;
  void Extend(const std::vector<CurvePoint>& curve, Sums* sums) const;

  double horizon_;
  double scale_;
  double noise_;
  std::vector<Shape> shapes_;
  std::map<int32_t, Sums> sums_;
  std::map<int32_t, Known> known_;  // of curves that grow no more
};

// A curve model fitted to a study: its horizon, scale and noise come from the history.
class StudyCurves {
 public:
  explicit StudyCurves(const v1::StudySpec::StoppingSpec& spec) : spec_(spec) {}

  // Fits to the history; false while it shows no horizon (no max_steps in the spec, no trial that
  // ran to its end).
  bool Refresh(const History& history);
  double horizon() const { return model_->horizon(); }
  // After a successful Refresh; the curve has at least two points.
  CurvePrediction Predict(const Entry& entry) {
    return model_->Predict(entry.id, entry.curve, !entry.running);
  }

 private:
  const v1::StudySpec::StoppingSpec spec_;
  std::unique_ptr<CurveModel> model_;
};

// Reports before a prediction is worth anything.
inline constexpr size_t kReportsMin = 4;

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_CURVE_MODEL_H_
