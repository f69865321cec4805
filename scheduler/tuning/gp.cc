// The predictions of gp.h.
#include "scheduler/tuning/gp.h"

#include <algorithm>
#include <cmath>

#include "scheduler/tuning/output_warp.h"

namespace trainyard::tuning {
namespace {

constexpr double kJitter = 1e-7;
constexpr double kVarianceMin = 1e-12;
constexpr double kDoubtMost = 1e6;  // the value says nothing

// Eigen cuts its products into blocks by the size of the processor's caches, which decides the
// order of additions: one fixed size gives every machine the same bits.
[[maybe_unused]] const bool kCachesFixed = [] {
  Eigen::setCpuCacheSizes(32 * 1024, 512 * 1024, 4 * 1024 * 1024);
  return true;
}();

// Variances of z by the doubt about its values; empty when there is none.
Eigen::VectorXd DoubtOf(const GpData& data, double warp) {
  if (data.doubt.size() == 0) return {};
  Eigen::VectorXd doubt = (data.doubt.array() * WarpSlopes(data.t, warp).array()).square().matrix();
  for (double& variance : doubt) {
    variance = std::isfinite(variance) ? std::min(variance, kDoubtMost) : kDoubtMost;
  }
  return doubt;
}

}  // namespace

Eigen::VectorXd MeansAt(const GpData& data) {
  Eigen::VectorXd means = Eigen::VectorXd::Zero(data.x.rows());
  for (Eigen::Index i = 0; data.mean != nullptr && i < means.size(); ++i) {
    const Eigen::VectorXd point = data.x.row(i);
    means[i] = data.mean->At(point.data(), nullptr);
  }
  return means;
}

GpPosterior::GpPosterior(const GpData& data, const Eigen::MatrixXd& pending,
                         const KernelParameters& parameters)
    : kernel_(parameters, data.categorical),
      mean_(data.mean),
      n_(data.x.rows()),
      z_(WarpOutputs(data.t, parameters.warp(), nullptr)),
      noise_(parameters.noise()) {
  const Eigen::Index m = n_ + pending.rows();
  x_.resize(m, data.x.cols());
  x_.topRows(n_) = data.x;
  if (pending.rows() > 0) x_.bottomRows(pending.rows()) = pending;
  Eigen::MatrixXd k(m, m);
  for (Eigen::Index i = 0; i < m; ++i) {
    const Eigen::VectorXd point = x_.row(i);
    kernel_.Row(x_, point.data(), k.data() + i * m);
  }
  const Eigen::VectorXd doubt = DoubtOf(data, parameters.warp());
  for (double jitter = kJitter;; jitter *= 10) {
    Eigen::MatrixXd noisy = k;
    noisy.diagonal().array() += noise_ + jitter;
    if (doubt.size() > 0) noisy.diagonal().head(n_) += doubt;
    const Eigen::LLT<Eigen::MatrixXd> cholesky(noisy);
    if (cholesky.info() != Eigen::Success && jitter < 1) continue;
    lower_ = cholesky.matrixL();
    break;
  }
  const auto of_data = lower_.topLeftCorner(n_, n_).triangularView<Eigen::Lower>();
  const Eigen::VectorXd expected = MeansAt(data);
  alpha_ = of_data.solve(z_ - expected);
  of_data.transpose().solveInPlace(alpha_);
  fitted_ = k.topLeftCorner(n_, n_) * alpha_ + expected;
  for (Eigen::Index i = n_; i < m; ++i) {
    const Eigen::VectorXd point = x_.row(i);
    const double mean = k.row(i).head(n_).dot(alpha_) + MeanAt(point.data(), nullptr);
    least_pending_ = std::min(least_pending_, mean);
  }
}

double GpPosterior::Skill() const {
  const Eigen::MatrixXd inverse = lower_.topLeftCorner(n_, n_).triangularView<Eigen::Lower>().solve(
      Eigen::MatrixXd::Identity(n_, n_));
  const Eigen::ArrayXd diagonal = inverse.colwise().squaredNorm();
  const double errors = (alpha_.array() / diagonal).square().sum();
  const double all = (z_.array() - z_.mean()).square().sum();
  return all > 0 ? 1 - errors / all : 0;
}

double GpPosterior::MeanAt(const double* point, Eigen::VectorXd* gradient) const {
  return mean_ == nullptr ? 0 : mean_->At(point, gradient);
}

void GpPosterior::Predict(const double* point, double* mean, double* variance) const {
  Eigen::VectorXd row(x_.rows());
  kernel_.Row(x_, point, row.data());
  *mean = row.head(n_).dot(alpha_) + MeanAt(point, nullptr);
  lower_.triangularView<Eigen::Lower>().solveInPlace(row);
  *variance = std::max(kernel_.diagonal() - row.squaredNorm(), kVarianceMin);
}

void GpPosterior::PredictMany(const Eigen::MatrixXd& points, Eigen::VectorXd* mean,
                              Eigen::VectorXd* variance) const {
  const Eigen::Index m = x_.rows();
  Eigen::MatrixXd rows(m, points.rows());
  for (Eigen::Index i = 0; i < points.rows(); ++i) {
    const Eigen::VectorXd point = points.row(i);
    kernel_.Row(x_, point.data(), rows.data() + i * m);
  }
  *mean = rows.topRows(n_).transpose() * alpha_;
  for (Eigen::Index i = 0; mean_ != nullptr && i < points.rows(); ++i) {
    const Eigen::VectorXd point = points.row(i);
    (*mean)[i] += MeanAt(point.data(), nullptr);
  }
  lower_.triangularView<Eigen::Lower>().solveInPlace(rows);
  *variance =
      (kernel_.diagonal() - rows.colwise().squaredNorm().transpose().array()).max(kVarianceMin);
}

void GpPosterior::PredictWithGradient(const double* point, double* mean, double* variance,
                                      Eigen::VectorXd* mean_gradient,
                                      Eigen::VectorXd* variance_gradient) const {
  Eigen::VectorXd row(x_.rows());
  Eigen::MatrixXd slopes;
  kernel_.RowWithGradient(x_, point, row.data(), &slopes);
  Eigen::VectorXd expected_gradient = Eigen::VectorXd::Zero(x_.cols());
  *mean = row.head(n_).dot(alpha_) + MeanAt(point, &expected_gradient);
  *mean_gradient = slopes.topRows(n_).transpose() * alpha_ + expected_gradient;
  lower_.triangularView<Eigen::Lower>().solveInPlace(row);
  *variance = std::max(kernel_.diagonal() - row.squaredNorm(), kVarianceMin);
  lower_.triangularView<Eigen::Lower>().transpose().solveInPlace(row);
  *variance_gradient = -2 * (slopes.transpose() * row);
}

}  // namespace trainyard::tuning
