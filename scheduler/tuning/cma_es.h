// Covariance matrix adaptation evolution strategy over [0, 1]^d: a normal distribution that follows
// what was good. Sources: Hansen, "The CMA evolution strategy: a tutorial" (2016), rank-one and
// rank-mu updates with its default constants; Hamano and others, "CMA-ES with margin" (2022): the
// mean of a coordinate with few levels never comes so far from the nearest border between levels
// that the other side is drawn less than once in d * lambda times. Pure; thread-compatible.
#ifndef TRAINYARD_SCHEDULER_TUNING_CMA_ES_H_
#define TRAINYARD_SCHEDULER_TUNING_CMA_ES_H_

#include <Eigen/Core>
#include <vector>

#include "common/random.h"

namespace trainyard::tuning {

// The tutorial's defaults for one dimension and population.
struct CmaConstants {
  CmaConstants(int dimensions, int population);
  std::vector<double> weights;  // of the better half, best first; sum 1
  double mu_eff;
  double c_sigma, d_sigma, c_c, c_1, c_mu;
  double chi;  // expected length of a standard normal vector
};
int DefaultPopulation(int dimensions);

class CmaEs {
 public:
  // `levels`: distinct values of each coordinate, evenly spread; 0: a continuum. `mean` in [0, 1].
  CmaEs(Eigen::VectorXd mean, double sigma, std::vector<double> levels, int population);

  int population() const { return population_; }
  const Eigen::VectorXd& mean() const { return mean_; }
  double sigma() const { return sigma_; }
  // Standard deviation of a coordinate.
  double Deviation(int i) const;
  // A point of the distribution inside the box.
  Eigen::VectorXd Draw(Random* random) const;
  // One generation: the points, best first; at least population() of them.
  void Update(const std::vector<Eigen::VectorXd>& sorted);
  // Whether nothing new can come of it.
  bool Converged() const;

 private:
  void Decompose();
  void KeepMargin();

  int dimensions_;
  int population_;
  CmaConstants constants_;
  std::vector<double> levels_;
  Eigen::VectorXd mean_;
  double sigma_;
  double margin_;  // in deviations
  Eigen::MatrixXd covariance_;
  Eigen::MatrixXd axes_;     // columns: directions
  Eigen::VectorXd lengths_;  // deviations along them
  Eigen::VectorXd path_sigma_;
  Eigen::VectorXd path_c_;
  int generations_ = 0;
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_CMA_ES_H_
