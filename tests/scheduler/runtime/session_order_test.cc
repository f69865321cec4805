// SessionOrder: gaps in facts and answers that do not come.
#include "scheduler/runtime/session_order.h"

#include <gtest/gtest.h>

namespace trainyard::runtime {
namespace {

TEST(SessionOrderTest, FactsComeInOrderOrTheSessionEnds) {
  SessionOrder order;
  order.Begin(5);
  EXPECT_TRUE(order.TakeFact(5));
  EXPECT_TRUE(order.TakeFact(6));
  EXPECT_TRUE(order.TakeFact(5)) << "again";
  EXPECT_FALSE(order.TakeFact(8)) << "7 is missing";
  EXPECT_TRUE(order.TakeFact(7));
  EXPECT_TRUE(order.TakeFact(8));
}

TEST(SessionOrderTest, AgentsThatDoNotCountAreTaken) {
  SessionOrder order;
  order.Begin(0);
  EXPECT_TRUE(order.TakeFact(77));
}

TEST(SessionOrderTest, WhatWasToldIsAcknowledgedInTime) {
  SessionOrder order;
  EXPECT_FALSE(order.Lags(absl::Seconds(1000))) << "nothing was told";
  order.Told(1, absl::Seconds(100));
  EXPECT_FALSE(order.Lags(absl::Seconds(109)));
  EXPECT_TRUE(order.Lags(absl::Seconds(110)));
  order.Acknowledged(1, absl::Seconds(110));
  EXPECT_FALSE(order.Lags(absl::Seconds(1000)));
  // The time runs from the last answer, so that a busy session never lags.
  order.Told(2, absl::Seconds(1000));
  order.Told(3, absl::Seconds(1009));
  order.Acknowledged(2, absl::Seconds(1009));
  EXPECT_FALSE(order.Lags(absl::Seconds(1018)));
  EXPECT_TRUE(order.Lags(absl::Seconds(1019)));
  order.Acknowledged(1, absl::Seconds(1019));
  EXPECT_TRUE(order.Lags(absl::Seconds(1019))) << "an old answer says nothing";
}

}  // namespace
}  // namespace trainyard::runtime
