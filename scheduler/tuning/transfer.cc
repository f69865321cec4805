// See transfer.h.
#include "scheduler/tuning/transfer.h"

#include <algorithm>
#include <cmath>

#include "scheduler/tuning/output_warp.h"

namespace trainyard::tuning {
namespace {

constexpr size_t kTrialsMin = 4;
constexpr size_t kTrialsMax = 100;  // of one study: its better half and others evenly
constexpr size_t kSourcesMax = 8;   // the last ones
constexpr size_t kPointsEach = 2;
constexpr double kAlike = 0.1;           // largest coordinate apart
constexpr double kAgreementLeast = 0.3;  // correlation

struct Finished {
  double value;
  Point point;
};

// Finished trials in the terms of this study, best first.
std::vector<Finished> FinishedOf(const EarlierStudy& earlier, const std::string& metric,
                                 const Space& space) {
  std::vector<Finished> all;
  int index = -1;
  for (int m = 0; m < earlier.spec.metrics_size(); ++m) {
    if (earlier.spec.metrics(m).metric_id() == metric) index = m;
  }
  if (index < 0) return all;
  const Space own(earlier.spec);
  History history(earlier.spec, own);
  for (const TrialRecord& trial : earlier.trials) history.Observe(trial);
  for (const auto& [id, entry] : history.entries()) {
    if (entry.status != Entry::kSucceeded || entry.stopped_early) continue;
    all.push_back({entry.objectives[static_cast<size_t>(index)],
                   space.FromParameters(own.ToParameters(entry.point))});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Finished& a, const Finished& b) { return a.value < b.value; });
  return all;
}

double Apart(const Space& space, const Point& a, const Point& b) {
  const std::vector<double> first = space.ToFeatures(a);
  const std::vector<double> second = space.ToFeatures(b);
  double most = 0;
  for (size_t d = 0; d < first.size(); ++d) most = std::max(most, std::abs(first[d] - second[d]));
  return most;
}

double Correlation(const Eigen::VectorXd& a, const Eigen::VectorXd& b) {
  const Eigen::ArrayXd u = a.array() - a.mean();
  const Eigen::ArrayXd v = b.array() - b.mean();
  const double scale = std::sqrt(u.square().sum() * v.square().sum());
  return scale > 1e-12 ? (u * v).sum() / scale : 0;
}

}  // namespace

// The surface of one earlier study. Parameters that it never varied say nothing.
struct Lessons::Source {
  std::unique_ptr<GpPosterior> posterior;
  Eigen::VectorXd constants;
  std::vector<char> is_constant;

  double At(const double* point, Eigen::VectorXd* gradient) const {
    Eigen::VectorXd at = constants;
    for (Eigen::Index d = 0; d < at.size(); ++d) {
      if (!is_constant[static_cast<size_t>(d)]) at[d] = point[d];
    }
    double mean;
    double variance;
    if (gradient == nullptr) {
      posterior->Predict(at.data(), &mean, &variance);
      return mean;
    }
    Eigen::VectorXd by_variance;
    posterior->PredictWithGradient(at.data(), &mean, &variance, gradient, &by_variance);
    for (Eigen::Index d = 0; d < at.size(); ++d) {
      if (is_constant[static_cast<size_t>(d)]) (*gradient)[d] = 0;
    }
    return mean;
  }
};

// A weighted mean of sources, less its own mean over the trials.
class Lessons::Expectation : public MeanFunction {
 public:
  struct Part {
    const Source* source;
    double weight;
  };
  Expectation(std::vector<Part> parts, double shift) : parts_(std::move(parts)), shift_(shift) {}

  double At(const double* point, Eigen::VectorXd* gradient) const override {
    double sum = -shift_;
    Eigen::VectorXd slope;
    if (gradient != nullptr) gradient->setZero();
    for (const Part& part : parts_) {
      sum += part.weight * part.source->At(point, gradient == nullptr ? nullptr : &slope);
      if (gradient != nullptr) *gradient += part.weight * slope;
    }
    return sum;
  }

 private:
  const std::vector<Part> parts_;
  const double shift_;
};

Lessons::Lessons(const v1::StudySpec& spec, const Space& space,
                 const std::vector<EarlierStudy>& earlier)
    : space_(space) {
  const size_t first = earlier.size() > kSourcesMax ? earlier.size() - kSourcesMax : 0;
  for (size_t i = first; i < earlier.size(); ++i) Learn(spec, earlier[i]);
}

Lessons::~Lessons() = default;

void Lessons::Learn(const v1::StudySpec& spec, const EarlierStudy& earlier) {
  std::vector<Finished> all = FinishedOf(earlier, spec.metrics(0).metric_id(), space_);
  if (all.size() < kTrialsMin) return;
  size_t taken = 0;
  for (const Finished& one : all) {
    if (taken == kPointsEach) break;
    const bool alike = std::any_of(points_.begin(), points_.end(), [&](const Point& point) {
      return Apart(space_, point, one.point) < kAlike;
    });
    if (alike) continue;
    points_.push_back(one.point);
    ++taken;
  }
  if (all.size() > kTrialsMax) {
    constexpr size_t kHalf = kTrialsMax / 2;
    for (size_t i = 0; i < kHalf; ++i)
      all[kHalf + i] = all[kHalf + i * (all.size() - kHalf) / kHalf];
    all.resize(kTrialsMax);
  }
  GpData data;
  data.x.resize(static_cast<Eigen::Index>(all.size()), space_.size());
  std::vector<double> values;
  for (size_t i = 0; i < all.size(); ++i) {
    const std::vector<double> features = space_.ToFeatures(all[i].point);
    for (int d = 0; d < space_.size(); ++d) {
      data.x(static_cast<Eigen::Index>(i), d) = features[static_cast<size_t>(d)];
    }
    values.push_back(all[i].value);
  }
  data.t = ScaleObjectives(values);
  if (data.t.maxCoeff() <= 0) return;  // nothing differs
  auto source = std::make_unique<Source>();
  source->constants = data.x.row(0);
  for (int d = 0; d < space_.size(); ++d) {
    data.categorical.push_back(space_.dimension(d).is_categorical() ? 1 : 0);
    source->is_constant.push_back((data.x.col(d).array() == data.x(0, d)).all() ? 1 : 0);
  }
  source->posterior = std::make_unique<GpPosterior>(data, Eigen::MatrixXd(0, space_.size()),
                                                    GpFit(data).Fit(40).plain);
  sources_.push_back(std::move(source));
}

std::unique_ptr<MeanFunction> Lessons::Agree(const GpData& data, const Eigen::VectorXd& z,
                                             double* agreement) const {
  *agreement = 0;
  const Eigen::Index n = data.x.rows();
  if (n < static_cast<Eigen::Index>(kTrialsMin)) return nullptr;
  Eigen::VectorXd sum = Eigen::VectorXd::Zero(n);
  std::vector<Expectation::Part> parts;
  for (const auto& source : sources_) {
    Eigen::VectorXd expected(n);
    for (Eigen::Index i = 0; i < n; ++i) {
      const Eigen::VectorXd point = data.x.row(i);
      expected[i] = source->At(point.data(), nullptr);
    }
    const double agrees = Correlation(expected, z);
    if (agrees < kAgreementLeast) continue;
    parts.push_back({source.get(), agrees * agrees});
    sum += agrees * agrees * expected;
  }
  if (parts.empty()) return nullptr;
  *agreement = Correlation(sum, z);
  const Eigen::ArrayXd off = sum.array() - sum.mean();
  const double scale = (off * (z.array() - z.mean())).sum() / std::max(off.square().sum(), 1e-300);
  for (Expectation::Part& part : parts) part.weight *= scale;
  return std::make_unique<Expectation>(std::move(parts), scale * sum.mean());
}

}  // namespace trainyard::tuning
