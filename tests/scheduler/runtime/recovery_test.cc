// Restarts: from the journal's tail, from rows, with jobs that left memory, and what leases do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/core/core.h"
#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

agent::v1::MemberReport Running(const agent::v1::MemberKey& key) {
  agent::v1::MemberReport report;
  *report.mutable_key() = key;
  report.set_phase(agent::v1::RUNNING_PHASE);
  return report;
}

TEST(RecoveryTest, StateIsTheSameFromTailAndFromRows) {
  Scene scene;
  scene.Connect("a", 2);
  scene.Submit("done");
  scene.RunToSuccess("a", scene.Ordered("a").at(0).key());
  scene.Submit("runs");
  scene.Submit("waits", MakeSpec(1, 2000));
  scene.Restart();
  const std::string from_tail = core::StateHash(scene.runtime().engine().state());
  EXPECT_THAT(core::CheckInvariants(scene.runtime().engine().state()), ::testing::IsEmpty());
  EXPECT_EQ(scene.view().JobByName("default", "done")->state(), v1::SUCCEEDED);
  EXPECT_EQ(scene.view().JobByName("default", "waits")->state(), v1::QUEUED);
  ASSERT_TRUE(scene.runtime().WriteRows().ok());
  const std::string written = core::StateHash(scene.runtime().engine().state());
  EXPECT_EQ(written, from_tail);
  const uint64_t revision = scene.view().revision();
  scene.Restart();
  EXPECT_THAT(core::CheckInvariants(scene.runtime().engine().state()), ::testing::IsEmpty());
  EXPECT_GT(scene.view().revision(), revision) << "the new start is an event of its own";
  EXPECT_EQ(scene.view().JobByName("default", "done")->state(), v1::SUCCEEDED);
  EXPECT_EQ(scene.view().JobByName("default", "runs")->uid(),
            scene.view().Job(scene.view().JobByName("default", "runs")->uid())->uid());
}

TEST(RecoveryTest, IncarnationRises) {
  Scene scene;
  const uint64_t first = scene.view().incarnation();
  scene.Restart();
  EXPECT_GT(scene.view().incarnation(), first);
}

TEST(RecoveryTest, RunningWorkIsKeptWhenItsAgentComesBackInTime) {
  Scene scene;
  scene.Connect("a", 1);
  const uint64_t uid = scene.Submit("long");
  const agent::v1::MemberKey key = scene.Ordered("a").at(0).key();
  agent::v1::Fact fact;
  *fact.mutable_key() = key;
  fact.mutable_running()->set_pid(1);
  scene.Tell("a", fact);
  scene.Restart();
  // The scheduler was away for an hour; the lease begins anew in full.
  scene.Live(absl::Seconds(14));
  EXPECT_TRUE(scene.view().Agent("a")->connected());
  const agent::v1::Welcome welcome = scene.Connect("a", 1, {Running(key)});
  ASSERT_EQ(welcome.desired_size(), 1);
  EXPECT_EQ(welcome.desired(0).key().epoch(), key.epoch()) << "no second attempt was made";
  EXPECT_EQ(scene.view().Job(uid)->state(), v1::RUNNING);
}

TEST(RecoveryTest, AgentThatStaysAwayIsLostAfterAFullLease) {
  Scene scene;
  scene.Connect("a", 1);
  scene.Connect("b", 1);
  scene.Submit("long");
  const bool on_a = !scene.Ordered("a").empty();
  scene.Restart();
  scene.Connect(on_a ? "b" : "a", 1);
  scene.Live(absl::Seconds(10));
  EXPECT_TRUE(scene.runtime().AgentHeartbeat(on_a ? "b" : "a"));
  EXPECT_TRUE(scene.view().Agent(on_a ? "a" : "b")->connected());
  EXPECT_TRUE(scene.Ordered(on_a ? "b" : "a").empty()) << "nothing of it is placed elsewhere yet";
  scene.Live(absl::Seconds(6));
  EXPECT_FALSE(scene.view().Agent(on_a ? "a" : "b")->connected());
}

TEST(RecoveryTest, OldJobsLeaveMemoryAndStayReadable) {
  Scene scene;
  scene.recent_jobs_max = 3;
  scene.Restart();
  scene.Connect("a", 1);
  std::vector<uint64_t> uids;
  for (int i = 0; i < 10; ++i) {
    uids.push_back(scene.Submit(absl::StrCat("job", i)));
    scene.RunToSuccess("a", scene.Ordered("a").at(0).key());
  }
  const auto check = [&] {
    EXPECT_LE(scene.runtime().engine().state().jobs.size(), 4u);
    const auto old = scene.view().JobByName("default", "job0");
    ASSERT_NE(old, nullptr);
    EXPECT_EQ(old->uid(), uids[0]);
    EXPECT_EQ(old->state(), v1::SUCCEEDED);
    ASSERT_NE(scene.view().Spec(uids[0]), nullptr);
    EXPECT_EQ(scene.view().Spec(uids[0])->display_name(), "test");
    ASSERT_NE(scene.view().Run(old->run_uid()), nullptr);
    const auto listed = scene.view().Jobs("default", 0, 100);
    ASSERT_EQ(listed.size(), 10u);
    for (size_t i = 0; i < 10; ++i) EXPECT_EQ(listed[i]->uid(), uids[9 - i]);
    const auto page = scene.view().Jobs("", uids[5], 2);
    ASSERT_EQ(page.size(), 2u);
    EXPECT_EQ(page[0]->uid(), uids[4]);
  };
  check();  // before the rows are written the view holds them
  ASSERT_TRUE(scene.runtime().WriteRows().ok());
  check();
  scene.Restart();
  check();
  const auto again = scene.Do(core::SubmitJob{"default", "job0", MakeSpec(), false});
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
}

TEST(RecoveryTest, RepeatedRequestIdIsKnownAfterRestart) {
  Scene scene;
  core::Command command;
  command.principal = User();
  command.request_id = "r1";
  command.body_hash = "h";
  command.body = core::SubmitJob{"default", "", MakeSpec(), false};
  std::string first;
  scene.runtime().Post(command, [&](const auto& reply) { first = reply->name; });
  scene.Step();
  ASSERT_TRUE(scene.runtime().WriteRows().ok());
  scene.Restart();
  std::string second;
  bool repeated = false;
  scene.runtime().Post(command, [&](const auto& reply) {
    second = reply->name;
    repeated = reply->repeated;
  });
  scene.Step();
  EXPECT_EQ(first, second);
  EXPECT_TRUE(repeated);
}

TEST(RecoveryTest, EveryPrefixOfTheJournalRecovers) {
  // Rows are written at odd moments; whatever the moment of a restart, the state is the same as
  // that of a scene that never wrote a row.
  Scene with_rows;
  Scene without;
  for (Scene* scene : {&with_rows, &without}) scene->Connect("a", 4);
  for (int i = 0; i < 12; ++i) {
    for (Scene* scene : {&with_rows, &without}) {
      scene->Submit(absl::StrCat("j", i), MakeSpec(1, 500));
      if (i % 3 == 2) {
        const auto ordered = scene->Ordered("a");
        ASSERT_FALSE(ordered.empty());
        scene->RunToSuccess("a", ordered.at(0).key());
      }
    }
    if (i % 2 == 0) continue;
    ASSERT_TRUE(with_rows.runtime().WriteRows().ok());
  }
  for (Scene* scene : {&with_rows, &without}) scene->Restart();
  EXPECT_EQ(core::StateHash(with_rows.runtime().engine().state()),
            core::StateHash(without.runtime().engine().state()));
}

}  // namespace
}  // namespace trainyard::runtime
