// Metric points on their way to the core: first at once, then gathered, nothing lost before an
// exit.
#include "scheduler/rpc/metric_hub.h"

#include <gtest/gtest.h>

#include "tests/scheduler/runtime/scene.h"

namespace trainyard::rpc {
namespace {

v1::JobSpec MakeTuningSpec() {
  v1::JobSpec spec = runtime::MakeSpec(1, 500);
  v1::StudySpec* study = spec.mutable_study_spec();
  study->add_metrics()->set_metric_id("accuracy");
  study->mutable_metrics(0)->set_goal(v1::StudySpec::MAXIMIZE);
  v1::StudySpec::Parameter* parameter = study->add_parameters();
  parameter->set_parameter_id("x");
  parameter->mutable_double_range()->set_max(1);
  study->set_algorithm(v1::StudySpec::RANDOM);
  spec.set_max_trial_count(1);
  spec.set_parallel_trial_count(1);
  return spec;
}

class MetricHubTest : public ::testing::Test {
 protected:
  MetricHubTest() : hub_(&scene_.runtime(), &scene_.clock) {
    scene_.Connect("a", 2);
    const uint64_t uid = scene_.Submit("tune", MakeTuningSpec());
    key_ = scene_.Ordered("a").at(0).key();
    study_ = scene_.view().Job(uid)->study_uid();
    agent::v1::Fact fact;
    *fact.mutable_key() = key_;
    fact.mutable_running()->set_pid(1);
    scene_.Tell("a", fact);
  }

  void Add(int64_t offset, int64_t step, double value, const std::string& name = "accuracy",
           int32_t rank = 0, bool commit = true) {
    agent::v1::MetricBatch batch;
    *batch.mutable_key() = key_;
    batch.set_offset(offset);
    v1::MetricPoint* point = batch.add_points();
    point->set_name(name);
    point->set_step(step);
    point->set_value(value);
    point->set_rank(rank);
    hub_.Add(*scene_.view().Run(key_.run_uid()), batch, [this] { ++durable_; });
    if (commit) scene_.Step();
  }
  std::vector<double> Curve() {
    std::vector<double> curve;
    const core::TrialPtr trial = scene_.view().Trial(study_, 1);
    for (const v1::Measurement& measurement : trial->measurements()) {
      curve.push_back(measurement.metrics(0).value());
    }
    return curve;
  }

  int durable_ = 0;  // batches that were told so
  runtime::Scene scene_;
  MetricHub hub_;
  agent::v1::MemberKey key_;
  uint64_t study_ = 0;
};

TEST_F(MetricHubTest, FirstPointIsToldAtOnceLaterOnesAreGathered) {
  Add(0, 1, 0.1);
  EXPECT_EQ(Curve(), (std::vector<double>{0.1}));
  Add(1, 2, 0.2);
  Add(2, 3, 0.3);
  EXPECT_EQ(Curve().size(), 1u) << "held back: the clock stands still";
  hub_.Flush(key_.run_uid());
  scene_.Step();
  EXPECT_EQ(Curve(), (std::vector<double>{0.1, 0.2, 0.3}));
}

// The agent forgets what is acknowledged: a scheduler that dies before it is on disk had it for
// nothing.
TEST_F(MetricHubTest, WhoBringsPointsIsToldWhenTheyAreDurable) {
  const auto add = [this](int64_t offset, int64_t step) {
    Add(offset, step, 0.5, "accuracy", 0, /*commit=*/false);
  };
  add(0, 1);
  EXPECT_EQ(durable_, 0) << "sent, not yet durable";
  scene_.Step();
  EXPECT_EQ(durable_, 1);
  add(1, 2);
  scene_.Step();
  EXPECT_EQ(durable_, 1) << "held back";
  hub_.Flush(key_.run_uid());
  add(1, 2);
  EXPECT_EQ(durable_, 1) << "brought again while it is on its way";
  scene_.Step();
  EXPECT_EQ(durable_, 3);
  agent::v1::MetricBatch again;
  *again.mutable_key() = key_;
  again.add_points()->set_name("accuracy");
  const core::RunPtr run = scene_.view().Run(key_.run_uid());
  EXPECT_FALSE(hub_.Add(*run, again, nullptr)) << "it came before";
  again.set_offset(2);
  again.mutable_points(0)->set_name("loss");
  EXPECT_FALSE(hub_.Add(*run, again, nullptr)) << "no study wants it";
}

TEST_F(MetricHubTest, RepeatedAndForeignPointsAreSkipped) {
  Add(0, 1, 0.1);
  Add(0, 1, 0.9);
  Add(1, 1, 5.0, "loss");
  hub_.Flush(key_.run_uid());
  scene_.Step();
  EXPECT_EQ(Curve(), (std::vector<double>{0.1}));
}

TEST_F(MetricHubTest, LowestRankSpeaksForAStep) {
  Add(0, 1, 0.1);
  Add(1, 2, 0.7, "accuracy", 1);
  Add(2, 2, 0.2, "accuracy", 0);
  Add(3, 2, 0.8, "accuracy", 2);
  hub_.Flush(key_.run_uid());
  scene_.Step();
  EXPECT_EQ(Curve(), (std::vector<double>{0.1, 0.2}));
}

TEST_F(MetricHubTest, PointsOfAnOlderAttemptAreDropped) {
  Add(0, 1, 0.1);
  key_.set_epoch(key_.epoch() - 1);
  Add(0, 2, 0.9);
  hub_.Flush(key_.run_uid());
  scene_.Step();
  EXPECT_EQ(Curve(), (std::vector<double>{0.1}));
}

}  // namespace
}  // namespace trainyard::rpc
