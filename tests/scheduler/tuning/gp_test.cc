// The Gaussian process: gradients against finite differences, the posterior against a dense
// reference, the minimiser inside a box, and what the warp must keep.
#include "scheduler/tuning/gp.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <cmath>
#include <limits>

#include "common/random.h"
#include "scheduler/tuning/lbfgs.h"
#include "scheduler/tuning/output_warp.h"

namespace trainyard::tuning {
namespace {

GpData MakeData(int n, int d, uint64_t seed) {
  Random random(seed);
  GpData data;
  data.x.resize(n, d);
  std::vector<double> y;
  for (int i = 0; i < n; ++i) {
    double sum = 0;
    for (int j = 0; j < d; ++j) {
      data.x(i, j) = j == d - 1 ? (random.Below(3) + 0.5) / 3 : random.Uniform();
      sum += std::sin(3 * data.x(i, j) + j);
    }
    y.push_back(std::exp(sum));
  }
  data.t = ScaleObjectives(y);
  data.categorical.assign(static_cast<size_t>(d), 0);
  data.categorical.back() = 1;
  return data;
}

KernelParameters MakeParameters(int d) {
  KernelParameters p(d);
  for (int i = 0; i < d; ++i) {
    p.values[i] = -0.4 + 0.2 * i;
    p.values[d + i] = -0.2 - 0.3 * i;
  }
  p.values[p.weight_index()] = -0.5;
  p.values[p.signal_index()] = 0.3;
  p.values[p.noise_index()] = -4;
  p.values[p.warp_index()] = -1;
  return p;
}

TEST(GpTest, GradientOfTheFitAgreesWithDifferences) {
  const GpFit fit(MakeData(14, 3, 4));
  const KernelParameters p = MakeParameters(3);
  std::vector<double> gradient;
  std::vector<double> unused;
  fit.Evaluate(p.values, &gradient);
  for (size_t i = 0; i < p.values.size(); ++i) {
    std::vector<double> up = p.values;
    std::vector<double> down = p.values;
    up[i] += 1e-5;
    down[i] -= 1e-5;
    const double difference = (fit.Evaluate(up, &unused) - fit.Evaluate(down, &unused)) / 2e-5;
    EXPECT_NEAR(gradient[i], difference, 1e-4 * (1 + std::abs(difference))) << i;
  }
}

TEST(GpTest, PosteriorAgreesWithADenseReference) {
  const GpData data = MakeData(12, 3, 7);
  const KernelParameters p = MakeParameters(3);
  const Kernel kernel(p, data.categorical);
  Eigen::MatrixXd pending(2, 3);
  pending << 0.2, 0.3, 0.5 / 3, 0.8, 0.1, 1.5 / 3;
  const GpPosterior posterior(data, pending, p);
  const std::vector<double> at = {0.4, 0.6, 2.5 / 3};

  Eigen::MatrixXd all(14, 3);
  all << data.x, pending;
  Eigen::MatrixXd k(14, 14);
  for (int i = 0; i < 14; ++i) {
    const Eigen::VectorXd point = all.row(i);
    kernel.Row(all, point.data(), k.data() + 14 * i);
  }
  EXPECT_LT((k - k.transpose()).norm(), 1e-12);
  EXPECT_NEAR(k(3, 3), kernel.diagonal(), 1e-12);
  k.diagonal().array() += p.noise() + 1e-7;
  Eigen::VectorXd row(14);
  kernel.Row(all, at.data(), row.data());
  const Eigen::VectorXd z = WarpOutputs(data.t, p.warp(), nullptr);
  const double mean = row.head(12).dot(k.topLeftCorner(12, 12).inverse() * z);
  const double variance = kernel.diagonal() - row.dot(k.inverse() * row);
  double got_mean;
  double got_variance;
  posterior.Predict(at.data(), &got_mean, &got_variance);
  EXPECT_NEAR(got_mean, mean, 1e-8);
  EXPECT_NEAR(got_variance, variance, 1e-8);
  Eigen::MatrixXd many(2, 3);
  many << at[0], at[1], at[2], 0.1, 0.1, 0.5 / 3;
  Eigen::VectorXd means;
  Eigen::VectorXd variances;
  posterior.PredictMany(many, &means, &variances);
  EXPECT_NEAR(means[0], mean, 1e-8);
  EXPECT_NEAR(variances[0], variance, 1e-8);
}

TEST(GpTest, PendingPointsLowerTheVarianceAndLeaveTheMean) {
  const GpData data = MakeData(10, 2, 3);
  const KernelParameters p = MakeParameters(2);
  const std::vector<double> at = {0.35, 0.5};
  Eigen::MatrixXd pending(1, 2);
  pending << 0.3, 0.5;
  double mean;
  double variance;
  double mean_after;
  double variance_after;
  GpPosterior(data, Eigen::MatrixXd(0, 2), p).Predict(at.data(), &mean, &variance);
  const GpPosterior after(data, pending, p);
  after.Predict(at.data(), &mean_after, &variance_after);
  EXPECT_DOUBLE_EQ(mean, mean_after);
  EXPECT_LT(variance_after, 0.8 * variance);
  const std::vector<double> pending_at = {0.3, 0.5};
  after.Predict(pending_at.data(), &mean, &variance);
  EXPECT_NEAR(after.least_pending(), mean, 1e-9);
}

TEST(GpTest, DoubtfulValuesWeighLess) {
  GpData data = MakeData(10, 2, 3);
  const KernelParameters p = MakeParameters(2);
  const Eigen::MatrixXd none(0, 2);
  const GpPosterior sure(data, none, p);
  data.doubt = Eigen::VectorXd::Zero(10);
  EXPECT_EQ(GpPosterior(data, none, p).fitted(), sure.fitted());
  data.doubt[4] = 100;
  const GpPosterior doubtful(data, none, p);
  const Eigen::VectorXd at = data.x.row(4);
  double mean;
  double variance;
  double variance_before;
  sure.Predict(at.data(), &mean, &variance_before);
  doubtful.Predict(at.data(), &mean, &variance);
  EXPECT_GT(variance, 2 * variance_before);
  EXPECT_GT(std::abs(doubtful.fitted()[4] - doubtful.z()[4]),
            std::abs(sure.fitted()[4] - sure.z()[4]));
}

TEST(GpTest, GradientOfPredictionsAgreesWithDifferences) {
  const GpData data = MakeData(12, 3, 9);
  const GpPosterior posterior(data, Eigen::MatrixXd(0, 3), MakeParameters(3));
  const std::vector<double> at = {0.41, 0.63, 0.5};
  double mean;
  double variance;
  Eigen::VectorXd by_mean;
  Eigen::VectorXd by_variance;
  posterior.PredictWithGradient(at.data(), &mean, &variance, &by_mean, &by_variance);
  for (int d = 0; d < 2; ++d) {
    std::vector<double> up = at;
    std::vector<double> down = at;
    up[d] += 1e-6;
    down[d] -= 1e-6;
    double m1, m2, v1, v2;
    posterior.Predict(up.data(), &m1, &v1);
    posterior.Predict(down.data(), &m2, &v2);
    EXPECT_NEAR(by_mean[d], (m1 - m2) / 2e-6, 1e-5);
    EXPECT_NEAR(by_variance[d], (v1 - v2) / 2e-6, 1e-5);
  }
}

TEST(GpTest, FitExplainsASmoothFunction) {
  const GpData data = MakeData(40, 2, 5);
  const KernelParameters p = GpFit(data).Fit(40).best;
  const GpPosterior posterior(data, Eigen::MatrixXd(0, 2), p);
  EXPECT_LT((posterior.fitted() - posterior.z()).norm() / posterior.z().norm(), 0.05);
  EXPECT_LT(p.noise(), 0.01);
}

TEST(OutputWarpTest, KeepsTheOrderAndTamesExtremes) {
  const double inf = std::numeric_limits<double>::infinity();
  const Eigen::VectorXd t = ScaleObjectives({3, 1e308, 1, 2, inf, -1e308 / 1e300, 2.5});
  EXPECT_EQ(t.minCoeff(), 0);
  EXPECT_LE(t.maxCoeff(), kWorstScaled);
  EXPECT_LT(t[2], t[3]);
  EXPECT_LT(t[3], t[0]);
  EXPECT_EQ(t[4], t[1]) << "infeasible counts as the worst";
  const Eigen::VectorXd z = WarpOutputs(t, 0.1, nullptr);
  EXPECT_NEAR(z.mean(), 0, 1e-12);
  EXPECT_NEAR(z.squaredNorm() / 7, 1, 1e-12);
  EXPECT_LT(z[2], z[3]);
  EXPECT_EQ(ScaleObjectives({5, 5, 5}).norm(), 0);
  EXPECT_EQ(WarpOutputs(ScaleObjectives({5, 5, 5}), 1, nullptr).norm(), 0);
  EXPECT_GT(ScaleObjectives({5, 5, 5, 5, 9})[4], 0);
}

TEST(LbfgsTest, FindsTheMinimumInsideAndOnTheBorder) {
  BoxProblem problem;
  problem.function = [](const std::vector<double>& x, std::vector<double>* g) {
    const double a = x[1] - x[0] * x[0];
    (*g)[0] = -400 * a * x[0] - 2 * (1 - x[0]);
    (*g)[1] = 200 * a;
    return 100 * a * a + (1 - x[0]) * (1 - x[0]);
  };
  problem.low = {-2, -2};
  problem.high = {2, 2};
  problem.evaluations_max = 500;
  problem.tolerance = 1e-8;
  BoxMinimum end = MinimizeInBox(problem, {-1.2, 1});
  EXPECT_NEAR(end.x[0], 1, 1e-3);
  EXPECT_NEAR(end.x[1], 1, 1e-3);
  problem.high = {0.5, 2};
  end = MinimizeInBox(problem, {-1.2, 9});
  EXPECT_NEAR(end.x[0], 0.5, 1e-6);
  EXPECT_NEAR(end.x[1], 0.25, 1e-3);
}

TEST(LbfgsTest, WallsOfNoNumberAreNotEntered) {
  BoxProblem problem;
  problem.function = [](const std::vector<double>& x, std::vector<double>* g) {
    if (x[0] > 0.7) return std::nan("");
    (*g)[0] = -1;
    return -x[0];
  };
  problem.low = {0};
  problem.high = {1};
  const BoxMinimum end = MinimizeInBox(problem, {0.1});
  EXPECT_LE(end.x[0], 0.7);
  EXPECT_GT(end.x[0], 0.3);
}

}  // namespace
}  // namespace trainyard::tuning
