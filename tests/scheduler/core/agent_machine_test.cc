// Agents and nodes: join, connect and what it frees, loss, drain, quarantine.
#include "scheduler/core/agent_machine.h"

#include <gtest/gtest.h>

#include "common/errors.h"
#include "scheduler/core/capacity.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

using Strings = std::vector<std::string>;

records::TokenRow JoinToken(const std::string& id) {
  records::TokenRow token;
  token.set_id(id);
  token.set_is_join(true);
  token.set_hash(std::string(32, id[0]));
  return token;
}

AgentJoin JoinAs(const std::string& node, char token) {
  AgentJoin join;
  join.join_token_hash = std::string(32, token);
  join.agent_token_hash = "agent-hash-" + node;
  join.inventory.set_node_id(node);
  return join;
}

TEST(AgentMachineTest, JoinTokenWorksOnce) {
  Scene scene;
  scene.Do(CreateToken{JoinToken("j")});
  EXPECT_EQ(scene.Do(JoinAs("n1", 'j'), Principal()).name, "n1");
  const TokenPtr token = scene.state().tokens.at("agent-n1");
  EXPECT_EQ(token->role(), v1::AGENT);
  EXPECT_EQ(scene.state().token_by_hash.at("agent-hash-n1"), "agent-n1");
  EXPECT_EQ(ReasonOf(scene.Try(JoinAs("n2", 'j'), Principal()).status()), "JOIN_REFUSED");
  EXPECT_EQ(ReasonOf(scene.Try(JoinAs("n2", 'x'), Principal()).status()), "JOIN_REFUSED");
}

TEST(AgentMachineTest, JoinTokenExpiresAndMayNameItsNode) {
  Scene scene;
  records::TokenRow soon = JoinToken("s");
  soon.set_expire_us(scene.now_us() + kSecondUs);
  scene.Do(CreateToken{soon});
  records::TokenRow named = JoinToken("n");
  named.set_node_id("gpu-7");
  scene.Do(CreateToken{named});
  scene.Pass(2);
  EXPECT_EQ(ReasonOf(scene.Try(JoinAs("n1", 's'), Principal()).status()), "JOIN_REFUSED");
  EXPECT_EQ(scene.Do(JoinAs("whatever", 'n'), Principal()).name, "gpu-7");
}

TEST(AgentMachineTest, RevokedKeysStayRevokedUntilTheNodeJoinsAnew) {
  Scene scene;
  records::TokenRow named = JoinToken("n");
  named.set_node_id("n1");
  named.set_role(v1::AGENT);
  scene.Do(CreateToken{named});
  scene.Do(JoinAs("n1", 'n'), Principal());
  records::TokenRow unused = JoinToken("u");
  unused.set_node_id("n1");
  unused.set_role(v1::AGENT);
  scene.Do(CreateToken{unused});
  scene.Node("n1");
  scene.Node("n2");
  scene.Submit("a");
  scene.PlaceAndRun(scene.Job("a").run_uid(), "n1");
  const Principal user = User("bob", v1::PROJECT_ADMIN);
  EXPECT_EQ(ReasonOf(scene.Try(RevokeNode{"n1"}, user).status()), "PERMISSION_DENIED");
  EXPECT_EQ(scene.Try(RevokeNode{"n9"}).status().code(), absl::StatusCode::kNotFound);
  scene.Do(RevokeNode{"n1"});
  scene.Do(RevokeNode{"n1"});
  EXPECT_EQ(scene.state().agents.at("n1")->reason(), "its key was revoked");
  EXPECT_TRUE(scene.state().tokens.at("agent-n1")->revoked());
  EXPECT_EQ(ReasonOf(scene.Try(JoinAs("n1", 'u'), Principal()).status()), "JOIN_REFUSED");
  EXPECT_EQ(scene.RunOf("a").attempt().state(), records::A_RUNNING)
      << "what it runs is given up when its lease ends, not before";
  scene.Restart();
  EXPECT_TRUE(scene.state().tokens.at("agent-n1")->revoked());
  records::TokenRow fresh = JoinToken("f");
  fresh.set_node_id("n1");
  fresh.set_role(v1::AGENT);
  scene.Do(CreateToken{fresh});
  scene.Do(JoinAs("n1", 'f'), Principal());
  EXPECT_FALSE(scene.state().tokens.at("agent-n1")->revoked());
  scene.Reconnect("n1", {scene.Key(scene.Job("a").run_uid())});
  EXPECT_EQ(scene.state().agents.at("n1")->reason(), "");
}

TEST(AgentMachineTest, LossEndsItsAttemptsAndFreesNothing) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Lose("n1");
  EXPECT_EQ(scene.Run(run).attempt().state(), records::A_LOST);
  EXPECT_EQ(scene.Run(run).attempt().exit().cause(), v1::NODE_LOST);
  EXPECT_EQ(scene.Run(run).state(), records::R_BACKING_OFF);
  EXPECT_EQ(scene.state().node_use.at("n1").members, 1);
}

TEST(AgentMachineTest, LossOfOneNodeStopsTheRestOfTheGang) {
  Scene scene;
  scene.Node("n0");
  scene.Node("n1");
  scene.Submit("a", Spec().Ranks(2));
  const uint64_t run = scene.Job("a").run_uid();
  scene.Place(run, {{"n0", {0}}, {"n1", {1}}});
  scene.Prepared(run, 0);
  scene.Prepared(run, 1);
  scene.Lose("n1");
  EXPECT_EQ(scene.Demand(run).at(0), "n0 STOPPED STOP_PEER_FAILED");
  scene.Stopped(run, 0);
  EXPECT_EQ(scene.Run(run).attempt().state(), records::A_LOST);
  EXPECT_EQ(scene.Run(run).attempt().exit().node(), "n1");
}

TEST(AgentMachineTest, ComingBackWithTheMemberHoldsItsNodeUntilItIsGone) {
  Scene scene;
  scene.Node("n1", 8, 1);
  scene.Submit("a", Spec().Gpus(1));
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  const wire::MemberKey old = scene.Key(run);
  scene.Lose("n1");
  scene.Pass(2);
  scene.Reconnect("n1", {old});
  EXPECT_TRUE(DemandOfNode(scene.state(), "n1").empty()) << "the old member is to be gone";
  EXPECT_EQ(scene.PlaceAll(), 0) << "its device is still held";
  wire::Fact gone;
  *gone.mutable_key() = old;
  gone.mutable_released();
  EXPECT_TRUE(scene.Tell("n1", gone));
  EXPECT_EQ(scene.PlaceAll(), 1);
}

TEST(AgentMachineTest, ComingBackWithoutTheMemberFreesIt) {
  Scene scene;
  scene.Node("n1", 8, 1);
  scene.Submit("a", Spec().Gpus(1));
  scene.PlaceAndRun(scene.Job("a").run_uid(), "n1");
  scene.Lose("n1");
  scene.Pass(2);
  scene.Reconnect("n1");
  EXPECT_TRUE(scene.state().node_use.empty());
  EXPECT_EQ(scene.PlaceAll(), 1);
}

TEST(AgentMachineTest, LiveMemberOfAReconnectedAgentGoesOn) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Reconnect("n1", {scene.Key(run)});
  EXPECT_EQ(scene.Demand(run), Strings{"n1 RUN"});
  scene.Succeed(run);
  EXPECT_EQ(scene.Job("a").state(), v1::SUCCEEDED);
}

TEST(AgentMachineTest, OrderThatNeverArrivedIsToldAgain) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.Place(run, {{"n1", {0}}});
  scene.Reconnect("n1");
  EXPECT_EQ(scene.Demand(run), Strings{"n1 RUN"});
  EXPECT_EQ(DemandOfNode(scene.state(), "n1").size(), 1u);
}

TEST(AgentMachineTest, MissingMemberGetsTimeForFactsOnDisk) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Reconnect("n1");
  EXPECT_TRUE(scene.Demand(run).empty()) << "it must not start twice under one epoch";
  scene.Pass(5);
  scene.Succeed(run);
  EXPECT_EQ(scene.Job("a").state(), v1::SUCCEEDED) << "its exit lay on the agent's disk";
}

TEST(AgentMachineTest, MissingMemberIsLostAfterAWhile) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t run = scene.Job("a").run_uid();
  scene.PlaceAndRun(run, "n1");
  scene.Reconnect("n1");
  scene.Pass(15);
  EXPECT_EQ(
      scene.Run(run).past_attempts_size() + (scene.Run(run).attempt().state() == records::A_LOST),
      1);
  EXPECT_TRUE(scene.state().node_use.empty());
}

TEST(AgentMachineTest, UnknownMembersHoldTheNodeBack) {
  Scene scene;
  scene.Node("n1");
  wire::MemberKey stranger;
  stranger.set_run_uid(999);
  stranger.set_epoch(5);
  scene.Reconnect("n1", {stranger});
  EXPECT_NE(UnschedulableReason(*scene.state().agents.at("n1")), "");
  scene.Submit("a");
  EXPECT_EQ(scene.PlaceAll(), 0);
  wire::Fact gone;
  *gone.mutable_key() = stranger;
  gone.mutable_released();
  scene.Tell("n1", gone);
  EXPECT_EQ(scene.PlaceAll(), 1);
}

TEST(AgentMachineTest, AgentThatLostItsDiskIsHeardAgain) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  const uint64_t a = scene.Job("a").run_uid();
  scene.RunToSuccess(a);
  EXPECT_GT(scene.state().agents.at("n1")->last_fact(), 0u);
  AgentConnect anew;
  anew.node_id = "n1";
  anew.inventory = scene.state().agents.at("n1")->inventory();
  anew.first_unacked_fact = 1;
  scene.Do(anew, User("n1", v1::AGENT, ""));
  EXPECT_EQ(scene.state().agents.at("n1")->last_fact(), 0u);
}

TEST(AgentMachineTest, DrainTakesNothingNewAndLetsTheRestFinish) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  scene.Submit("b");
  const uint64_t a = scene.Job("a").run_uid();
  scene.PlaceAndRun(a, "n1");
  scene.Do(DrainNode{"n1", false, "new disk"});
  EXPECT_EQ(UnschedulableReason(*scene.state().agents.at("n1")), "draining: new disk");
  EXPECT_EQ(scene.PlaceAll(), 0);
  EXPECT_EQ(scene.Demand(a), Strings{"n1 RUN"});
  scene.Do(DrainNode{"n1", true, ""});
  EXPECT_EQ(scene.PlaceAll(), 1);
}

TEST(AgentMachineTest, SeveralJobsFailingOnOneNodeQuarantineIt) {
  Scene scene;
  for (const char* node : {"n0", "n1", "n2"}) scene.Node(node);
  for (int i = 0; i < 3; ++i) {
    const std::string job = "job" + std::to_string(i);
    scene.Submit(job);
    scene.PlaceAndRun(scene.Job(job).run_uid(), "n0");
    EXPECT_FALSE(scene.state().agents.at("n0")->quarantined());
    scene.Exit(scene.Job(job).run_uid(), 0, Failure(v1::DEVICE_FAULT));
  }
  EXPECT_TRUE(scene.state().agents.at("n0")->quarantined());
  scene.Do(DrainNode{"n0", true, ""});
  EXPECT_FALSE(scene.state().agents.at("n0")->quarantined());
}

TEST(AgentMachineTest, SuccessClearsTheNodesRecord) {
  Scene scene;
  for (const char* node : {"n0", "n1", "n2"}) scene.Node(node);
  for (int i = 0; i < 6; ++i) {
    const std::string job = "job" + std::to_string(i);
    scene.Submit(job);
    const uint64_t run = scene.Job(job).run_uid();
    scene.PlaceAndRun(run, "n0");
    i % 2 == 0 ? scene.Exit(run, 0, Failure(v1::DEVICE_FAULT)) : scene.Succeed(run);
  }
  EXPECT_FALSE(scene.state().agents.at("n0")->quarantined());
}

TEST(AgentMachineTest, QuarantineNeverEmptiesTheCluster) {
  Scene scene;
  scene.Node("n0");
  for (int i = 0; i < 5; ++i) {
    const std::string job = "job" + std::to_string(i);
    scene.Submit(job);
    scene.PlaceAndRun(scene.Job(job).run_uid(), "n0");
    scene.Exit(scene.Job(job).run_uid(), 0, Failure(v1::INTERNAL));
  }
  EXPECT_FALSE(scene.state().agents.at("n0")->quarantined());
}

TEST(AgentMachineTest, NamesOfNodesAreGuessed) {
  Scene scene;
  scene.Node("gpu-box");
  const auto typo = scene.Try(DrainNode{"gpu-bax", false, ""});
  EXPECT_EQ(FaultsOf(typo.status()).faults(0).fix(), "did you mean gpu-box?");
}

}  // namespace
}  // namespace trainyard::core
