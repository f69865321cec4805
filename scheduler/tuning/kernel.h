// The covariance of the Gaussian process: a weighted sum of one Matern-5/2 over all dimensions,
// each with its own length, and the mean of one-dimensional Matern-5/2s with lengths of their own
// (for what adds up over the parameters). Categories are 0 or 1 apart. Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_TUNING_KERNEL_H_
#define TRAINYARD_SCHEDULER_TUNING_KERNEL_H_

#include <Eigen/Core>
#include <vector>

namespace trainyard::tuning {

// Logarithms of the parameters, one flat vector for the fit: lengths [0, d), additive lengths
// [d, 2d), then the ones below.
struct KernelParameters {
  explicit KernelParameters(int dimensions) : values(2 * dimensions + 4), d(dimensions) {}
  double length(int i) const;
  double additive_length(int i) const;
  double additive_weight() const;  // logistic of its value
  double signal() const;           // variance
  double noise() const;            // variance
  double warp() const;             // see output_warp.h
  int weight_index() const { return 2 * d; }
  int signal_index() const { return 2 * d + 1; }
  int noise_index() const { return 2 * d + 2; }
  int warp_index() const { return 2 * d + 3; }

  std::vector<double> values;
  int d;
};

class Kernel {
 public:
  Kernel(const KernelParameters& parameters, const std::vector<char>& categorical);

  double diagonal() const { return signal_; }  // without noise
  // Covariances of every row of `x` (one point a row) with `point`.
  void Row(const Eigen::MatrixXd& x, const double* point, double* out) const;
  // The same, and their derivatives by each coordinate of `point` (column a dimension; zero for
  // categories).
  void RowWithGradient(const Eigen::MatrixXd& x, const double* point, double* out,
                       Eigen::MatrixXd* gradient) const;

 private:
  std::vector<char> categorical_;
  std::vector<double> inverse_length_;           // times sqrt 5
  std::vector<double> inverse_additive_length_;  // times sqrt 5
  double signal_;
  double product_weight_;   // signal times weight
  double additive_weight_;  // signal times weight over dimensions
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_KERNEL_H_
