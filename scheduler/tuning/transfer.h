// What earlier studies taught about a space: their good points, and where this study's values are
// expected to be high or low. Lessons are asked for only as far as this study's own trials agree
// with them, and are dropped as soon as the trials are likelier without (after Feurer, Letham and
// Bakshy, "Scalable meta-learning for Bayesian optimization", 2018, with one regression in place
// of a ranking loss). Immutable after construction; thread-compatible.
#ifndef TRAINYARD_SCHEDULER_TUNING_TRANSFER_H_
#define TRAINYARD_SCHEDULER_TUNING_TRANSFER_H_

#include <memory>
#include <vector>

#include "scheduler/tuning/gp.h"
#include "scheduler/tuning/history.h"

namespace trainyard::tuning {

class Lessons {
 public:
  // Studies without this study's first metric, or with under four finished trials, teach nothing.
  Lessons(const v1::StudySpec& spec, const Space& space, const std::vector<EarlierStudy>& earlier);
  ~Lessons();

  bool empty() const { return sources_.empty(); }
  // The best points of the earlier studies in this space, no two alike.
  const std::vector<Point>& points() const { return points_; }
  // The expectation that the trials of `data` with values z support, nothing when they are few or
  // disagree. `agreement`: its correlation with z, 0 to 1. The result must not outlive the lessons.
  std::unique_ptr<MeanFunction> Agree(const GpData& data, const Eigen::VectorXd& z,
                                      double* agreement) const;

 private:
  struct Source;
  class Expectation;
  void Learn(const v1::StudySpec& spec, const EarlierStudy& earlier);

  const Space& space_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<Point> points_;
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_TRANSFER_H_
