// Places in the queue: priority, hold, limits, dependencies; queues, quotas, reservations; the
// ledger.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/core/ledger.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/settings.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

SetQueueing Wish(const std::string& job) { return {"default", job, {}, 0}; }

Spec After(const std::string& job, bool on_end = false) {
  Spec spec;
  v1::Dependency* const after = spec.spec.mutable_scheduling()->add_after();
  after->set_job(job);
  if (on_end) after->set_on(v1::Dependency::END);
  return spec;
}

SetSetting Quota(const std::string& place, int64_t guarantee, int64_t limit = -1) {
  SetSetting set;
  set.setting.set_key("quotas/" + place);
  v1::Quota::Share* const share = set.setting.mutable_quota()->add_shares();
  share->set_guarantee_milli(guarantee);
  if (limit >= 0) share->set_limit_milli(limit);
  return set;
}

SetSetting QueueOfName(const std::string& name) {
  SetSetting set;
  set.setting.set_key(QueueKey(name));
  set.setting.mutable_queue();
  return set;
}

std::string Reason(const absl::StatusOr<Decision>& decision) {
  return decision.ok() ? "OK" : ReasonOf(decision.status());
}

TEST(QueueTest, PriorityHoldAndLimitsChangeOnlyWhatIsNamed) {
  Scene scene;
  const uint64_t job = scene.Submit("a", Spec().MaxWait(60));
  SetQueueing wish = Wish("a");
  wish.queueing.set_priority(7);
  scene.Do(wish);
  wish = Wish("a");
  wish.queueing.set_timeout_us(5 * kSecondUs);
  scene.Do(wish);
  const v1::JobSpec& spec = *scene.state().specs.at(job);
  EXPECT_EQ(PriorityOf(scene.Job(job), spec), 7);
  EXPECT_EQ(TimeLimitUs(scene.Job(job), spec), 5 * kSecondUs);
  EXPECT_EQ(MaxWaitUs(scene.Job(job), spec), 60 * kSecondUs);
  EXPECT_FALSE(IsOnHold(scene.Job(job), spec));
  const size_t before = scene.events().size();
  scene.Do(wish);
  EXPECT_EQ(scene.events().size(), before) << "it is as wished";
}

TEST(QueueTest, WishesAreRefusedWithTheirReason) {
  Scene scene;
  scene.Node("n1");
  const uint64_t job = scene.Submit("a");
  SetQueueing wish = Wish("a");
  wish.queueing.set_priority(1001);
  EXPECT_EQ(Reason(scene.Try(wish)), "OUT_OF_RANGE");
  wish = Wish("a");
  wish.queueing.set_queue("night");
  EXPECT_EQ(Reason(scene.Try(wish)), "NOT_FOUND");
  wish = Wish("a");
  wish.etag = 99;
  EXPECT_EQ(Reason(scene.Try(wish)), "ETAG_MISMATCH");
  scene.PlaceAndRun(scene.Job(job).run_uid(), "n1");
  wish = Wish("a");
  wish.queueing.set_hold(true);
  EXPECT_EQ(Reason(scene.Try(wish)), "FAILED_PRECONDITION");
  wish = Wish("a");
  wish.queueing.set_timeout_us(kSecondUs);
  EXPECT_EQ(Reason(scene.Try(wish)), "FAILED_PRECONDITION");
  wish = Wish("a");
  wish.queueing.set_priority(3);
  EXPECT_EQ(Reason(scene.Try(wish)), "OK");
  EXPECT_EQ(Reason(scene.Try(wish, User("eve", v1::SUBMITTER))), "PERMISSION_DENIED");
}

TEST(QueueTest, HeldRunIsNotPlacedWhateverThePlanSays) {
  Scene scene;
  scene.Node("n1");
  const uint64_t job = scene.Submit("a");
  SetQueueing wish = Wish("a");
  wish.queueing.set_hold(true);
  scene.Do(wish);
  scene.Do(ApplyPlan{{scene.Plan(scene.Job(job).run_uid(), {{"n1", {0}}})}, {}}, System());
  EXPECT_EQ(scene.RunOf("a").state(), records::R_WAITING);
}

TEST(QueueTest, DependenciesMustBePossible) {
  Scene scene;
  scene.Node("n1");
  EXPECT_EQ(Reason(scene.Try(SubmitJob{"default", "a", After("nobody").spec})), "NOT_FOUND");
  EXPECT_EQ(Reason(scene.Try(SubmitJob{"default", "a", After("a").spec})), "NOT_FOUND")
      << "nobody waits for itself";
  EXPECT_EQ(Reason(scene.Try(SubmitJob{"default", "a", After("not a name!").spec})), "BAD_NAME");
  scene.Submit("failed");
  scene.Cancel("failed");
  EXPECT_EQ(Reason(scene.Try(SubmitJob{"default", "a", After("failed").spec})),
            "DEPENDENCY_FAILED");
  const uint64_t job = scene.Submit("b", After("failed", /*on_end=*/true));
  EXPECT_FALSE(IsBlocked(scene.Job(job), *scene.state().specs.at(job))) << "it has ended already";
}

TEST(QueueTest, DependencyThatLeftMemoryIsKnownByItsRow) {
  Scene scene;
  SubmitJob submit{"default", "a", After("old").spec};
  submit.ended["old"] = v1::SUCCEEDED;
  EXPECT_EQ(Reason(scene.Try(submit)), "OK");
  submit = {"default", "b", After("old").spec};
  submit.ended["old"] = v1::FAILED;
  EXPECT_EQ(Reason(scene.Try(submit)), "DEPENDENCY_FAILED");
}

TEST(QueueTest, LongChainOfBrokenDependenciesEndsTickByTick) {
  Scene scene;
  scene.CheckEvery(100);
  scene.Submit("j0");
  for (int i = 1; i < 600; ++i) {
    scene.Submit(absl::StrCat("j", i), After(absl::StrCat("j", i - 1)));
  }
  scene.Cancel("j0");
  scene.Pass(1);
  EXPECT_EQ(scene.Job("j599").state(), v1::CANCELLED);
  EXPECT_TRUE(scene.state().broken_jobs.empty());
  EXPECT_TRUE(scene.state().dependents.empty());
}

// One end may concern thousands of jobs: a command tells a few of them, ticks tell the others.
TEST(QueueTest, ManyDependentsAreToldStepByStep) {
  constexpr int kMany = 1000;
  Scene scene;
  scene.CheckEvery(100);
  scene.Node("n1", 4000);
  scene.Submit("base");
  for (int i = 0; i < kMany; ++i) scene.Submit(absl::StrCat("j", i), After("base"));
  const uint64_t base = scene.Job("base").uid();
  scene.PlaceAndRun(scene.Job("base").run_uid(), "n1");
  size_t before = scene.events().size();
  scene.Succeed(scene.Job("base").run_uid());
  EXPECT_LT(scene.events().size() - before, 300u);
  EXPECT_TRUE(scene.state().untold_jobs.contains(base));
  EXPECT_FALSE(MayForget(scene.state(), base)) << "its dependents still ask for it";
  EXPECT_EQ(NextDeadline(scene.state()), 0) << "the rest is due at once";
  scene.Restart();
  EXPECT_TRUE(scene.state().untold_jobs.contains(base));
  scene.Cancel("j999");
  for (int i = 0; i < kMany && !scene.state().untold_jobs.empty(); ++i) {
    before = scene.events().size();
    scene.Tick();
    EXPECT_LT(scene.events().size() - before, 300u);
  }
  EXPECT_TRUE(scene.state().untold_jobs.empty());
  EXPECT_TRUE(scene.state().dependents.empty());
  EXPECT_EQ(scene.PlaceAll(), kMany - 1);
}

TEST(QueueTest, TuningJobWaitsForItsDependency) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("base");
  Spec spec = After("base");
  spec.Study(4, 2);
  scene.Submit("search", spec);
  EXPECT_TRUE(NeededSuggestions(scene.state()).empty());
  scene.RunToSuccess(scene.RunOf("base").uid());
  EXPECT_FALSE(NeededSuggestions(scene.state()).empty());
  scene.Submit("base2");
  Spec second = After("base2");
  second.Study(4, 2);
  scene.Submit("search2", second);
  scene.Cancel("base2");
  scene.Pass(1);
  EXPECT_EQ(scene.Job("search2").state(), v1::CANCELLED);
}

TEST(QueueTest, QueuesHaveTheirOwnLimits) {
  Scene scene;
  SetSetting queue = QueueOfName("night");
  queue.setting.mutable_queue()->mutable_timeout_max()->set_seconds(3600);
  queue.setting.mutable_queue()->mutable_timeout()->set_seconds(600);
  scene.Do(queue);
  Spec spec;
  spec.spec.mutable_scheduling()->set_queue("night");
  const uint64_t job = scene.Submit("a", spec);
  EXPECT_EQ(TimeLimitUs(scene.Job(job), *scene.state().specs.at(job)), 600 * kSecondUs);
  spec.Timeout(3601);
  EXPECT_EQ(Reason(scene.Try(SubmitJob{"default", "b", spec.spec})), "OUT_OF_RANGE");
  journal::v1::Queueing longer;
  longer.set_timeout_us(3601 * kSecondUs);
  EXPECT_EQ(Reason(scene.Try(SetQueueing{"default", "a", longer, 0})), "OUT_OF_RANGE");
  longer.set_timeout_us(3600 * kSecondUs);
  EXPECT_EQ(Reason(scene.Try(SetQueueing{"default", "a", longer, 0})), "OK");
  queue.setting.mutable_queue()->set_closed(true);
  scene.Do(queue);
  spec.Timeout(60);
  EXPECT_EQ(Reason(scene.Try(SubmitJob{"default", "b", spec.spec})), "QUEUE_CLOSED");
  EXPECT_EQ(Reason(scene.Try(DeleteSetting{"queues/night"})), "FAILED_PRECONDITION");
  scene.Cancel("a");
  EXPECT_EQ(Reason(scene.Try(DeleteSetting{"queues/night"})), "OK");
  EXPECT_EQ(Reason(scene.Try(DeleteSetting{"queues/nigt"})), "NOT_FOUND");
}

TEST(QueueTest, SettingsNeedAnAdministrator) {
  Scene scene;
  for (const v1::Role role : {v1::VIEWER, v1::SUBMITTER, v1::PROJECT_ADMIN}) {
    EXPECT_EQ(Reason(scene.Try(Quota("cluster", 8), User("eve", role))), "PERMISSION_DENIED");
    EXPECT_EQ(Reason(scene.Try(DeleteSetting{"quotas/cluster"}, User("eve", role))),
              "PERMISSION_DENIED");
  }
}

// A weight that nothing looks at is not taken.
TEST(QueueTest, AWeightIsOfAUserAndOfAllDevices) {
  Scene scene;
  const auto weighted = [](const std::string& place, const std::string& model, int weight) {
    SetSetting set = Quota(place, 0);
    set.setting.mutable_quota()->mutable_shares(0)->set_model(model);
    set.setting.mutable_quota()->mutable_shares(0)->set_weight(weight);
    return set;
  };
  EXPECT_EQ(Reason(scene.Try(weighted("projects/default/users/ann", "", 3))), "OK");
  EXPECT_EQ(Reason(scene.Try(weighted("projects/default/users/ann", "A100", 3))), "BAD_VALUE");
  EXPECT_EQ(Reason(scene.Try(weighted("projects/default", "", 3))), "BAD_VALUE");
  EXPECT_EQ(Reason(scene.Try(weighted("teams/t", "", 3))), "BAD_VALUE");
  EXPECT_EQ(Reason(scene.Try(weighted("teams/t", "", 1))), "OK");
}

TEST(QueueTest, QuotasFitIntoTheirTree) {
  Scene scene;
  scene.Do(CreateProject{"p", "", "vision"});
  scene.Do(CreateProject{"q", "", "vision"});
  scene.Do(Quota("cluster", 8000));
  scene.Do(Quota("teams/vision", 4000, 6000));
  scene.Do(Quota("projects/p", 3000));
  EXPECT_EQ(Reason(scene.Try(Quota("projects/q", 1001))), "QUOTA_TOO_LARGE");
  scene.Do(Quota("projects/q", 1000));
  EXPECT_EQ(Reason(scene.Try(Quota("teams/vision", 3999))), "QUOTA_TOO_LARGE");
  EXPECT_EQ(Reason(scene.Try(Quota("teams/speech", 4001))), "QUOTA_TOO_LARGE");
  EXPECT_EQ(Reason(scene.Try(Quota("teams/speech", 4000))), "OK");
  EXPECT_EQ(Reason(scene.Try(Quota("projects/p/users/ann", 1000, 500))), "CONFLICT");
  EXPECT_EQ(Reason(scene.Try(Quota("projects/nope", 0))), "NOT_FOUND");
  EXPECT_EQ(Reason(scene.Try(Quota("somewhere", 0))), "BAD_NAME");
  EXPECT_EQ(ParentOfQuota("quotas/projects/p/users/ann", scene.state()), "quotas/projects/p");
  EXPECT_EQ(ParentOfQuota("quotas/projects/p", scene.state()), "quotas/teams/vision");
  EXPECT_EQ(ParentOfQuota("quotas/teams/vision", scene.state()), "quotas/cluster");
  EXPECT_EQ(ParentOfQuota("quotas/cluster", scene.state()), "");
}

TEST(QueueTest, ReservationsAreWholeAndFindTheirNodes) {
  Scene scene;
  scene.Node("n1");
  SetSetting set;
  set.setting.set_key("reservations/r");
  v1::Reservation* const reservation = set.setting.mutable_reservation();
  reservation->add_nodes("n1");
  const int64_t now = scene.now_us() / kSecondUs;
  reservation->mutable_start_time()->set_seconds(now + 10);
  reservation->mutable_end_time()->set_seconds(now + 10);
  EXPECT_EQ(Reason(scene.Try(set)), "OUT_OF_RANGE");
  reservation->mutable_end_time()->set_seconds(now + 20);
  set.only_new = true;
  scene.Do(set);
  EXPECT_EQ(Reason(scene.Try(set)), "ALREADY_EXISTS");
  set.setting.set_key("reservations/other");
  set.setting.mutable_reservation()->set_nodes(0, "n2");
  EXPECT_EQ(Reason(scene.Try(set)), "NOT_FOUND");
  const auto in_the_way = [&](int64_t until) {
    return ReservationInTheWay(scene.state(), "n1", now * kSecondUs, (now + until) * kSecondUs);
  };
  EXPECT_EQ(in_the_way(10), nullptr);
  EXPECT_NE(in_the_way(11), nullptr);
  scene.Pass(21);
  EXPECT_TRUE(scene.state().settings.empty()) << "it is over";
}

TEST(QueueTest, LabelsAndTaintsAreCheckedAgain) {
  Scene scene;
  scene.Node("n1");
  AgentConnect connect;
  connect.node_id = "n1";
  connect.inventory = scene.state().agents.at("n1")->inventory();
  connect.inventory.add_taints("team=vision");
  (*connect.inventory.mutable_labels())["zone"] = "a";
  scene.Do(connect, User("n1", v1::AGENT, ""));
  const auto placed = [&](const std::string& name, const Spec& spec) {
    const uint64_t run = scene.Job(scene.Submit(name, spec)).run_uid();
    scene.Do(ApplyPlan{{scene.Plan(run, {{"n1", {0}}})}, {}}, System());
    return scene.Run(run).state() == records::R_ACTIVE;
  };
  EXPECT_FALSE(placed("a", Spec()));
  Spec tolerant;
  tolerant.spec.mutable_scheduling()->add_tolerations("team");
  EXPECT_TRUE(placed("b", tolerant));
  (*tolerant.spec.mutable_scheduling()->mutable_node_selector())["zone"] = "b";
  EXPECT_FALSE(placed("c", tolerant));
  (*tolerant.spec.mutable_scheduling()->mutable_node_selector())["zone"] = "a";
  EXPECT_TRUE(placed("d", tolerant));
}

TEST(QueueTest, MachineThatGoesAwayIsDrainedInTimeAndWelcomedBack) {
  Scene scene;
  scene.Node("n1");
  AgentConnect connect;
  connect.node_id = "n1";
  connect.inventory = scene.state().agents.at("n1")->inventory();
  const int64_t now = scene.now_us() / kSecondUs;
  connect.inventory.mutable_available_until()->set_seconds(now + 600);
  scene.Do(connect, User("n1", v1::AGENT, ""));
  const uint64_t run = scene.Job(scene.Submit("a", Spec().Timeout(60))).run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Pass(30);
  EXPECT_EQ(scene.Run(run).attempt().stop_us(), 0);
  scene.Pass(29);
  scene.Succeed(run);
  scene.Release(run);
  const uint64_t long_run = scene.Job(scene.Submit("b", Spec().Timeout(10000))).run_uid();
  scene.Do(ApplyPlan{{scene.Plan(long_run, {{"n1", {0}}})}, {}}, System());
  EXPECT_EQ(scene.Run(long_run).state(), records::R_WAITING) << "it could not end in time";
  scene.Pass(600);
  EXPECT_TRUE(scene.state().agents.at("n1")->draining());
  connect.inventory.clear_available_until();
  scene.Do(connect, User("n1", v1::AGENT, ""));
  EXPECT_FALSE(scene.state().agents.at("n1")->draining());
}

// A notice that comes while the agent is connected, and one that is taken back.
TEST(QueueTest, NoticeThatAMachineGoesAwayPreemptsAtOnceAndMayBeTakenBack) {
  Scene scene;
  scene.Node("n1");
  const uint64_t run = scene.Job(scene.Submit("a")).run_uid();
  scene.PlaceAndRun(run, "n1");
  wire::Fact fact;
  *fact.mutable_inventory_changed() = scene.state().agents.at("n1")->inventory();
  fact.mutable_inventory_changed()->mutable_available_until()->set_seconds(
      scene.now_us() / kSecondUs + 30);
  scene.Tell("n1", fact);
  scene.Pass(1);
  EXPECT_EQ(scene.Run(run).attempt().stop_reason(), wire::STOP_PREEMPT);
  EXPECT_TRUE(scene.state().agents.at("n1")->draining());
  fact.mutable_inventory_changed()->clear_available_until();
  scene.Tell("n1", fact);
  EXPECT_FALSE(scene.state().agents.at("n1")->draining());
  // Who drained it otherwise is not overruled.
  DrainNode drain;
  drain.node_id = "n1";
  scene.Do(drain);
  scene.Tell("n1", fact);
  EXPECT_TRUE(scene.state().agents.at("n1")->draining());
}

// Nor who drained it before the notice, or while the machine leaves.
TEST(QueueTest, NoticeThatIsTakenBackUndoesNobodysDrain) {
  for (const bool before : {true, false}) {
    for (const std::string reason : {"", "disks"}) {
      SCOPED_TRACE(absl::StrCat(before, reason));
      Scene scene;
      scene.Node("n1");
      DrainNode drain;
      drain.node_id = "n1";
      drain.reason = reason;
      if (before) scene.Do(drain);
      wire::Fact fact;
      *fact.mutable_inventory_changed() = scene.state().agents.at("n1")->inventory();
      fact.mutable_inventory_changed()->mutable_available_until()->set_seconds(
          scene.now_us() / kSecondUs + 30);
      scene.Tell("n1", fact);
      scene.Pass(1);
      EXPECT_TRUE(scene.state().agents.at("n1")->leaving());
      if (!before) scene.Do(drain);
      EXPECT_TRUE(scene.state().agents.at("n1")->leaving());
      fact.mutable_inventory_changed()->clear_available_until();
      scene.Tell("n1", fact);
      EXPECT_TRUE(scene.state().agents.at("n1")->draining());
      EXPECT_FALSE(scene.state().agents.at("n1")->leaving());
      drain.undo = true;
      scene.Do(drain);
      EXPECT_FALSE(scene.state().agents.at("n1")->draining());
    }
  }
}

// A run that goes on from less than it declared says so.
TEST(QueueTest, PreemptedRunTellsWhatItsNodeCouldNotStore) {
  Scene scene;
  scene.Node("n1");
  const uint64_t run = scene.Job(scene.Submit("a")).run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Preempt(run);
  wire::Exited exited;
  exited.mutable_record()->set_cause(v1::PREEMPTED_CAUSE);
  exited.mutable_record()->set_message(
      "Stopped to make room. The checkpoint of step 20 could not be stored: no store");
  exited.set_stopped_on_request(true);
  scene.ExitWith(run, 0, exited);
  scene.Release(run);
  EXPECT_EQ(scene.Run(run).preemptions(), 1);
  EXPECT_TRUE(absl::EndsWith(scene.Run(run).attempt().exit().message(),
                             " (node n1: The checkpoint of step 20 could not be stored: no store)"))
      << scene.Run(run).attempt().exit().message();
}

TEST(QueueTest, PlanOfAnEarlierAttemptPreemptsNoLaterOne) {
  Scene scene;
  scene.Node("n1");
  const uint64_t run = scene.Job(scene.Submit("a")).run_uid();
  scene.PlaceAndRun(run, "n1");
  const uint64_t epoch = scene.Run(run).attempt().epoch();
  const auto preempt = [&](uint64_t of_epoch, uint64_t for_run) {
    ApplyPlan plan;
    plan.preemptions.push_back({run, "for a better one", of_epoch, for_run});
    scene.Do(plan, System());
    return scene.Run(run).attempt().stop_us() > 0;
  };
  EXPECT_FALSE(preempt(epoch - 1, 0));
  EXPECT_FALSE(preempt(epoch, 12345)) << "whom it was for is gone";
  const uint64_t other = scene.Job(scene.Submit("b")).run_uid();
  EXPECT_TRUE(preempt(epoch, other));
  scene.Stopped(run);
  scene.Release(run);
  EXPECT_EQ(scene.Run(run).state(), records::R_WAITING);
  EXPECT_EQ(scene.Run(run).preemptions(), 1);
  EXPECT_EQ(scene.Run(run).attempt().exit().message(), "preempted: for a better one");
}

TEST(QueueTest, LedgerIsExactOverMidnightAndEveryEnding) {
  Scene scene;
  scene.Node("n1", 8, 2);
  const uint64_t job = scene.Submit("a", Spec().Gpus(2).Cpu(1500));
  const uint64_t run = scene.Job(job).run_uid();
  // The scene's clock stands at 22:13:20 (UTC): midnight is 6,400 s away.
  scene.PlaceAndRun(run, "n1");
  const int64_t placed = scene.Run(run).attempt().placed_us();
  scene.Pass(7000);
  scene.Preempt(run);
  scene.Stopped(run);
  const int64_t held = scene.now_us() - placed;
  EXPECT_EQ(scene.Run(run).used().device_us(), 2 * held);
  EXPECT_EQ(scene.Run(run).used().cpu_us(), held * 3 / 2);
  EXPECT_EQ(scene.Job(job).used().device_us(), 2 * held);
  ASSERT_EQ(scene.state().ledger.size(), 2u) << "two days";
  int64_t sum = 0;
  int64_t attempts = 0;
  for (const auto& [key, row] : scene.state().ledger) {
    EXPECT_EQ(row->project(), "default");
    EXPECT_EQ(row->user(), "ann");
    for (const auto& devices : row->devices()) sum += devices.device_us();
    attempts += row->attempts();
  }
  EXPECT_EQ(sum, 2 * held);
  EXPECT_EQ(attempts, 1);
  scene.Release(run);
  scene.PlaceAndRun(run, "n1");
  scene.Pass(10);
  scene.Lose("n1");
  EXPECT_EQ(scene.Run(run).used().device_us(), 2 * (held + 10 * kSecondUs));
}

}  // namespace
}  // namespace trainyard::core
