// What is said about a gang's slowest rank.
#include "client/cli/metric_view.h"

#include <gtest/gtest.h>

namespace trainyard::cli {
namespace {

void Add(const char* name, int64_t step, int rank, double value, v1::ListMetricsResponse* to) {
  v1::MetricPoint* const point = to->add_points();
  point->set_name(name);
  point->set_step(step);
  point->set_rank(rank);
  point->set_value(value);
}

TEST(SlowRankTest, IsNamedAsLongAsItIsSlow) {
  v1::ListMetricsResponse response;
  EXPECT_EQ(SlowRank(response), "");
  for (int step = 1; step <= 2; ++step) {
    Add("step_seconds", step, 0, 0.1, &response);
    Add("step_seconds", step, 1, 0.11, &response);
    Add("step_seconds", step, 2, step == 1 ? 0.1 : 0.25, &response);
    Add("loss", step, 0, 1, &response);
  }
  EXPECT_EQ(SlowRank(response), "");
  Add("straggler", 2, 0, 2, &response);
  EXPECT_EQ(SlowRank(response), "rank 2, 0.25 s a step, 2.5 times as long as the others (step 2)");
  Add("step_seconds", 3, 0, 0.1, &response);
  EXPECT_EQ(SlowRank(response), "") << "compared since, and nobody was slow";
}

}  // namespace
}  // namespace trainyard::cli
