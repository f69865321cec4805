// See kernel.h.
#include "scheduler/tuning/kernel.h"

#include <cmath>

#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

constexpr double kSqrt5 = 2.23606797749978969641;
constexpr double kWeightMin = 0.005;  // an additive part lighter than this is left out

// Matern-5/2 at distance r (times sqrt 5).
inline double Matern(double r) { return (1 + r + r * r * (1.0 / 3)) * Exp(-r); }

}  // namespace

double KernelParameters::length(int i) const { return Exp(values[i]); }
double KernelParameters::additive_length(int i) const { return Exp(values[d + i]); }
double KernelParameters::additive_weight() const { return 1 / (1 + Exp(-values[weight_index()])); }
double KernelParameters::signal() const { return Exp(values[signal_index()]); }
double KernelParameters::noise() const { return Exp(values[noise_index()]); }
double KernelParameters::warp() const { return Exp(values[warp_index()]); }

Kernel::Kernel(const KernelParameters& parameters, const std::vector<char>& categorical)
    : categorical_(categorical), signal_(parameters.signal()) {
  double weight = parameters.additive_weight();
  if (weight < kWeightMin || parameters.d == 1) weight = 0;
  product_weight_ = signal_ * (1 - weight);
  additive_weight_ = signal_ * weight / parameters.d;
  for (int i = 0; i < parameters.d; ++i) {
    inverse_length_.push_back(kSqrt5 / parameters.length(i));
    inverse_additive_length_.push_back(kSqrt5 / parameters.additive_length(i));
  }
}

void Kernel::Row(const Eigen::MatrixXd& x, const double* point, double* out) const {
  const Eigen::Index n = x.rows();
  Eigen::ArrayXd squared = Eigen::ArrayXd::Zero(n);
  Eigen::ArrayXd additive = Eigen::ArrayXd::Zero(n);
  double* const r2 = squared.data();
  double* const sum = additive.data();
  for (Eigen::Index d = 0; d < x.cols(); ++d) {
    const double* const column = x.data() + d * n;
    const double at = point[d];
    const double inverse = inverse_length_[d] * inverse_length_[d];
    const double inverse_additive = inverse_additive_length_[d];
    if (categorical_[d]) {
      const double apart = additive_weight_ > 0 ? Matern(inverse_additive) : 0;
      for (Eigen::Index i = 0; i < n; ++i) {
        const bool differs = column[i] != at;
        r2[i] += differs ? inverse : 0;
        sum[i] += differs ? apart : 1;
      }
      continue;
    }
    for (Eigen::Index i = 0; i < n; ++i) r2[i] += (column[i] - at) * (column[i] - at) * inverse;
    if (additive_weight_ == 0) continue;
    for (Eigen::Index i = 0; i < n; ++i) {
      sum[i] += Matern(std::abs(column[i] - at) * inverse_additive);
    }
  }
  for (Eigen::Index i = 0; i < n; ++i) {
    out[i] = product_weight_ * Matern(std::sqrt(r2[i])) + additive_weight_ * sum[i];
  }
}

void Kernel::RowWithGradient(const Eigen::MatrixXd& x, const double* point, double* out,
                             Eigen::MatrixXd* gradient) const {
  const Eigen::Index n = x.rows();
  gradient->resize(n, x.cols());
  Eigen::ArrayXd r2 = Eigen::ArrayXd::Zero(n);
  Eigen::ArrayXd sum = Eigen::ArrayXd::Zero(n);
  for (Eigen::Index d = 0; d < x.cols(); ++d) {
    const double* const column = x.data() + d * n;
    double* const slope = gradient->data() + d * n;
    const double inverse = inverse_length_[d] * inverse_length_[d];
    const double inverse_additive = inverse_additive_length_[d];
    for (Eigen::Index i = 0; i < n; ++i) {
      const double apart = categorical_[d] ? (column[i] != point[d] ? 1 : 0) : point[d] - column[i];
      r2[i] += apart * apart * inverse;
      if (additive_weight_ == 0) {
        slope[i] = 0;
        continue;
      }
      const double r = std::abs(apart) * inverse_additive;
      const double e = Exp(-r);
      sum[i] += (1 + r + r * r * (1.0 / 3)) * e;
      slope[i] =
          -additive_weight_ * (1 + r) * e * (1.0 / 3) * apart * inverse_additive * inverse_additive;
    }
  }
  Eigen::ArrayXd factor(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const double r = std::sqrt(r2[i]);
    const double e = Exp(-r);
    out[i] = product_weight_ * (1 + r + r * r * (1.0 / 3)) * e + additive_weight_ * sum[i];
    factor[i] = -product_weight_ * (1 + r) * e * (1.0 / 3);
  }
  for (Eigen::Index d = 0; d < x.cols(); ++d) {
    double* const slope = gradient->data() + d * n;
    if (categorical_[d]) {
      for (Eigen::Index i = 0; i < n; ++i) slope[i] = 0;
      continue;
    }
    const double* const column = x.data() + d * n;
    const double inverse = inverse_length_[d] * inverse_length_[d];
    for (Eigen::Index i = 0; i < n; ++i) {
      slope[i] += factor[i] * (point[d] - column[i]) * inverse;
    }
  }
}

}  // namespace trainyard::tuning
