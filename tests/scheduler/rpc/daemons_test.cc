// The way of mpirun's daemon order: from the agent of a gang's head to another node of the same
// live attempt, and for nobody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/rpc/fake_agent.h"
#include "tests/scheduler/rpc/harness.h"
#include "trainyard/v1/job.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class DaemonsTest : public ::testing::Test {
 protected:
  DaemonsTest() : other_token_(harness_.MakeToken("n2", v1::AGENT)) {
    one_ = std::make_unique<FakeAgent>(&harness_, harness_.agent());
    one_->Hello("n1", 1);
    two_ = std::make_unique<FakeAgent>(&harness_, other_token_);
    two_->Hello("n2", 1);
    v1::SubmitJobRequest request;
    request.set_parent("projects/default");
    request.set_job_id("gang");
    *request.mutable_spec() = MakeSpec(2, 1000);
    const auto jobs = v1::JobService::NewStub(harness_.channel());
    EXPECT_TRUE(jobs->SubmitJob(Harness::Call(harness_.admin()).get(), request, &job_).ok());
    for (FakeAgent* agent : {one_.get(), two_.get()}) Prepare(agent);
    for (FakeAgent* agent : {one_.get(), two_.get()}) {
      const agent::v1::DesiredMember desired = agent->NextDesired();
      EXPECT_EQ(desired.want(), agent::v1::RUN);
      // The order to run says once more who is in the gang, with the ports.
      EXPECT_EQ(desired.assignment().peers(0).port(), 7777);
      if (desired.key().member() == 0) {
        head_ = agent;
        *spawn_.mutable_key() = desired.key();
      }
    }
    peer_ = head_ == one_.get() ? two_.get() : one_.get();
    head_token_ = head_ == one_.get() ? harness_.agent() : other_token_;
    peer_token_ = head_ == one_.get() ? other_token_ : harness_.agent();
    spawn_.set_target(1);
    spawn_.add_argv("orted");
  }

  void Prepare(FakeAgent* agent) {
    const agent::v1::DesiredMember desired = agent->NextDesired();
    EXPECT_EQ(desired.want(), agent::v1::PREPARED);
    agent::v1::Fact fact;
    *fact.mutable_key() = desired.key();
    fact.mutable_prepared()->set_port(7777);
    agent->AwaitAck(agent->Tell(fact));
  }
  grpc::StatusCode Ask(const std::string& token) {
    return head_->Spawn(spawn_, token).error_code();
  }

  Harness harness_;
  std::string other_token_;
  std::unique_ptr<FakeAgent> one_;
  std::unique_ptr<FakeAgent> two_;
  FakeAgent* head_ = nullptr;
  FakeAgent* peer_ = nullptr;
  std::string head_token_;
  std::string peer_token_;
  v1::Job job_;
  agent::v1::SpawnDaemonRequest spawn_;
};

TEST_F(DaemonsTest, TheOrderReachesTheOtherNode) {
  EXPECT_EQ(Ask(head_token_), grpc::StatusCode::OK);
  const agent::v1::StartDaemon order = peer_->NextDaemon();
  EXPECT_EQ(order.key().run_uid(), spawn_.key().run_uid());
  EXPECT_EQ(order.key().epoch(), spawn_.key().epoch());
  EXPECT_EQ(order.key().member(), 1);
  EXPECT_EQ(order.argv(0), "orted");
}

TEST_F(DaemonsTest, NobodyButTheHeadMayAskAndOnlyForOthers) {
  EXPECT_EQ(Ask(peer_token_), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Ask(harness_.admin()), grpc::StatusCode::PERMISSION_DENIED);
  spawn_.set_target(0);
  EXPECT_EQ(Ask(head_token_), grpc::StatusCode::INVALID_ARGUMENT);
  spawn_.set_target(2);
  EXPECT_EQ(Ask(head_token_), grpc::StatusCode::INVALID_ARGUMENT);
  spawn_.set_target(1);
  spawn_.mutable_key()->set_member(1);
  EXPECT_EQ(Ask(head_token_), grpc::StatusCode::PERMISSION_DENIED);
  spawn_.mutable_key()->set_member(0);
  for (int i = 0; i < 300; ++i) spawn_.add_argv("x");
  EXPECT_EQ(Ask(head_token_), grpc::StatusCode::INVALID_ARGUMENT);
}

// mpirun would wait for a daemon that never comes.
TEST_F(DaemonsTest, ARefusalReachesTheHeadAndOnlyFromTheNodeItself) {
  EXPECT_EQ(Ask(head_token_), grpc::StatusCode::OK);
  const agent::v1::StartDaemon order = peer_->NextDaemon();
  head_->RefuseDaemon(order.key(), "of another's member");
  ASSERT_TRUE(head_->Heartbeat(1)) << "all before it was taken in";
  agent::v1::MemberKey earlier = order.key();
  earlier.set_epoch(earlier.epoch() - 1);
  peer_->RefuseDaemon(earlier, "of an earlier attempt");
  peer_->RefuseDaemon(order.key(), "no supervisor");
  const agent::v1::DaemonRefused refused = head_->NextRefused();
  EXPECT_EQ(refused.key().member(), 1);
  EXPECT_THAT(refused.message(), ::testing::MatchesRegex("node n[12]: no supervisor"));
}

TEST_F(DaemonsTest, AnotherEpochAndAnAttemptThatStopsAreOver) {
  const uint64_t epoch = spawn_.key().epoch();
  spawn_.mutable_key()->set_epoch(epoch + 1);
  EXPECT_EQ(Ask(head_token_), grpc::StatusCode::FAILED_PRECONDITION);
  spawn_.mutable_key()->set_epoch(epoch);
  v1::CancelJobRequest request;
  request.set_name(job_.name());
  v1::Job job;
  const auto jobs = v1::JobService::NewStub(harness_.channel());
  ASSERT_TRUE(jobs->CancelJob(Harness::Call(harness_.admin()).get(), request, &job).ok());
  EXPECT_EQ(Ask(head_token_), grpc::StatusCode::FAILED_PRECONDITION);
}

}  // namespace
}  // namespace trainyard::rpc
