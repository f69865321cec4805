// Step sizes over a training: each schedule at its marks, with and without a warm-up.
#include <cmath>

#include "gtest/gtest.h"
#include "worker/trainer/trainer.h"

namespace trainyard::trainer {
namespace {

Options With(const char* schedule, double warmup) {
  Options options;
  options.learning_rate = 2;
  options.epochs = 10;
  options.schedule = schedule;
  options.warmup_epochs = warmup;
  return options;
}

TEST(ScheduleTest, MarksOfEachSchedule) {
  struct Row {
    const char* schedule;
    double at_0, at_5, at_8;
  };
  const double late = 1 + std::cos(0.8 * 3.14159265358979);
  for (const Row& row : {Row{"constant", 2, 2, 2}, Row{"cosine", 2, 1, late},
                         Row{"linear", 2, 1, 0.4}, Row{"step", 2, 0.2, 0.02}}) {
    const Options options = With(row.schedule, 0);
    EXPECT_DOUBLE_EQ(LearningRateAt(options, 0, 0.1), row.at_0) << row.schedule;
    EXPECT_NEAR(LearningRateAt(options, 5, 5.1), row.at_5, 1e-12) << row.schedule;
    EXPECT_NEAR(LearningRateAt(options, 8, 8.1), row.at_8, 1e-12) << row.schedule;
  }
}

TEST(ScheduleTest, WarmupRisesToTheSchedule) {
  const Options options = With("linear", 2);
  EXPECT_NEAR(LearningRateAt(options, 0, 0.5), 0.5, 1e-12) << "the first step is one already";
  EXPECT_NEAR(LearningRateAt(options, 1, 1.5), 1.5, 1e-12);
  EXPECT_NEAR(LearningRateAt(options, 1.75, 2.25), 2, 1e-12);
  EXPECT_NEAR(LearningRateAt(options, 2, 2.5), 2, 1e-12);
  EXPECT_NEAR(LearningRateAt(options, 6, 6.5), 1, 1e-12);
}

}  // namespace
}  // namespace trainyard::trainer
