// The fit of gp.h.
#include <algorithm>
#include <cmath>
#include <limits>

#include "scheduler/tuning/gp.h"
#include "scheduler/tuning/lbfgs.h"
#include "scheduler/tuning/math.h"
#include "scheduler/tuning/output_warp.h"

namespace trainyard::tuning {
namespace {

constexpr double kJitter = 1e-7;
constexpr double kWarpStep = 1e-4;

struct Normal {
  double mean;
  double deviation;
};

// Priors and bounds of the logarithms.
Normal LengthPrior(int d) { return {Log(0.5) + 0.5 * Log(d), 1.0}; }
constexpr Normal kAdditiveLengthPrior{-0.7, 1.0};
constexpr Normal kWeightPrior{-1.0, 1.5};
constexpr Normal kSignalPrior{0.0, 1.0};
constexpr Normal kNoisePrior{-9.0, 3.0};
constexpr Normal kWarpPrior{0.7, 2.0};

std::vector<Normal> AllPriors(int d) {
  std::vector<Normal> priors(2 * d + 4);
  for (int i = 0; i < d; ++i) {
    priors[i] = LengthPrior(d);
    priors[d + i] = kAdditiveLengthPrior;
  }
  const KernelParameters p(d);
  priors[p.weight_index()] = kWeightPrior;
  priors[p.signal_index()] = kSignalPrior;
  priors[p.noise_index()] = kNoisePrior;
  priors[p.warp_index()] = kWarpPrior;
  return priors;
}

}  // namespace

struct GpFit::Pairs {
  Eigen::ArrayXd product;          // Matern over all dimensions
  Eigen::ArrayXd product_slope;    // its derivative by log length, up to the dimension's share
  Eigen::ArrayXd additive;         // mean of the one-dimensional ones
  Eigen::ArrayXXd additive_slope;  // its derivatives by log length
  Eigen::ArrayXd covariance;
};

GpFit::GpFit(const GpData& data)
    : n_(static_cast<int>(data.x.rows())),
      d_(static_cast<int>(data.x.cols())),
      t_(data.t),
      mean_(MeansAt(data)) {
  squared_.resize(n_ * (n_ - 1) / 2, d_);
  for (int d = 0; d < d_; ++d) {
    Eigen::Index pair = 0;
    for (int j = 0; j < n_; ++j) {
      for (int i = j + 1; i < n_; ++i) {
        const double apart = data.x(i, d) - data.x(j, d);
        squared_(pair++, d) = data.categorical[d] ? (apart != 0 ? 1 : 0) : apart * apart;
      }
    }
  }
}

double GpFit::Priors(const KernelParameters& p, std::vector<double>* gradient) const {
  const std::vector<Normal> priors = AllPriors(d_);
  double sum = 0;
  for (size_t i = 0; i < priors.size(); ++i) {
    const double off = (p.values[i] - priors[i].mean) / priors[i].deviation;
    sum += 0.5 * off * off;
    (*gradient)[i] = off / priors[i].deviation;
  }
  return sum;
}

void GpFit::Covariances(const KernelParameters& p, Pairs* pairs) const {
  const Eigen::Index count = squared_.rows();
  Eigen::ArrayXd r2 = Eigen::ArrayXd::Zero(count);
  pairs->additive = Eigen::ArrayXd::Zero(count);
  pairs->additive_slope.resize(count, d_);
  for (int d = 0; d < d_; ++d) {
    const double inverse = 5 / (p.length(d) * p.length(d));
    const double additive_inverse = 5 / (p.additive_length(d) * p.additive_length(d));
    const double* const squared = squared_.data() + d * count;
    double* const sum = pairs->additive.data();
    double* const slope = pairs->additive_slope.data() + d * count;
    for (Eigen::Index i = 0; i < count; ++i) {
      r2[i] += squared[i] * inverse;
      const double s = squared[i] * additive_inverse;
      const double r = std::sqrt(s);
      const double e = Exp(-r);
      sum[i] += (1 + r + s * (1.0 / 3)) * e;
      slope[i] = (1 + r) * e * s * (1.0 / 3);
    }
  }
  pairs->additive *= 1.0 / d_;
  pairs->product.resize(count);
  pairs->product_slope.resize(count);
  for (Eigen::Index i = 0; i < count; ++i) {
    const double r = std::sqrt(r2[i]);
    const double e = Exp(-r);
    pairs->product[i] = (1 + r + r2[i] * (1.0 / 3)) * e;
    pairs->product_slope[i] = (1 + r) * e * (1.0 / 3);
  }
  const double weight = p.additive_weight();
  pairs->covariance = p.signal() * ((1 - weight) * pairs->product + weight * pairs->additive);
}

void GpFit::Gradient(const KernelParameters& p, const Pairs& pairs, const Eigen::MatrixXd& g,
                     std::vector<double>* gradient) const {
  Eigen::ArrayXd packed(squared_.rows());
  Eigen::Index pair = 0;
  for (int j = 0; j < n_; ++j) {
    for (int i = j + 1; i < n_; ++i) packed[pair++] = g(i, j);
  }
  const double weight = p.additive_weight();
  const Eigen::VectorXd by_product = packed * pairs.product_slope * (p.signal() * (1 - weight));
  for (int d = 0; d < d_; ++d) {
    (*gradient)[d] += 5 / (p.length(d) * p.length(d)) * by_product.dot(squared_.col(d));
    (*gradient)[d_ + d] +=
        p.signal() * weight / d_ * packed.matrix().dot(pairs.additive_slope.col(d).matrix());
  }
  const Eigen::VectorXd apart = pairs.additive - pairs.product;
  (*gradient)[p.weight_index()] += p.signal() * weight * (1 - weight) * packed.matrix().dot(apart);
  const double trace = g.trace();
  (*gradient)[p.signal_index()] +=
      packed.matrix().dot(pairs.covariance.matrix()) + 0.5 * trace * p.signal();
  (*gradient)[p.noise_index()] += 0.5 * trace * p.noise();
}

double GpFit::Evaluate(const std::vector<double>& parameters, std::vector<double>* gradient) const {
  KernelParameters p(d_);
  p.values = parameters;
  gradient->assign(parameters.size(), 0);
  double value = Priors(p, gradient);
  Pairs pairs;
  Covariances(p, &pairs);
  Eigen::MatrixXd k(n_, n_);
  Eigen::Index pair = 0;
  for (int j = 0; j < n_; ++j) {
    k(j, j) = p.signal() + p.noise() + kJitter;
    for (int i = j + 1; i < n_; ++i) k(i, j) = pairs.covariance[pair++];
  }
  const Eigen::LLT<Eigen::MatrixXd> cholesky(k);
  if (cholesky.info() != Eigen::Success) return std::numeric_limits<double>::infinity();
  double jacobian;
  const Eigen::VectorXd z = WarpOutputs(t_, p.warp(), &jacobian);
  const Eigen::VectorXd residual = z - mean_;
  const Eigen::VectorXd alpha = cholesky.solve(residual);
  value += 0.5 * residual.dot(alpha) - jacobian;
  for (int i = 0; i < n_; ++i) value += Log(cholesky.matrixLLT()(i, i));
  Eigen::MatrixXd g = cholesky.solve(Eigen::MatrixXd::Identity(n_, n_));
  g.noalias() -= alpha * alpha.transpose();
  Gradient(p, pairs, g, gradient);
  double up;
  double down;
  const Eigen::VectorXd above = WarpOutputs(t_, p.warp() * Exp(kWarpStep), &up);
  const Eigen::VectorXd below = WarpOutputs(t_, p.warp() * Exp(-kWarpStep), &down);
  (*gradient)[p.warp_index()] += (alpha.dot(above - below) - (up - down)) / (2 * kWarpStep);
  return value;
}

GpFitted GpFit::Fit(int evaluations_max) const {
  BoxProblem problem;
  problem.function = [this](const std::vector<double>& x, std::vector<double>* gradient) {
    return Evaluate(x, gradient);
  };
  problem.evaluations_max = evaluations_max;
  problem.tolerance = 1e-3;
  const std::vector<Normal> priors = AllPriors(d_);
  const KernelParameters index(d_);
  std::vector<double> start;
  for (const Normal& prior : priors) {
    start.push_back(prior.mean);
    problem.low.push_back(prior.mean - 4 * prior.deviation);
    problem.high.push_back(prior.mean + 4 * prior.deviation);
  }
  for (int d = 0; d < 2 * d_; ++d) problem.low[d] = Log(0.02);
  problem.low[index.noise_index()] = Log(1e-8);
  problem.high[index.noise_index()] = Log(1.0);
  problem.low[index.warp_index()] = Log(0.005);
  problem.high[index.warp_index()] = Log(100.0);
  // The first start keeps all values apart, the second may zoom in on the best.
  start[index.warp_index()] = Log(2.0);
  problem.low[index.warp_index()] = Log(0.5);
  const BoxMinimum plain = MinimizeInBox(problem, start);
  start[index.warp_index()] = Log(0.05);
  problem.low[index.warp_index()] = Log(0.005);
  const BoxMinimum zoomed = MinimizeInBox(problem, start);
  GpFitted fitted{KernelParameters(d_), KernelParameters(d_)};
  fitted.plain.values = plain.x;
  fitted.best.values = zoomed.value < plain.value ? zoomed.x : plain.x;
  fitted.value = std::min(zoomed.value, plain.value);
  return fitted;
}

}  // namespace trainyard::tuning
