// Jobs: submitted, named, repeated, cancelled, paused, expired.
#include "scheduler/core/job_machine.h"

#include <gtest/gtest.h>

#include "common/errors.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

TEST(JobMachineTest, PlainJobGoesThroughItsStates) {
  Scene scene;
  scene.Node("n1");
  const uint64_t job = scene.Submit("a");
  EXPECT_EQ(scene.Job(job).state(), v1::QUEUED);
  const uint64_t run = scene.Job(job).run_uid();
  scene.Place(run, {{"n1", {0}}});
  EXPECT_EQ(scene.Job(job).state(), v1::PREPARING);
  scene.Running(run);
  EXPECT_EQ(scene.Job(job).state(), v1::RUNNING);
  EXPECT_EQ(scene.Job(job).start_us(), scene.now_us());
  scene.Pass(5);
  scene.Succeed(run);
  EXPECT_EQ(scene.Job(job).state(), v1::SUCCEEDED);
  EXPECT_EQ(scene.Job(job).end_us(), scene.now_us());
  EXPECT_FALSE(MayForget(scene.state(), job)) << "its member is not released";
  scene.Release(run);
  EXPECT_TRUE(MayForget(scene.state(), job));
  EXPECT_TRUE(scene.state().node_use.empty());
}

TEST(JobMachineTest, MakesUpNamesFromTheDisplayName) {
  Scene scene;
  Spec spec;
  spec.spec.set_display_name("My model v2!");
  const uint64_t job = scene.Submit("", spec);
  EXPECT_EQ(scene.Job(job).job_id(), "My-model-v2-" + std::to_string(job));
}

TEST(JobMachineTest, TakenNameIsRefusedWithAFreeOne) {
  Scene scene;
  scene.Submit("a");
  scene.Submit("a-2");
  const auto again = scene.Try(SubmitJob{"default", "a", Spec().spec, false});
  ASSERT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(FaultsOf(again.status()).faults(0).fix().find("a-3"), std::string::npos);
}

TEST(JobMachineTest, UidsRiseAndAreNeverReused) {
  Scene scene;
  uint64_t last = 0;
  for (int i = 0; i < 20; ++i) {
    const uint64_t uid = scene.Submit("");
    EXPECT_GT(uid, last);
    EXPECT_GT(scene.Job(uid).run_uid(), uid);
    last = scene.Job(uid).run_uid();
  }
}

TEST(JobMachineTest, RepeatedRequestGivesTheFirstAnswer) {
  Scene scene;
  const SubmitJob submit{"default", "", Spec().spec, false};
  const auto first = scene.Try(submit, Admin(), "r1", "hash1");
  const size_t events = scene.events().size();
  const auto second = scene.Try(submit, Admin(), "r1", "hash1");
  EXPECT_EQ(second->reply.name, first->reply.name);
  EXPECT_EQ(second->reply.uid, first->reply.uid);
  EXPECT_TRUE(second->reply.repeated);
  EXPECT_EQ(scene.events().size(), events);
  const auto other = scene.Try(submit, Admin(), "r1", "hash2");
  EXPECT_EQ(ReasonOf(other.status()), "REQUEST_ID_REUSED");
  EXPECT_FALSE(scene.Try(submit, Admin("bob"), "r1", "hash2")->reply.repeated)
      << "request ids are each caller's own";
}

TEST(JobMachineTest, RequestIdsAreForgottenAfterSevenDays) {
  Scene scene;
  const SubmitJob submit{"default", "", Spec().spec, false};
  scene.Try(submit, Admin(), "r1", "hash1").IgnoreError();
  scene.Pass(7 * 86400 + 1);
  EXPECT_FALSE(scene.Try(submit, Admin(), "r1", "hash2")->reply.repeated);
  scene.Submit("later");
  EXPECT_EQ(scene.state().requests.size(), 1u) << "the old one is pruned";
}

TEST(JobMachineTest, ValidateOnlyChangesNothing) {
  Scene scene;
  const size_t events = scene.events().size();
  EXPECT_TRUE(scene.Try(SubmitJob{"default", "a", Spec().spec, true}).ok());
  EXPECT_EQ(scene.events().size(), events);
}

TEST(JobMachineTest, RefusesSpecsNoNodeCouldEverRun) {
  Scene scene;
  Spec none;
  none.spec.mutable_worker_pools(0)->set_replica_count(0);
  Spec uneven;
  uneven.Gpus(3).spec.mutable_launch()->set_processes_per_replica(2);
  EXPECT_EQ(ReasonOf(scene.Try(SubmitJob{"default", "", none.spec, false}).status()),
            "MISSING_FIELD");
  EXPECT_EQ(ReasonOf(scene.Try(SubmitJob{"default", "", Spec().Ranks(20000).spec, false}).status()),
            "OUT_OF_RANGE");
  EXPECT_EQ(ReasonOf(scene.Try(SubmitJob{"default", "", uneven.spec, false}).status()), "CONFLICT");
  EXPECT_EQ(ReasonOf(scene.Try(SubmitJob{"defualt", "", Spec().spec, false}).status()),
            "NOT_FOUND");
}

TEST(JobMachineTest, CancelWhileWaitingEndsAtOnce) {
  Scene scene;
  scene.Submit("a");
  scene.Do(CancelJob{"default", "a", "changed my mind"});
  EXPECT_EQ(scene.Job("a").state(), v1::CANCELLED);
  EXPECT_EQ(scene.Job("a").error().message(), "cancelled: changed my mind");
  EXPECT_TRUE(scene.state().waiting_runs.empty());
  const size_t events = scene.events().size();
  scene.Cancel("a");
  EXPECT_EQ(scene.events().size(), events) << "a second cancel has nothing to do";
}

TEST(JobMachineTest, CancelWhileRunningStopsThenEnds) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Cancel("a");
  EXPECT_EQ(scene.Job("a").state(), v1::CANCELLING);
  EXPECT_EQ(scene.Demand(run), std::vector<std::string>{"n1 STOPPED STOP_CANCEL"});
  scene.Stopped(run);
  EXPECT_EQ(scene.Job("a").state(), v1::CANCELLED);
  EXPECT_EQ(scene.Job("a").error().cause(), v1::CANCELLED_CAUSE);
}

TEST(JobMachineTest, SuccessBeforeTheStopWinsOverCancel) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Cancel("a");
  scene.Succeed(run);
  EXPECT_EQ(scene.Job("a").state(), v1::SUCCEEDED);
}

TEST(JobMachineTest, PauseKeepsTheCheckpointAndResumeGoesOn) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Part(run, 0, 7, "tree7");
  scene.Pause("a");
  EXPECT_EQ(scene.Demand(run), std::vector<std::string>{"n1 STOPPED STOP_PAUSE"});
  scene.Stopped(run);
  scene.Release(run);
  EXPECT_EQ(scene.Job("a").state(), v1::PAUSED);
  EXPECT_EQ(scene.PlaceAll(), 0);
  scene.Resume("a");
  EXPECT_EQ(scene.Job("a").state(), v1::QUEUED);
  EXPECT_EQ(scene.PlaceAll(), 1);
  const auto demand = DemandOfRun(scene.state(), run);
  EXPECT_EQ(demand.at(0).member.assignment().checkpoint_tree(), "tree7");
  EXPECT_EQ(demand.at(0).member.assignment().checkpoint_step(), 7);
  EXPECT_EQ(scene.Run(run).preemptions(), 0);
}

TEST(JobMachineTest, PauseWhileWaitingAndResumeWhileStopping) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.Pause("a");
  EXPECT_EQ(scene.Job("a").state(), v1::PAUSED);
  scene.Resume("a");
  scene.PlaceAndRun(run, "n1");
  scene.Pause("a");
  scene.Resume("a");
  scene.Stopped(run);
  EXPECT_EQ(scene.Run(run).state(), records::R_WAITING) << "resumed before it had stopped";
}

TEST(JobMachineTest, OnlyMaxWaitExpires) {
  Scene scene;
  scene.Submit("a", Spec().MaxWait(60));
  scene.Submit("b");
  scene.Pass(59);
  EXPECT_EQ(scene.Job("a").state(), v1::QUEUED);
  scene.Pass(2);
  EXPECT_EQ(scene.Job("a").state(), v1::EXPIRED);
  EXPECT_EQ(scene.Job("b").state(), v1::QUEUED);
}

TEST(JobMachineTest, MaxWaitIsForTheFirstStartAlone) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a", Spec().MaxWait(60));
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Preempt(run);
  scene.Stopped(run);
  scene.Pass(600);
  EXPECT_EQ(scene.Job("a").state(), v1::QUEUED);
}

TEST(JobMachineTest, LabelsAskForTheEtagThatWasRead) {
  Scene scene;
  scene.Submit("a");
  const uint64_t etag = scene.Job("a").revision();
  scene.Do(SetJobLabels{"default", "a", {{"team", "vision"}}, etag});
  ASSERT_EQ(scene.Job("a").labels().size(), 1);
  EXPECT_EQ(scene.Job("a").labels(0).key(), "team");
  EXPECT_EQ(scene.Job("a").labels(0).value(), "vision");
  const auto late = scene.Try(SetJobLabels{"default", "a", {}, etag});
  EXPECT_EQ(ReasonOf(late.status()), "ETAG_MISMATCH");
}

TEST(JobMachineTest, NamesOfForgottenJobsStayTaken) {
  Scene scene;
  scene.Submit("a");
  scene.Cancel("a");
  scene.ForgetTerminal();
  EXPECT_TRUE(scene.state().jobs.empty());
  EXPECT_EQ(scene.Try(SubmitJob{"default", "a", Spec().spec, false}).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(scene.Try(CancelJob{"default", "a", ""}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(JobMachineTest, TimelineTellsPeopleWhatHappened) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  scene.RunToSuccess(scene.Job("a").run_uid());
  std::vector<std::string> lines;
  for (const v1::TimelineEvent& line : scene.Job("a").timeline()) lines.push_back(line.what());
  EXPECT_EQ(lines, (std::vector<std::string>{"queued", "placed", "running", "attempt succeeded",
                                             "succeeded"}));
  EXPECT_EQ(scene.Job("a").timeline(1).detail(), "on n1");
}

TEST(JobMachineTest, TimelineHasAtMostAHundredLines) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  for (int step = 1; step <= 200; ++step) scene.Part(run, 0, step, "tree");
  EXPECT_EQ(scene.Job("a").timeline_size(), 100);
  EXPECT_EQ(scene.Job("a").timeline(0).what(), "queued");
  EXPECT_EQ(scene.Job("a").timeline(99).detail(), "step 200");
  // Queued, placed, running, 200 checkpoints: 203 lines, of which 99 are kept.
  EXPECT_EQ(scene.Job("a").timeline(10).what(), "left out");
  EXPECT_EQ(scene.Job("a").timeline(10).detail(), "104 lines");
}

TEST(JobMachineTest, JournalTimeNeverRunsBackwards) {
  Scene scene;
  scene.Submit("a");
  scene.Pass(-3600);
  scene.Submit("b");
  EXPECT_GE(scene.Job("b").create_us(), scene.Job("a").create_us());
}

TEST(JobMachineTest, EqualSpecsAreSharedInMemory) {
  Scene scene;
  const uint64_t a = scene.Submit("a");
  const uint64_t b = scene.Submit("b");
  EXPECT_EQ(scene.state().specs.at(a), scene.state().specs.at(b));
  const uint64_t c = scene.Submit("c", Spec().Cpu(500));
  EXPECT_NE(scene.state().specs.at(a), scene.state().specs.at(c));
}

}  // namespace
}  // namespace trainyard::core
