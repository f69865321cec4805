// What every MetricStore promises, on the one of segments; and how a curve is thinned.
#include <gmock/gmock.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/store/metric_series.h"
#include "scheduler/store/segment_metric_store.h"
#include "tests/scheduler/store/store_fixture.h"

namespace trainyard::store {
namespace {

using testing::ElementsAre;

constexpr uint64_t kJob = 77;

class MetricStoreTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    Reopen();
  }
  void Reopen(size_t points_in_memory = 1 << 20) {
    store_ = MakeSegmentMetricStore(folder_ + "/metrics", options_, points_in_memory);
  }
  // Points of steps [first, end) with value = step.
  static agent::v1::MetricBatch Batch(int64_t first, int64_t end, int64_t offset,
                                      uint64_t epoch = 1, const std::string& name = "loss") {
    agent::v1::MetricBatch batch;
    batch.mutable_key()->set_run_uid(1);
    batch.mutable_key()->set_epoch(epoch);
    batch.set_offset(offset);
    for (int64_t step = first; step < end; ++step) {
      v1::MetricPoint* point = batch.add_points();
      point->set_name(name);
      point->set_step(step);
      point->set_value(static_cast<double>(step) + 1000.0 * static_cast<double>(epoch));
      point->mutable_time()->set_seconds(1700000000 + step);
    }
    return batch;
  }
  int64_t Append(const agent::v1::MetricBatch& batch, int trial = 1, uint64_t job = kJob) {
    const auto next = store_->Append(job, trial, batch);
    EXPECT_TRUE(next.ok()) << next.status();
    return next.ok() ? *next : -1;
  }
  v1::ListMetricsResponse List(const v1::ListMetricsRequest& request = {}, uint64_t job = kJob) {
    const auto list = store_->List(job, request);
    EXPECT_TRUE(list.ok()) << list.status();
    return list.ok() ? *list : v1::ListMetricsResponse();
  }
  static std::vector<int64_t> Steps(const v1::ListMetricsResponse& response) {
    std::vector<int64_t> steps;
    for (const auto& point : response.points()) steps.push_back(point.step());
    return steps;
  }
  SegmentedFile::Options options_;
  std::unique_ptr<MetricStore> store_;
};

TEST_F(MetricStoreTest, UnknownJobIsEmpty) {
  EXPECT_EQ(List().points_size(), 0);
  EXPECT_FALSE(Exists(folder_ + "/metrics"));
}

TEST_F(MetricStoreTest, PointsComeBackWholeAlsoAfterReopen) {
  agent::v1::MetricBatch batch = Batch(5, 6, 0);
  v1::MetricPoint* odd = batch.add_points();
  odd->set_name("nan");
  odd->set_step(-3);
  odd->set_value(std::nan(""));
  odd->set_rank(2);
  EXPECT_EQ(Append(batch, 4), 2);
  for (int round = 0; round < 2; ++round) {
    const auto list = List();
    EXPECT_THAT(list.names(), ElementsAre("loss", "nan"));
    ASSERT_EQ(list.points_size(), 2);
    EXPECT_EQ(list.points(0).step(), 5);
    EXPECT_EQ(list.points(0).value(), 1005);
    EXPECT_EQ(list.points(0).trial(), 4);
    EXPECT_EQ(list.points(0).time().seconds(), 1700000005);
    EXPECT_EQ(list.points(1).step(), -3);
    EXPECT_EQ(list.points(1).rank(), 2);
    EXPECT_TRUE(std::isnan(list.points(1).value()));
    Reopen();
  }
}

TEST_F(MetricStoreTest, RepeatedBatchesChangeNothingAlsoAfterReopen) {
  EXPECT_EQ(Append(Batch(0, 5, 0)), 5);
  EXPECT_EQ(Append(Batch(0, 5, 0)), 5);
  EXPECT_EQ(List().points_size(), 5);
  Reopen();
  EXPECT_EQ(Append(Batch(3, 8, 3)), 8);
  EXPECT_EQ(Append(Batch(0, 2, 0)), 8);
  EXPECT_THAT(Steps(List()), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  Reopen();
  EXPECT_THAT(Steps(List()), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST_F(MetricStoreTest, SegmentsKeepTheOffsets) {
  options_.segment_bytes = 200;
  Reopen();
  for (int i = 0; i < 50; ++i) Append(Batch(i * 3, i * 3 + 3, i * 3));
  Append(Batch(0, 2, 0, 9, "other"));
  Reopen();
  EXPECT_EQ(Append(Batch(0, 150, 0)), 150);
  EXPECT_EQ(Append(Batch(0, 2, 0, 9, "other")), 2);
  v1::ListMetricsRequest request;
  request.add_metrics("loss");
  EXPECT_EQ(List(request).points_size(), 150);
}

TEST_F(MetricStoreTest, FiltersByTrialAndName) {
  Append(Batch(0, 3, 0, 1, "a"), 1);
  Append(Batch(0, 3, 0, 2, "b"), 2);
  v1::ListMetricsRequest request;
  request.set_trial(2);
  EXPECT_THAT(List(request).names(), ElementsAre("b"));
  EXPECT_EQ(List(request).points_size(), 3);
  request.set_trial(0);
  request.add_metrics("a");
  EXPECT_EQ(List(request).points_size(), 3);
  EXPECT_THAT(List(request).names(), ElementsAre("a", "b"));
}

TEST_F(MetricStoreTest, ThinsToWhatWasAskedForWithBothEnds) {
  for (int i = 0; i < 100; ++i) Append(Batch(i * 1000, i * 1000 + 1000, i * 1000));
  v1::ListMetricsRequest request;
  request.set_points_max(100);
  const auto steps = Steps(List(request));
  EXPECT_EQ(steps.size(), 100u);
  EXPECT_EQ(steps.front(), 0);
  EXPECT_EQ(steps.back(), 99999);
  for (size_t i = 1; i < steps.size(); ++i) EXPECT_NEAR(steps[i] - steps[i - 1], 1010, 200);
  EXPECT_EQ(List().points_size(), 1000);
}

TEST_F(MetricStoreTest, IndexBuiltLateEqualsTheOneKeptUp) {
  List();
  for (int i = 0; i < 30; ++i) Append(Batch(i * 500, i * 500 + 500, i * 500));
  const std::string kept = List().SerializeAsString();
  Reopen();
  EXPECT_EQ(List().SerializeAsString(), kept);
}

TEST_F(MetricStoreTest, JobsBeyondTheMemoryLimitAreBuiltAnew) {
  Reopen(10);
  for (uint64_t job = 1; job <= 4; ++job) Append(Batch(0, 20, 0), 1, job);
  for (int round = 0; round < 2; ++round) {
    for (uint64_t job = 1; job <= 4; ++job) EXPECT_EQ(List({}, job).points_size(), 20) << job;
  }
  Append(Batch(20, 21, 20), 1, 1);
  EXPECT_EQ(List({}, 1).points_size(), 21);
}

TEST_F(MetricStoreTest, NonsenseIsRefused) {
  EXPECT_FALSE(store_->Append(kJob, 0, Batch(0, 1, -1)).ok());
  EXPECT_FALSE(store_->Append(kJob, 0, Batch(0, 1, INT64_MAX)).ok());
  EXPECT_EQ(ReasonOf(store_->Append(kJob, 0, Batch(0, 1, 0, 1, "")).status()), "OUT_OF_RANGE");
  EXPECT_FALSE(store_->Append(kJob, 0, Batch(0, 1, 0, 1, std::string(513, 'n'))).ok());
}

std::vector<int64_t> StepsOf(const MetricSeries& series, size_t points_max = 100000) {
  std::vector<int64_t> steps;
  for (const auto& point : series.Points(points_max)) steps.push_back(point.step);
  return steps;
}

TEST(MetricSeriesTest, NewAttemptReplacesFromItsFirstStepOn) {
  MetricSeries series;
  for (int64_t step = 0; step < 10; ++step) series.Add(1, {step, 1.0, 0});
  for (int64_t step = 6; step < 8; ++step) series.Add(2, {step, 2.0, 0});
  series.Add(1, {9, 1.0, 0});  // late, of the old attempt
  EXPECT_THAT(StepsOf(series), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  const auto points = series.Points(100);
  EXPECT_EQ(points[5].value, 1.0);
  EXPECT_EQ(points[6].value, 2.0);
}

TEST(MetricSeriesTest, LastOfEqualStepsWins) {
  MetricSeries series;
  series.Add(1, {1, 10, 0});
  series.Add(1, {2, 20, 0});
  series.Add(1, {1, 11, 0});
  const auto points = series.Points(10);
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].value, 11);
}

TEST(MetricSeriesTest, MemoryIsBoundedAndTheNewestStays) {
  MetricSeries series;
  for (int64_t step = 0; step < 1000000; ++step) {
    series.Add(1, {step, 0, 0});
    ASSERT_LE(series.size(), kSeriesPointsMax + 1);
  }
  const auto steps = StepsOf(series);
  EXPECT_EQ(steps.front(), 0);
  EXPECT_EQ(steps.back(), 999999);
  EXPECT_GE(steps.size(), kSeriesPointsMax / 2);
}

}  // namespace
}  // namespace trainyard::store
