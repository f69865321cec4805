// Curves of trials: what a trial is judged by.
#include "scheduler/core/measurements.h"

#include <gtest/gtest.h>

#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

v1::StudySpec BestOfTwoMetrics() {
  v1::StudySpec spec;
  for (const char* metric : {"accuracy", "loss"}) {
    spec.add_metrics()->set_metric_id(metric);
    spec.mutable_metrics()->rbegin()->set_goal(v1::StudySpec::MAXIMIZE);
  }
  spec.set_selection(v1::StudySpec::BEST);
  return spec;
}

TEST(MeasurementsTest, CorrectedReportIsNoLongerTheBest) {
  v1::StudySpec spec = BestOfTwoMetrics();
  spec.mutable_metrics()->RemoveLast();
  records::TrialRow trial;
  for (const auto& [step, value] : {std::pair(1, 0.6), {2, 0.9}, {3, 0.7}, {2, 0.2}}) {
    AddMeasurementTo(spec, Point(step, value), &trial);
  }
  std::vector<std::string> missing;
  const v1::Measurement judged = FinalMeasurement(spec, trial, &missing);
  EXPECT_EQ(FindMetric(judged, "accuracy"), 0.7);
  EXPECT_EQ(judged.step(), 3);
}

TEST(MeasurementsTest, OtherMetricsOfTheBestAreThoseOfItsStep) {
  const v1::StudySpec spec = BestOfTwoMetrics();
  records::TrialRow trial;
  AddMeasurementTo(spec, Point(1, 0.9), &trial);
  AddMeasurementTo(spec, Point(1, 0.5, "loss"), &trial);  // told by itself, of the same step
  AddMeasurementTo(spec, Point(2, 0.8), &trial);
  AddMeasurementTo(spec, Point(2, 0.1, "loss"), &trial);
  std::vector<std::string> missing;
  const v1::Measurement judged = FinalMeasurement(spec, trial, &missing);
  EXPECT_TRUE(missing.empty());
  EXPECT_EQ(FindMetric(judged, "accuracy"), 0.9);
  EXPECT_EQ(FindMetric(judged, "loss"), 0.5) << "not the newest, of another step";
}

}  // namespace
}  // namespace trainyard::core
