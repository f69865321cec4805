// Learning from earlier studies: a like one makes the search shorter, a misleading one does no
// harm, and one without a common metric or parameter says nothing.
#include "scheduler/tuning/transfer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "scheduler/tuning/tuning.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

using Spec = v1::StudySpec;
constexpr int kSeeds = 5;

SpecBuilder Training() {
  SpecBuilder builder;
  builder.Double("lr", 1e-5, 1, Spec::LOG)
      .Double("wd", 1e-6, 1e-1, Spec::LOG)
      .Double("dropout", 0, 0.9)
      .Integer("layers", 1, 10)
      .Categories("opt", {"sgd", "adam", "rmsprop"});
  return builder;
}

// `shift` moves the best learning rate; `turn` exchanges the optimisers.
Objective Loss(double shift, int turn) {
  return [shift, turn](const std::vector<v1::ParameterValue>& p) {
    static const std::vector<std::string> names = {"sgd", "adam", "rmsprop"};
    const auto opt =
        static_cast<int>(std::find(names.begin(), names.end(), Text(p, "opt")) - names.begin());
    const int role = (opt + turn) % 3;
    const double best = shift + (role == 0 ? -1 : role == 1 ? -3 : -3.5);
    const double off = std::log10(Number(p, "lr")) - best;
    return 0.08 +
           (role == 0   ? 0.03
            : role == 2 ? 0.02
                        : 0) +
           0.12 * (1 - std::exp(-off * off)) + 0.01 * std::abs(off) +
           0.3 * std::pow(Number(p, "dropout") - 0.2, 2) +
           0.01 * std::pow(std::log10(Number(p, "wd")) + 4, 2) +
           0.004 * std::pow(Number(p, "layers") - 4, 2);
  };
}

EarlierStudy Played(const Objective& loss, int trials) {
  SpecBuilder builder = Training();
  EarlierStudy study{builder.spec(), {}};
  auto optimizer = builder.Make(99);
  for (int32_t id = 1; id <= trials; ++id) {
    const auto p = optimizer->Suggest(id, 1)->suggestions[0].parameters;
    study.trials.push_back(Succeeded(id, p, loss(p)));
    optimizer->Observe(study.trials.back());
  }
  return study;
}

// Regret of the best so far, mean over the trials and the seeds.
double MeanRegret(const Objective& loss, const std::vector<EarlierStudy>& earlier) {
  constexpr int kTrials = 24;
  double sum = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    auto optimizer = MakeOptimizer(Training().spec(), seed, earlier);
    EXPECT_TRUE(optimizer.ok());
    double best = 9;
    for (const double value : RunStudy(optimizer->get(), loss, kTrials)) {
      best = std::min(best, value);
      sum += (best - 0.08) / (kTrials * kSeeds);
    }
  }
  return sum;
}

TEST(TransferTest, ALikeStudyShortensTheSearchAndAMisleadingOneDoesNoHarm) {
  const double cold = MeanRegret(Loss(0.3, 0), {});
  const double warm = MeanRegret(Loss(0.3, 0), {Played(Loss(0, 0), 40)});
  const double misled = MeanRegret(Loss(0.3, 0), {Played(Loss(0, 1), 40)});
  EXPECT_LT(warm, 0.3 * cold);
  EXPECT_LT(misled, 1.2 * cold);
}

TEST(TransferTest, StudiesWithNothingInCommonAreNotAsked) {
  EarlierStudy other = Played(Loss(0, 0), 12);
  other.spec.mutable_metrics(0)->set_metric_id("accuracy");
  const Space space(Training().spec());
  EXPECT_TRUE(Lessons(Training().spec(), space, {other}).empty());
  EarlierStudy few = Played(Loss(0, 0), 3);
  EXPECT_TRUE(Lessons(Training().spec(), space, {few}).empty());
  EXPECT_TRUE(Lessons(Training().spec(), space, {}).points().empty());
}

TEST(TransferTest, GoodPointsComeFirstAndLieInThisSpace) {
  const EarlierStudy study = Played(Loss(0, 0), 30);
  SpecBuilder builder;  // a narrower and a new parameter
  builder.Double("lr", 1e-2, 1, Spec::LOG).Double("fresh", 0, 1);
  auto optimizer = MakeOptimizer(builder.spec(), 3, {study});
  ASSERT_TRUE(optimizer.ok());
  const auto first = (*optimizer)->Suggest(1, 1)->suggestions[0].parameters;
  EXPECT_NEAR(Number(first, "lr"), 1e-2, 1e-9) << "0.001 was best; the nearest inside";
  EXPECT_EQ(Number(first, "fresh"), 0.5);
}

TEST(TransferTest, ExpectationFollowsTheSlopeOfItsSource) {
  const EarlierStudy study = Played(Loss(0, 0), 30);
  const Space space(Training().spec());
  const Lessons lessons(Training().spec(), space, {study});
  ASSERT_FALSE(lessons.empty());
  GpData data;
  data.x.resize(8, space.size());
  Eigen::VectorXd z(8);
  const Objective loss = Loss(0, 0);
  for (int i = 0; i < 8; ++i) {
    std::vector<double> features(static_cast<size_t>(space.size()), 0.5);
    features[0] = (i + 0.5) / 8;
    const Point point = space.FromFeatures(features);
    features = space.ToFeatures(point);
    for (int d = 0; d < space.size(); ++d) data.x(i, d) = features[static_cast<size_t>(d)];
    z[i] = loss(space.ToParameters(point));
  }
  z = (z.array() - z.mean()) / std::sqrt((z.array() - z.mean()).square().mean());
  double agreement = 0;
  const auto mean = lessons.Agree(data, z, &agreement);
  ASSERT_NE(mean, nullptr);
  EXPECT_GT(agreement, 0.8);
  Eigen::VectorXd at = data.x.row(2);
  Eigen::VectorXd gradient(space.size());
  mean->At(at.data(), &gradient);
  for (int d = 0; d < 3; ++d) {
    constexpr double kStep = 1e-5;
    Eigen::VectorXd up = at;
    Eigen::VectorXd down = at;
    up[d] += kStep;
    down[d] -= kStep;
    EXPECT_NEAR(gradient[d],
                (mean->At(up.data(), nullptr) - mean->At(down.data(), nullptr)) / (2 * kStep),
                1e-4);
  }
  EXPECT_EQ(lessons.Agree(data, -z, &agreement), nullptr) << "the other way round: no agreement";
}

}  // namespace
}  // namespace trainyard::tuning
