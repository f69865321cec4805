// See cma_es.h.
#include "scheduler/tuning/cma_es.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <utility>

#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

constexpr double kSigmaMost = 1;
constexpr double kSmallest = 1e-9;
constexpr int kDrawsMax = 20;

// Where the standard normal distribution leaves `tail` above; by bisection.
double UpperQuantile(double tail) {
  double low = 0;
  double high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (1 - NormalCdf(middle) > tail ? low : high) = middle;
  }
  return low;
}

}  // namespace

int DefaultPopulation(int dimensions) {
  return 4 + static_cast<int>(3 * Log(static_cast<double>(dimensions)));
}

CmaConstants::CmaConstants(int dimensions, int population) {
  const double n = dimensions;
  double sum = 0;
  for (int i = 1; i <= population / 2; ++i) {
    weights.push_back(Log((population + 1) / 2.0) - Log(static_cast<double>(i)));
    sum += weights.back();
  }
  double squares = 0;
  for (double& weight : weights) {
    weight /= sum;
    squares += weight * weight;
  }
  mu_eff = 1 / squares;
  c_sigma = (mu_eff + 2) / (n + mu_eff + 5);
  d_sigma = 1 + 2 * std::max(0.0, std::sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma;
  c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n);
  c_1 = 2 / ((n + 1.3) * (n + 1.3) + mu_eff);
  c_mu = std::min(1 - c_1, 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) * (n + 2) + mu_eff));
  chi = std::sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
}

CmaEs::CmaEs(Eigen::VectorXd mean, double sigma, std::vector<double> levels, int population)
    : dimensions_(static_cast<int>(mean.size())),
      population_(std::max(4, population)),
      constants_(dimensions_, population_),
      levels_(std::move(levels)),
      mean_(std::move(mean)),
      sigma_(sigma),
      margin_(UpperQuantile(1.0 / (dimensions_ * population_))),
      covariance_(Eigen::MatrixXd::Identity(dimensions_, dimensions_)),
      axes_(covariance_),
      lengths_(Eigen::VectorXd::Ones(dimensions_)),
      path_sigma_(Eigen::VectorXd::Zero(dimensions_)),
      path_c_(Eigen::VectorXd::Zero(dimensions_)) {}

double CmaEs::Deviation(int i) const { return sigma_ * std::sqrt(covariance_(i, i)); }

Eigen::VectorXd CmaEs::Draw(Random* random) const {
  Eigen::VectorXd point;
  for (int tries = 0; tries < kDrawsMax; ++tries) {
    Eigen::VectorXd normal(dimensions_);
    for (double& v : normal) v = NormalDraw(random);
    point = mean_ + sigma_ * (axes_ * (lengths_.array() * normal.array()).matrix());
    if (point.minCoeff() >= 0 && point.maxCoeff() <= 1) break;
  }
  return point.cwiseMax(0.0).cwiseMin(1.0);
}

void CmaEs::Update(const std::vector<Eigen::VectorXd>& sorted) {
  ++generations_;
  Eigen::VectorXd step = Eigen::VectorXd::Zero(dimensions_);
  Eigen::MatrixXd spread = Eigen::MatrixXd::Zero(dimensions_, dimensions_);
  for (size_t i = 0; i < constants_.weights.size(); ++i) {
    const Eigen::VectorXd y = (sorted[i] - mean_) / sigma_;
    step += constants_.weights[i] * y;
    spread += constants_.weights[i] * (y * y.transpose());
  }
  mean_ += sigma_ * step;
  const double cs = constants_.c_sigma;
  const Eigen::VectorXd white =
      axes_ * ((axes_.transpose() * step).array() / lengths_.array()).matrix();
  path_sigma_ = (1 - cs) * path_sigma_ + std::sqrt(cs * (2 - cs) * constants_.mu_eff) * white;
  const double length = path_sigma_.norm();
  double remembered = 1;
  for (int i = 0; i < 2 * std::min(generations_, 500); ++i) remembered *= 1 - cs;
  const bool steady =
      length / std::sqrt(1 - remembered) < (1.4 + 2.0 / (dimensions_ + 1)) * constants_.chi;
  const double cc = constants_.c_c;
  path_c_ = (1 - cc) * path_c_;
  if (steady) path_c_ += std::sqrt(cc * (2 - cc) * constants_.mu_eff) * step;
  const double lost = steady ? 0 : constants_.c_1 * cc * (2 - cc);
  covariance_ = (1 - constants_.c_1 - constants_.c_mu + lost) * covariance_ +
                constants_.c_1 * (path_c_ * path_c_.transpose()) + constants_.c_mu * spread;
  sigma_ =
      std::min(kSigmaMost, sigma_ * Exp(cs / constants_.d_sigma * (length / constants_.chi - 1)));
  Decompose();
  KeepMargin();
}

void CmaEs::Decompose() {
  covariance_ = ((covariance_ + covariance_.transpose()) / 2).eval();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance_);
  if (solver.info() != Eigen::Success || !(solver.eigenvalues().minCoeff() > 1e-14)) {
    covariance_.setIdentity();
    axes_.setIdentity();
    lengths_.setOnes();
    return;
  }
  axes_ = solver.eigenvectors();
  lengths_ = solver.eigenvalues().cwiseSqrt();
}

void CmaEs::KeepMargin() {
  for (int i = 0; i < dimensions_; ++i) {
    mean_[i] = std::clamp(mean_[i], 0.0, 1.0);
    const double levels = levels_[static_cast<size_t>(i)];
    if (levels < 2) continue;
    const double border = std::clamp(std::round(mean_[i] * levels), 1.0, levels - 1) / levels;
    const double reach = margin_ * Deviation(i);
    mean_[i] = std::clamp(mean_[i], border - reach, border + reach);
  }
}

bool CmaEs::Converged() const {
  bool has_continuum = false;
  for (int i = 0; i < dimensions_; ++i) {
    if (levels_[static_cast<size_t>(i)] > 0) continue;
    has_continuum = true;
    if (Deviation(i) > kSmallest) return false;
  }
  return has_continuum || sigma_ < kSmallest;
}

}  // namespace trainyard::tuning
