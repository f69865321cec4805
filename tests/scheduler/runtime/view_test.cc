// The read view: what is published is there at once, rows of old jobs are found again.
#include <gtest/gtest.h>

#include <thread>

#include "scheduler/runtime/rows.h"
#include "scheduler/runtime/view_table.h"
#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

core::JobPtr MakeJob(uint64_t uid, const std::string& project, const std::string& id) {
  auto job = std::make_shared<journal::v1::JobRow>();
  job->set_uid(uid);
  job->set_project(project);
  job->set_job_id(id);
  job->set_state(v1::QUEUED);
  return job;
}

TEST(ViewTest, ListsNewestFirstByProject) {
  ViewTable view(nullptr);
  Delta delta;
  delta.revision = 9;
  for (uint64_t uid = 1; uid <= 6; ++uid) {
    delta.jobs.emplace_back(uid,
                            MakeJob(uid, uid % 2 == 0 ? "even" : "odd", absl::StrCat("j", uid)));
  }
  view.Publish(delta);
  EXPECT_EQ(view.revision(), 9u);
  const auto even = view.Jobs("even", 0, 2);
  ASSERT_EQ(even.size(), 2u);
  EXPECT_EQ(even[0]->uid(), 6u);
  EXPECT_EQ(even[1]->uid(), 4u);
  const auto rest = view.Jobs("even", 4, 2);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0]->uid(), 2u);
  EXPECT_EQ(view.Jobs("", 0, 100).size(), 6u);
  EXPECT_EQ(view.JobByName("odd", "j3")->uid(), 3u);
  EXPECT_EQ(view.JobByName("even", "j3"), nullptr);
}

TEST(ViewTest, TokensAreFoundByHashUntilTheyChange) {
  ViewTable view(nullptr);
  auto token = std::make_shared<journal::v1::TokenRow>();
  token->set_id("t");
  token->set_hash("h1");
  Delta delta;
  delta.tokens.emplace_back("t", token);
  view.Publish(delta);
  EXPECT_NE(view.TokenByHash("h1"), nullptr);
  auto changed = std::make_shared<journal::v1::TokenRow>(*token);
  changed->set_hash("h2");
  delta.tokens = {{"t", changed}};
  view.Publish(delta);
  EXPECT_EQ(view.TokenByHash("h1"), nullptr);
  EXPECT_NE(view.TokenByHash("h2"), nullptr);
}

TEST(ViewTest, KeysOrderAsPromised) {
  EXPECT_LT(UidKey(1), UidKey(256));
  EXPECT_GT(FallingUidKey(1), FallingUidKey(256));
  EXPECT_EQ(UidOfKey(UidKey(0x0123456789abcdefULL)), 0x0123456789abcdefULL);
  EXPECT_LT(TrialRowKey({5, 9}), TrialRowKey({5, 10}));
  EXPECT_LT(TrialRowKey({5, 10}), TrialRowKey({6, 1}));
}

TEST(ViewTest, ReadersAndThePublisherDoNotDisturbEachOther) {
  ViewTable view(nullptr);
  std::thread reader([&] {
    size_t last = 0;
    for (int i = 0; i < 2000; ++i) {
      const size_t now = view.Jobs("p", 0, 1000).size();
      ASSERT_GE(now, last) << "published jobs do not vanish";
      last = now;
    }
  });
  for (uint64_t uid = 1; uid <= 500; ++uid) {
    Delta delta;
    delta.revision = uid;
    delta.jobs.emplace_back(uid, MakeJob(uid, "p", absl::StrCat("j", uid)));
    view.Publish(delta);
  }
  reader.join();
  EXPECT_EQ(view.Jobs("p", 0, 1000).size(), 500u);
}

}  // namespace
}  // namespace trainyard::runtime
