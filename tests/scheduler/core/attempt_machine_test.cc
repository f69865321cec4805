// Attempts: two-phase starts, facts, the first failure, budgets, deadlines, checkpoints.
#include "scheduler/core/attempt_machine.h"

#include <gtest/gtest.h>

#include "scheduler/core/deadline.h"
#include "scheduler/core/verdict.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

using Strings = std::vector<std::string>;

// A gang of one rank per node on n0, n1, ... of `job`.
uint64_t PlaceGang(Scene* scene, const std::string& job, int nodes, Spec spec = Spec()) {
  std::vector<Scene::Slice> slices;
  for (int i = 0; i < nodes; ++i) {
    const std::string node = "n" + std::to_string(i);
    scene->Node(node);
    slices.push_back({node, {i}});
  }
  scene->Submit(job, spec.Ranks(nodes));
  const uint64_t run = scene->Job(job).run_uid();
  scene->Place(run, slices);
  return run;
}

void StartGang(Scene* scene, uint64_t run, int members) {
  for (int i = 0; i < members; ++i) scene->Prepared(run, i);
  for (int i = 0; i < members; ++i) scene->Running(run, i);
}

TEST(AttemptMachineTest, OneMemberIsToRunAtOnce) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1);
  EXPECT_EQ(scene.Demand(run), Strings{"n0 RUN"});
  EXPECT_EQ(scene.Run(run).attempt().state(), records::A_LEASED);
  scene.Running(run);
  EXPECT_EQ(scene.Run(run).attempt().state(), records::A_RUNNING);
}

TEST(AttemptMachineTest, GangStartsInTwoPhases) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 3);
  EXPECT_EQ(scene.Demand(run), (Strings{"n0 PREPARED", "n1 PREPARED", "n2 PREPARED"}));
  scene.Prepared(run, 0);
  scene.Prepared(run, 2);
  EXPECT_EQ(scene.Run(run).attempt().state(), records::A_PREPARING);
  EXPECT_EQ(scene.Demand(run).at(0), "n0 PREPARED");
  scene.Prepared(run, 1);
  EXPECT_EQ(scene.Run(run).attempt().state(), records::A_STARTING);
  EXPECT_EQ(scene.Demand(run), (Strings{"n0 RUN", "n1 RUN", "n2 RUN"}));
  EXPECT_EQ(DemandOfRun(scene.state(), run)[1].member.assignment().peers(0).port(), 7000);
  scene.Running(run, 0);
  scene.Running(run, 1);
  EXPECT_EQ(scene.Run(run).attempt().state(), records::A_STARTING);
  scene.Running(run, 2);
  EXPECT_EQ(scene.Run(run).attempt().state(), records::A_RUNNING);
}

TEST(AttemptMachineTest, OneRefusalRollsTheGangBack) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 3);
  scene.Prepared(run, 0);
  wire::Exited refused;
  *refused.mutable_record() = Failure(v1::STAGING, "disk full");
  refused.set_refused(true);
  scene.ExitWith(run, 1, refused);
  EXPECT_EQ(scene.Demand(run),
            (Strings{"n0 STOPPED STOP_PEER_FAILED", "n2 STOPPED STOP_PEER_FAILED"}));
  scene.Stopped(run, 0);
  EXPECT_EQ(scene.Run(run).state(), records::R_ACTIVE) << "member 2 may have received Prepare";
  scene.Stopped(run, 2);
  EXPECT_EQ(scene.Run(run).state(), records::R_BACKING_OFF);
  EXPECT_EQ(scene.Run(run).attempt().exit().message(), "disk full");
  EXPECT_EQ(scene.Run(run).attempt().exit().node(), "n1");
  EXPECT_EQ(scene.Run(run).infrastructure_failures(), 1);
  EXPECT_EQ(scene.Run(run).user_failures(), 0);
}

TEST(AttemptMachineTest, GangThatNeverPreparesIsRolledBack) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 2);
  scene.Prepared(run, 0);
  scene.Pass(11 * 60);
  EXPECT_EQ(scene.Demand(run).at(0), "n0 STOPPED STOP_PEER_FAILED");
  scene.Stopped(run, 0);
  scene.Stopped(run, 1);
  EXPECT_EQ(scene.Run(run).attempt().exit().cause(), v1::STAGING);
  EXPECT_EQ(scene.Run(run).attempt().exit().node(), "n1");
  EXPECT_EQ(scene.Run(run).state(), records::R_BACKING_OFF);
}

TEST(AttemptMachineTest, VerdictIsTheFirstFailure) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 3);
  StartGang(&scene, run, 3);
  v1::ExitRecord first = Failure(v1::OOM_DEVICE, "out of device memory");
  first.set_rank(1);
  scene.Exit(run, 1, first);
  scene.Exit(run, 0, Failure(v1::USER_ERROR, "killed by its peer's end"));
  scene.Exit(run, 2, Failure(v1::USER_ERROR, "killed by its peer's end"));
  EXPECT_EQ(scene.Job("a").state(), v1::FAILED);
  EXPECT_EQ(scene.Job("a").error().cause(), v1::OOM_DEVICE);
  EXPECT_EQ(scene.Job("a").error().rank(), 1);
  EXPECT_EQ(scene.Job("a").error().node(), "n1");
}

TEST(AttemptMachineTest, ASilentNodeIsTheCauseOfAFailureThatMayBeItsEcho) {
  Scene scene;
  for (const char* node : {"n0", "n1", "n2"}) scene.Node(node);
  const uint64_t run = scene.Job(scene.Submit("a", Spec().Ranks(3).Retries(0, -1))).run_uid();
  scene.Place(run, {{"n0", {0}}, {"n1", {1}}, {"n2", {2}}});
  for (int member : {0, 1, 2}) scene.Prepared(run, member);
  for (int member : {0, 1, 2}) scene.Running(run, member);
  wire::Exited echo;
  *echo.mutable_record() = Failure(v1::NODE_LOST, "mpirun on node n2 ended");
  echo.mutable_record()->set_node("n2");
  echo.set_doubt(2);
  scene.ExitWith(run, 0, echo);
  const uint64_t epoch = scene.Run(run).attempt().epoch();
  scene.Do(GangSilence{run, epoch, {"n1"}}, System());
  EXPECT_EQ(scene.Run(run).state(), records::R_ACTIVE) << "n2 has yet to tell its end";
  scene.Stopped(run, 2);
  scene.Do(GangSilence{run, epoch + 1, {"n1"}}, System());
  EXPECT_EQ(scene.Run(run).state(), records::R_ACTIVE) << "of another attempt";
  scene.Do(GangSilence{run, epoch, {"n1"}}, System());
  ASSERT_EQ(scene.Run(run).state(), records::R_DONE);
  const v1::ExitRecord& error = scene.Job("a").error();
  EXPECT_EQ(error.cause(), v1::NODE_LOST);
  EXPECT_EQ(error.node(), "n1");
  EXPECT_EQ(error.message(), "node n1 does not answer any more");
  scene.Lose("n1");
}

TEST(AttemptMachineTest, ASilentNodeDoesNotHideAFailureThatIsSure) {
  Scene scene;
  for (const char* node : {"n0", "n1"}) scene.Node(node);
  const uint64_t run = scene.Job(scene.Submit("a", Spec().Ranks(2).Retries(0, -1))).run_uid();
  scene.Place(run, {{"n0", {0}}, {"n1", {1}}});
  for (int member : {0, 1}) scene.Prepared(run, member);
  for (int member : {0, 1}) scene.Running(run, member);
  scene.Exit(run, 0, Failure(v1::USER_ERROR, "ValueError"));
  scene.Do(GangSilence{run, scene.Run(run).attempt().epoch(), {"n1"}}, System());
  EXPECT_EQ(scene.Run(run).state(), records::R_ACTIVE);
  scene.Lose("n1");
  EXPECT_EQ(scene.Job("a").error().message(), "ValueError");
}

TEST(AttemptMachineTest, FactsOfOldEpochsChangeNothing) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1, Spec().Retries(1));
  scene.Running(run);
  wire::Fact late;
  *late.mutable_key() = scene.Key(run);
  scene.Exit(run, 0, Failure(v1::USER_ERROR));
  scene.Pass(2);
  scene.Place(run, {{"n0", {0}}});
  const uint64_t epoch = scene.Run(run).attempt().epoch();
  EXPECT_GT(epoch, late.key().epoch());
  const size_t events = scene.events().size();
  late.mutable_exited()->mutable_record()->set_rank(-1);
  EXPECT_FALSE(scene.Tell("n0", late)) << "an exit of the old epoch is no success of the new one";
  late.mutable_checkpoint_part()->set_step(9);
  EXPECT_FALSE(scene.Tell("n0", late));
  EXPECT_EQ(scene.events().size(), events);
  late.mutable_released();
  EXPECT_TRUE(scene.Tell("n0", late)) << "but what it held becomes free";
  EXPECT_EQ(scene.Run(run).held_size(), 0);
}

TEST(AttemptMachineTest, RepeatedFactsChangeNothing) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1);
  wire::Fact fact;
  fact.set_sequence(1);
  *fact.mutable_key() = scene.Key(run);
  fact.mutable_running()->set_pid(3);
  EXPECT_TRUE(scene.Tell("n0", fact));
  EXPECT_FALSE(scene.Tell("n0", fact));
  fact.set_sequence(2);
  EXPECT_FALSE(scene.Tell("n0", fact)) << "the same again under another number";
  fact.set_sequence(3);
  fact.mutable_key()->set_member(5);
  EXPECT_FALSE(scene.Tell("n0", fact)) << "there is no such member";
}

TEST(AttemptMachineTest, AnAgentSpeaksForItsOwnMembersAlone) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1);
  scene.Node("n1");
  wire::Fact fact;
  *fact.mutable_key() = scene.Key(run);
  fact.mutable_exited();
  EXPECT_FALSE(scene.Tell("n1", fact));
  const auto as_other = scene.Try(AgentFact{"n0", fact}, User("n1", v1::AGENT, ""));
  EXPECT_EQ(as_other.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(scene.Run(run).attempt().state(), records::A_LEASED);
}

TEST(AttemptMachineTest, DevicesBecomeFreeByReleaseAlone) {
  Scene scene;
  scene.Node("n0", 8, 1);
  scene.Submit("a", Spec().Gpus(1));
  scene.Submit("b", Spec().Gpus(1));
  const uint64_t a = scene.Job("a").run_uid();
  scene.PlaceAndRun(a, "n0");
  scene.Exit(a, 0, Failure(v1::USER_ERROR));
  EXPECT_EQ(scene.Job("a").state(), v1::FAILED);
  EXPECT_EQ(scene.PlaceAll(), 0) << "the verdict frees nothing";
  scene.Release(a);
  EXPECT_EQ(scene.PlaceAll(), 1);
}

TEST(AttemptMachineTest, WhatAnOldAttemptHoldsStaysHeldBesideTheNewOne) {
  Scene scene;
  scene.Node("n0", 8, 2);
  scene.Submit("a", Spec().Gpus(1).Retries(1));
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n0");
  const wire::MemberKey old = scene.Key(run);
  scene.Exit(run, 0, Failure(v1::USER_ERROR));
  scene.Pass(2);
  scene.Place(run, {{"n0", {0}}});
  ASSERT_EQ(scene.Run(run).state(), records::R_ACTIVE);
  EXPECT_EQ(scene.state().node_use.at("n0").device_milli.size(), 2u);
  wire::Fact fact;
  *fact.mutable_key() = old;
  fact.mutable_released();
  scene.Tell("n0", fact);
  EXPECT_EQ(scene.state().node_use.at("n0").device_milli.size(), 1u);
}

struct BudgetCase {
  const char* name;
  v1::ExitCause cause;
  records::RunState next;
  int user;
  int infrastructure;
  int preemptions;
};
class BudgetTest : public ::testing::TestWithParam<BudgetCase> {};
TEST_P(BudgetTest, EachCausePaysFromItsOwn) {
  const BudgetCase& row = GetParam();
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1);
  scene.Running(run);
  scene.Exit(run, 0, Failure(row.cause));
  EXPECT_EQ(scene.Run(run).state(), row.next);
  EXPECT_EQ(scene.Run(run).user_failures(), row.user);
  EXPECT_EQ(scene.Run(run).infrastructure_failures(), row.infrastructure);
  EXPECT_EQ(scene.Run(run).preemptions(), row.preemptions);
}
INSTANTIATE_TEST_SUITE_P(
    Causes, BudgetTest,
    ::testing::Values(BudgetCase{"UserError", v1::USER_ERROR, records::R_DONE, 1, 0, 0},
                      BudgetCase{"OomHost", v1::OOM_HOST, records::R_DONE, 1, 0, 0},
                      BudgetCase{"OomDevice", v1::OOM_DEVICE, records::R_DONE, 1, 0, 0},
                      BudgetCase{"ProgramNotFound", v1::LAUNCH, records::R_DONE, 1, 0, 0},
                      BudgetCase{"DeviceFault", v1::DEVICE_FAULT, records::R_BACKING_OFF, 0, 1, 0},
                      BudgetCase{"NodeLost", v1::NODE_LOST, records::R_BACKING_OFF, 0, 1, 0},
                      BudgetCase{"Staging", v1::STAGING, records::R_BACKING_OFF, 0, 1, 0},
                      BudgetCase{"Hang", v1::HANG, records::R_BACKING_OFF, 0, 1, 0},
                      BudgetCase{"Internal", v1::INTERNAL, records::R_BACKING_OFF, 0, 1, 0},
                      BudgetCase{"StoppedByNobody", v1::CANCELLED_CAUSE, records::R_BACKING_OFF, 0,
                                 1, 0},
                      BudgetCase{"SpotNotice", v1::PREEMPTED_CAUSE, records::R_WAITING, 0, 0, 1},
                      BudgetCase{"TimedOut", v1::TIMED_OUT, records::R_DONE, 0, 0, 0}),
    [](const auto& row) { return row.param.name; });

// A package that cannot be installed is not tried five times.
TEST(AttemptMachineTest, ARefusedPackageIsTheUsers) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1);
  v1::ExitRecord record = Failure(v1::STAGING, "package trainer cannot be used");
  record.set_exit_code(65);
  scene.Exit(run, 0, record);
  scene.Release(run);
  EXPECT_EQ(scene.Job("a").state(), v1::FAILED);
  EXPECT_EQ(scene.Run(run).user_failures(), 1);
  EXPECT_EQ(scene.Run(run).attempt().exit().cause(), v1::STAGING);
}

TEST(AttemptMachineTest, UserRetriesAreCountedAndBackOff) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1, Spec().Retries(2));
  for (int failure = 1; failure <= 2; ++failure) {
    scene.Running(run);
    scene.Exit(run, 0, Failure(v1::USER_ERROR));
    scene.Release(run);
    ASSERT_EQ(scene.Run(run).state(), records::R_BACKING_OFF);
    EXPECT_EQ(scene.Run(run).not_before_us() - scene.now_us(), kSecondUs << (failure - 1));
    scene.Pass(0.5);
    EXPECT_EQ(scene.PlaceAll(), 0);
    scene.Pass(10);
    EXPECT_EQ(scene.PlaceAll(), 1);
  }
  scene.Running(run);
  scene.Exit(run, 0, Failure(v1::USER_ERROR));
  EXPECT_EQ(scene.Job("a").state(), v1::FAILED);
  EXPECT_EQ(scene.Run(run).past_attempts_size(), 2);
}

TEST(AttemptMachineTest, InfrastructureRetriesEndAfterFiveOrAsAsked) {
  for (const int asked : {0, 2, -1}) {
    Scene scene;
    const uint64_t run = PlaceGang(&scene, "a", 1, Spec().Retries(0, asked));
    int attempts = 1;
    while (true) {
      scene.Exit(run, 0, Failure(v1::STAGING));
      scene.Release(run);
      if (scene.Run(run).state() == records::R_DONE) break;
      scene.Pass(400);
      ASSERT_EQ(scene.PlaceAll(), 1);
      ++attempts;
    }
    EXPECT_EQ(attempts, asked == 0 ? 6 : asked == 2 ? 3 : 1);
    EXPECT_EQ(scene.Job("a").state(), v1::FAILED);
  }
}

TEST(AttemptMachineTest, BackOffDoublesUpToFiveMinutes) {
  EXPECT_EQ(BackOffUs(1), kSecondUs);
  EXPECT_EQ(BackOffUs(4), 8 * kSecondUs);
  EXPECT_EQ(BackOffUs(20), 5 * kMinuteUs);
}

TEST(AttemptMachineTest, FailingOnTwoNodesIsTheJobsFault) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1);
  scene.Node("n1");
  scene.Exit(run, 0, Failure(v1::HANG));
  scene.Release(run);
  scene.Pass(2);
  EXPECT_EQ(scene.Run(run).failed_nodes(0), "n0");
  scene.Place(run, {{"n1", {0}}});
  scene.Exit(run, 0, Failure(v1::HANG));
  EXPECT_EQ(scene.Job("a").state(), v1::FAILED);
  EXPECT_EQ(scene.Run(run).user_failures(), 1);
}

TEST(AttemptMachineTest, TimeLimitStopsAndFails) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1, Spec().Timeout(60).Retries(3));
  scene.Running(run);
  scene.Pass(59);
  EXPECT_EQ(scene.Demand(run), Strings{"n0 RUN"});
  scene.Pass(2);
  EXPECT_EQ(scene.Demand(run), Strings{"n0 STOPPED STOP_TIMEOUT"});
  scene.Stopped(run);
  EXPECT_EQ(scene.Job("a").state(), v1::FAILED);
  EXPECT_EQ(scene.Job("a").error().cause(), v1::TIMED_OUT);
}

TEST(AttemptMachineTest, StopWithoutAnAnswerEndsAfterGraceAndPublishing) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1, Spec().Grace(5));
  scene.Running(run);
  scene.Cancel("a");
  scene.Pass(5 + 600 + 31);
  EXPECT_EQ(scene.Job("a").state(), v1::CANCELLED);
  EXPECT_FALSE(scene.state().node_use.empty()) << "what it held is still held";
}

TEST(AttemptMachineTest, PreemptionIsFreeAndGoesBackToTheQueue) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1);
  scene.Running(run);
  scene.Preempt(run);
  EXPECT_EQ(scene.Demand(run), Strings{"n0 STOPPED STOP_PREEMPT"});
  scene.Stopped(run);
  EXPECT_EQ(scene.Run(run).state(), records::R_WAITING);
  EXPECT_EQ(scene.Run(run).preemptions(), 1);
  EXPECT_EQ(scene.Job("a").state(), v1::QUEUED);
}

TEST(AttemptMachineTest, CancelOfAPreemptedAttemptDoesNotLetItReturn) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1);
  scene.Running(run);
  scene.Preempt(run);
  scene.Cancel("a");
  scene.Stopped(run);
  EXPECT_EQ(scene.Job("a").state(), v1::CANCELLED);
}

TEST(AttemptMachineTest, CheckpointIsCommittedWhenAllPartsAreThere) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 2);
  StartGang(&scene, run, 2);
  scene.Part(run, 0, 5, "a5");
  scene.Part(run, 0, 6, "a6");
  EXPECT_FALSE(scene.Run(run).has_checkpoint());
  scene.Part(run, 1, 5, "b5");
  EXPECT_EQ(scene.Run(run).checkpoint().step(), 5);
  EXPECT_EQ(scene.Run(run).pending_parts_size(), 1);
  scene.Preempt(run);
  scene.Stopped(run, 0);
  scene.Stopped(run, 1);
  EXPECT_EQ(scene.Run(run).pending_parts_size(), 0) << "half a step is no checkpoint";
  scene.Place(run, {{"n0", {0}}, {"n1", {1}}});
  const auto demand = DemandOfRun(scene.state(), run);
  EXPECT_EQ(demand.at(0).member.assignment().checkpoint_tree(), "a5");
  EXPECT_EQ(demand.at(1).member.assignment().checkpoint_tree(), "b5");
}

TEST(AttemptMachineTest, PendingStepsAreBounded) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 2);
  StartGang(&scene, run, 2);
  for (int step = 1; step <= 50; ++step) scene.Part(run, 0, step, "tree");
  EXPECT_LE(scene.Run(run).pending_parts_size(), 8);
}

TEST(AttemptMachineTest, SnapshotAtExitIsACheckpoint) {
  Scene scene;
  const uint64_t run = PlaceGang(&scene, "a", 1);
  scene.Running(run);
  scene.Preempt(run);
  wire::Exited exited;
  *exited.mutable_record() = Failure(v1::PREEMPTED_CAUSE);
  exited.set_stopped_on_request(true);
  exited.set_last_step(12);
  exited.add_outputs()->set_kind("checkpoint");
  exited.mutable_outputs(0)->set_digest("snapshot");
  scene.ExitWith(run, 0, exited);
  EXPECT_EQ(scene.Run(run).checkpoint().step(), 12);
  EXPECT_EQ(scene.Run(run).checkpoint().trees(0), "snapshot");
}

TEST(AttemptMachineTest, AssignmentIsCompleteInItself) {
  Scene scene;
  scene.Node("n0", 8, 4);
  Spec spec;
  spec.Ranks(2).Gpus(2).Timeout(100).Grace(3);
  spec.spec.set_job_dir("gs://team/a");
  spec.spec.mutable_program()->add_args("--x=\"1\"");
  scene.Submit("a", spec);
  const uint64_t run = scene.Job("a").run_uid();
  scene.Place(run, {{"n0", {0, 1}}});
  const auto demand = DemandOfRun(scene.state(), run);
  const wire::Assignment& assignment = demand.at(0).member.assignment();
  EXPECT_EQ(assignment.world_size(), 2);
  EXPECT_EQ(assignment.ranks(1).rank(), 1);
  EXPECT_EQ(assignment.ranks(1).task_type(), "worker");
  EXPECT_EQ(assignment.ranks(1).task_index(), 0);
  EXPECT_EQ(assignment.ranks(1).local_rank(), 1);
  EXPECT_EQ(assignment.ranks(1).device_indices(0), 2);
  EXPECT_EQ(assignment.peers(0).address(), "n0.test");
  EXPECT_EQ(assignment.timeout_ms(), 100'000);
  EXPECT_EQ(assignment.grace_ms(), 3'000);
  EXPECT_EQ(assignment.stop_after_ms(), 900'000);
  EXPECT_TRUE(assignment.pass_job_dir());
  EXPECT_EQ(assignment.job_spec_json(),
            "{\"job_id\":\"a\",\"job_dir\":\"gs://team/a\",\"package_uris\":[],"
            "\"args\":[\"--x=\\\"1\\\"\"]}");
  EXPECT_EQ(DemandOfNode(scene.state(), "n0").size(), 1u);
}

TEST(AttemptMachineTest, DowntimeNeverCountsAgainstAnAttempt) {
  Scene scene;
  const uint64_t staged = PlaceGang(&scene, "a", 1);
  scene.Node("n1");
  scene.Submit("b", Spec().Timeout(3600));
  const uint64_t stopping = scene.Job("b").run_uid();
  scene.PlaceAndRun(stopping, "n1");
  scene.Cancel("b");
  // The scheduler is away for an hour, then starts anew.
  scene.Away(3600);
  scene.Restart();
  scene.Pass(60);
  EXPECT_EQ(scene.Run(staged).attempt().state(), records::A_LEASED) << "staging has its time again";
  EXPECT_EQ(scene.Run(stopping).attempt().state(), records::A_STOPPING);
  scene.Pass(700);
  EXPECT_EQ(scene.Run(stopping).state(), records::R_DONE);
  EXPECT_EQ(scene.Demand(staged), Strings{"n0 STOPPED STOP_PEER_FAILED"});
}

}  // namespace
}  // namespace trainyard::core
