// A Gaussian process on features in [0, 1]: parameters by maximum a posteriori, then predictions.
// Sources: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapters 2
// and 5; length priors that grow with the dimension after Hvarfner and others, "Vanilla Bayesian
// optimization performs great in high dimensions" (2024). Pure; thread-compatible.
#ifndef TRAINYARD_SCHEDULER_TUNING_GP_H_
#define TRAINYARD_SCHEDULER_TUNING_GP_H_

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <limits>
#include <vector>

#include "scheduler/tuning/kernel.h"

namespace trainyard::tuning {

// What is expected of z before the data speak.
class MeanFunction {
 public:
  virtual ~MeanFunction() = default;
  // `gradient`, by each coordinate of the point, may be null.
  virtual double At(const double* point, Eigen::VectorXd* gradient) const = 0;
};

struct GpData {
  Eigen::MatrixXd x;                   // one point a row
  Eigen::VectorXd t;                   // scaled objectives, see output_warp.h
  Eigen::VectorXd doubt;               // their deviations beside noise; empty: none
  std::vector<char> categorical;       // a dimension
  const MeanFunction* mean = nullptr;  // none: zero
};

// The mean function at the data.
Eigen::VectorXd MeansAt(const GpData& data);

struct GpFitted {
  KernelParameters best;   // the likelier of two ends
  KernelParameters plain;  // the end whose output warp does not zoom in on the best values
  double value = 0;        // of `best`: the least found by Evaluate
};

// The negative logarithm of likelihood times priors, and its gradient by the parameters.
class GpFit {
 public:
  explicit GpFit(const GpData& data);
  double Evaluate(const std::vector<double>& parameters, std::vector<double>* gradient) const;
  GpFitted Fit(int evaluations_max) const;

 private:
  struct Pairs;  // what one evaluation computes for each pair of points
  double Priors(const KernelParameters& p, std::vector<double>* gradient) const;
  void Covariances(const KernelParameters& p, Pairs* pairs) const;
  void Gradient(const KernelParameters& p, const Pairs& pairs, const Eigen::MatrixXd& g,
                std::vector<double>* gradient) const;

  int n_;
  int d_;
  Eigen::VectorXd t_;
  Eigen::VectorXd mean_;  // expected of z
  Eigen::MatrixXd
      squared_;  // one row a pair (i > j, column by column of j), one column a dimension
};

// Predictions with fixed parameters. Pending points lower the variance and leave the mean.
class GpPosterior {
 public:
  // `pending`: one point a row; may have no row.
  GpPosterior(const GpData& data, const Eigen::MatrixXd& pending,
              const KernelParameters& parameters);

  // Mean (of z, see output_warp.h) and variance without noise.
  void Predict(const double* point, double* mean, double* variance) const;
  // Of many points, one a row.
  void PredictMany(const Eigen::MatrixXd& points, Eigen::VectorXd* mean,
                   Eigen::VectorXd* variance) const;
  void PredictWithGradient(const double* point, double* mean, double* variance,
                           Eigen::VectorXd* mean_gradient,
                           Eigen::VectorXd* variance_gradient) const;
  const Eigen::VectorXd& z() const { return z_; }
  // Posterior means at the data.
  const Eigen::VectorXd& fitted() const { return fitted_; }
  double noise() const { return noise_; }
  // Least posterior mean at the pending points; infinity without any.
  double least_pending() const { return least_pending_; }
  // Share of the variance of z that each point's prediction from the others explains: 1 all, 0 or
  // less nothing.
  double Skill() const;

 private:
  double MeanAt(const double* point, Eigen::VectorXd* gradient) const;

  Kernel kernel_;
  const MeanFunction* mean_;
  Eigen::MatrixXd x_;  // data, then pending
  Eigen::Index n_;     // data
  Eigen::VectorXd z_;
  Eigen::VectorXd alpha_;
  Eigen::VectorXd fitted_;
  Eigen::MatrixXd lower_;  // Cholesky factor over x_
  double noise_;
  double least_pending_ = std::numeric_limits<double>::infinity();
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_GP_H_
