// A job's whole way over real gRPC on a unix socket: submit, assignment to an agent, facts, state,
// logs and metrics, with a real journal in memory, a real store and a fake agent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/grpc_status.h"
#include "scheduler/api/identity.h"
#include "tests/scheduler/rpc/fake_agent.h"
#include "tests/scheduler/rpc/harness.h"
#include "trainyard/v1/admin.grpc.pb.h"
#include "trainyard/v1/job.grpc.pb.h"
#include "trainyard/v1/node.grpc.pb.h"
#include "trainyard/v1/study.grpc.pb.h"

namespace trainyard::rpc {
namespace {

using ::testing::HasSubstr;

class FlowTest : public ::testing::Test {
 protected:
  FlowTest() : jobs_(v1::JobService::NewStub(harness_.channel())) {}

  v1::Job Submit(const std::string& id, v1::JobSpec spec, const std::string& request_id = "") {
    v1::SubmitJobRequest request;
    request.set_parent("projects/default");
    request.set_job_id(id);
    *request.mutable_spec() = std::move(spec);
    request.set_request_id(request_id);
    v1::Job job;
    const grpc::Status status =
        jobs_->SubmitJob(Harness::Call(harness_.admin()).get(), request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }
  v1::Job Get(const std::string& name) {
    v1::GetJobRequest request;
    request.set_name(name);
    v1::Job job;
    const grpc::Status status = jobs_->GetJob(Harness::Call(harness_.admin()).get(), request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }
  // Follows the job to its end.
  v1::Job Watch(const std::string& name) {
    v1::WatchJobRequest request;
    request.set_name(name);
    const auto call = Harness::Call(harness_.admin());
    auto stream = jobs_->WatchJob(call.get(), request);
    v1::WatchJobResponse response;
    v1::Job last;
    while (stream->Read(&response)) last = response.job();
    const grpc::Status status = stream->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return last;
  }

  Harness harness_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
};

TEST_F(FlowTest, SubmittedJobRunsAndSucceeds) {
  FakeAgent agent(&harness_, harness_.agent());
  const agent::v1::Welcome welcome = agent.Hello("n1", 2);
  EXPECT_GT(welcome.incarnation(), 0u);
  EXPECT_EQ(welcome.lease_ms(), 15000);
  const v1::Job job = Submit("first", MakeSpec());
  EXPECT_EQ(job.name(), "projects/default/jobs/first");
  const agent::v1::DesiredMember desired = agent.NextDesired();
  EXPECT_EQ(desired.want(), agent::v1::RUN);
  EXPECT_EQ(desired.assignment().job_id(), "first");
  EXPECT_EQ(desired.assignment().program().command(0), "/bin/true");
  EXPECT_EQ(desired.assignment().world_size(), 1);
  EXPECT_FALSE(desired.assignment().attempt_token().empty());
  agent.RunToSuccess(desired.key());
  EXPECT_EQ(Watch(job.name()).state(), v1::SUCCEEDED);
}

TEST_F(FlowTest, ARevokedNodeIsCutOffAtOnceAndStaysOut) {
  const auto nodes = v1::NodeService::NewStub(harness_.channel());
  const auto admin = v1::AdminService::NewStub(harness_.channel());
  const std::string joins = harness_.MakeToken("n1", v1::AGENT, "", absl::Hours(1), true);
  const std::string other = harness_.MakeToken("n2", v1::AGENT);
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  FakeAgent stays(&harness_, other);
  stays.Hello("n2", 2);
  v1::RevokeNodeRequest request;
  request.set_name("nodes/n1");
  v1::Node node;
  EXPECT_EQ(nodes->RevokeNode(Harness::Call(other).get(), request, &node).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  grpc::Status status = nodes->RevokeNode(Harness::Call(harness_.admin()).get(), request, &node);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(node.reason(), "its key was revoked");
  EXPECT_EQ(agent.AwaitEnd().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  FakeAgent again(&harness_, harness_.agent());
  again.Hello("n1", 2);
  EXPECT_EQ(again.Leave().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_FALSE(api::Identify(harness_.context(), joins).ok()) << "nor by a join token made before";
  EXPECT_TRUE(stays.Heartbeat(1)) << "other nodes are left alone";
  // A token by its id, as any other.
  v1::ListTokensResponse tokens;
  ASSERT_TRUE(admin->ListTokens(Harness::Call(harness_.admin()).get(), {}, &tokens).ok());
  for (const v1::Token& token : tokens.tokens()) {
    if (token.user() != "n2") continue;
    v1::RevokeTokenRequest revoke;
    revoke.set_id(token.id());
    google::protobuf::Empty empty;
    ASSERT_TRUE(admin->RevokeToken(Harness::Call(harness_.admin()).get(), revoke, &empty).ok());
  }
  EXPECT_EQ(stays.AwaitEnd().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  request.set_name("nodes/n3");
  status = nodes->RevokeNode(Harness::Call(harness_.admin()).get(), request, &node);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(FlowTest, AttemptTokenDiesWithItsEpoch) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  Submit("token", MakeSpec());
  const agent::v1::DesiredMember desired = agent.NextDesired();
  const std::string token = desired.assignment().attempt_token();
  EXPECT_TRUE(api::Identify(harness_.context(), token).ok());
  agent.RunToSuccess(desired.key());
  EXPECT_EQ(api::Identify(harness_.context(), token).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST_F(FlowTest, QueuedJobSaysTrulyWhyItWaits) {
  const v1::Job none = Submit("none", MakeSpec());
  EXPECT_THAT(Get(none.name()).waiting_reason(), HasSubstr("node"));
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  agent.NextDesired();
  const v1::Job big = Submit("big", MakeSpec(1, 8000));
  v1::ExplainJobRequest request;
  request.set_name(big.name());
  v1::ExplainJobResponse why;
  ASSERT_TRUE(jobs_->ExplainJob(Harness::Call(harness_.admin()).get(), request, &why).ok());
  EXPECT_EQ(why.reason(), "NO_CAPACITY");
  EXPECT_THAT(why.message(), HasSubstr("needs 8 cores on one node, the largest node has 2 cores"));
  const v1::Job second = Submit("second", MakeSpec(1, 1950));
  EXPECT_THAT(Get(second.name()).waiting_reason(), HasSubstr("largest free is 1.90 cores"));
  EXPECT_EQ(Get(second.name()).state(), v1::QUEUED);
}

// Also the last of many is told what would start it.
TEST_F(FlowTest, WhyIsAnsweredWithWhatWouldStartTheJob) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  Submit("runs", MakeSpec(1, 1500));
  agent.NextDesired();
  v1::Job last;
  for (int i = 0; i < 12; ++i) last = Submit(absl::StrCat("waits", i), MakeSpec(1, 1500));
  v1::ExplainJobRequest request;
  request.set_name(last.name());
  v1::ExplainJobResponse why;
  ASSERT_TRUE(jobs_->ExplainJob(Harness::Call(harness_.admin()).get(), request, &why).ok());
  EXPECT_EQ(why.queue_position(), 12);
  ASSERT_EQ(why.what_if_size(), 1) << why.ShortDebugString();
  EXPECT_EQ(why.what_if(0).change(), "NODES");
  EXPECT_EQ(why.counterfactuals(0), why.what_if(0).text());
}

TEST_F(FlowTest, SameRequestIdGivesTheSameJob) {
  const v1::Job once = Submit("", MakeSpec(), "request-1");
  const v1::Job again = Submit("", MakeSpec(), "request-1");
  EXPECT_EQ(once.name(), again.name());
  v1::SubmitJobRequest request;
  request.set_parent("projects/default");
  request.set_request_id("request-1");
  *request.mutable_spec() = MakeSpec(2);
  v1::Job job;
  const grpc::Status status =
      jobs_->SubmitJob(Harness::Call(harness_.admin()).get(), request, &job);
  EXPECT_EQ(ReasonOf(FromGrpcStatus(status)), "REQUEST_ID_REUSED");
}

TEST_F(FlowTest, CancelReachesTheAgentAndEndsTheJob) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  const v1::Job job = Submit("stopme", MakeSpec());
  const agent::v1::DesiredMember desired = agent.NextDesired();
  agent::v1::Fact fact;
  *fact.mutable_key() = desired.key();
  fact.mutable_running()->set_pid(1);
  agent.Tell(fact);
  v1::CancelJobRequest request;
  request.set_name(job.name());
  v1::Job cancelled;
  ASSERT_TRUE(jobs_->CancelJob(Harness::Call(harness_.admin()).get(), request, &cancelled).ok());
  EXPECT_EQ(cancelled.state(), v1::CANCELLING);
  const agent::v1::DesiredMember stop = agent.NextDesired();
  EXPECT_EQ(stop.want(), agent::v1::STOPPED);
  EXPECT_EQ(stop.stop_reason(), agent::v1::STOP_CANCEL);
  EXPECT_FALSE(stop.has_assignment()) << "the agent has it already";
  fact.mutable_exited()->mutable_record()->set_cause(v1::CANCELLED_CAUSE);
  fact.mutable_exited()->set_stopped_on_request(true);
  agent.Tell(fact);
  fact.mutable_released();
  agent.Tell(fact);
  EXPECT_EQ(Watch(job.name()).state(), v1::CANCELLED);
}

TEST_F(FlowTest, LogsAreFollowedToTheEndOfTheJob) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  const v1::Job job = Submit("talks", MakeSpec());
  const agent::v1::DesiredMember desired = agent.NextDesired();
  v1::TailLogsRequest tail;
  tail.set_name(job.name());
  tail.set_follow(true);
  tail.set_all_ranks(true);
  const auto tail_call = Harness::Call(harness_.admin());
  auto lines = jobs_->TailLogs(tail_call.get(), tail);

  auto stub = agent::v1::AgentService::NewStub(harness_.channel());
  const auto call = Harness::Call(harness_.agent());
  auto telemetry = stub->Telemetry(call.get());
  agent::v1::TelemetryBatch batch;
  batch.set_sequence(1);
  agent::v1::LogChunk* chunk = batch.add_logs();
  *chunk->mutable_key() = desired.key();
  chunk->set_data("hello\nworld\n");
  ASSERT_TRUE(telemetry->Write(batch));
  agent::v1::TelemetryAck ack;
  ASSERT_TRUE(telemetry->Read(&ack));
  EXPECT_EQ(ack.sequence(), 1u);
  v1::TailLogsResponse response;
  std::vector<std::string> seen;
  while (seen.size() < 2 && lines->Read(&response)) {
    for (const v1::LogLine& line : response.lines()) seen.push_back(line.text());
  }
  EXPECT_THAT(seen, ::testing::ElementsAre("hello", "world"));
  agent.RunToSuccess(desired.key());
  bool end = response.end();
  while (lines->Read(&response)) end = response.end();
  EXPECT_TRUE(end);
  EXPECT_TRUE(lines->Finish().ok());
}

TEST_F(FlowTest, TelemetryOfStrangersIsDropped) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  const v1::Job job = Submit("mine", MakeSpec());
  const agent::v1::DesiredMember desired = agent.NextDesired();
  const std::string stranger = harness_.MakeToken("n2", v1::AGENT);
  auto stub = agent::v1::AgentService::NewStub(harness_.channel());
  const auto call = Harness::Call(stranger);
  auto telemetry = stub->Telemetry(call.get());
  agent::v1::TelemetryBatch batch;
  batch.set_sequence(1);
  *batch.add_logs()->mutable_key() = desired.key();
  batch.mutable_logs(0)->set_data("forged\n");
  ASSERT_TRUE(telemetry->Write(batch));
  agent::v1::TelemetryAck ack;
  ASSERT_TRUE(telemetry->Read(&ack));
  const auto page = harness_.context().store->logs().Read(job.uid(), {}, "", 10);
  ASSERT_TRUE(page.ok());
  EXPECT_TRUE(page->lines.empty());
}

// One metric that no store takes would come again at every reconnect, and nothing else with it.
TEST_F(FlowTest, WhatCanNeverBeStoredHoldsUpNothingBehindIt) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  const v1::Job job = Submit("counts", MakeSpec());
  const agent::v1::DesiredMember desired = agent.NextDesired();
  auto stub = agent::v1::AgentService::NewStub(harness_.channel());
  const auto call = Harness::Call(harness_.agent());
  auto telemetry = stub->Telemetry(call.get());
  agent::v1::TelemetryAck ack;
  for (uint64_t sequence = 1; sequence <= 2; ++sequence) {
    agent::v1::TelemetryBatch batch;
    batch.set_sequence(sequence);
    *batch.add_metrics()->mutable_key() = desired.key();
    batch.mutable_metrics(0)->set_offset(static_cast<int64_t>(sequence) - 1);
    v1::MetricPoint* const point = batch.mutable_metrics(0)->add_points();
    point->set_name(sequence == 1 ? "" : "loss");
    point->set_value(0.5);
    ASSERT_TRUE(telemetry->Write(batch));
    ASSERT_TRUE(telemetry->Read(&ack));
    EXPECT_EQ(ack.sequence(), sequence);
  }
  const auto stored = harness_.context().store->metrics().List(job.uid(), {});
  ASSERT_TRUE(stored.ok());
  ASSERT_EQ(stored->points_size(), 1);
  EXPECT_EQ(stored->points(0).name(), "loss");
}

TEST_F(FlowTest, HeartbeatsAreAnswered) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  EXPECT_TRUE(agent.Heartbeat(1));
  EXPECT_TRUE(agent.Heartbeat(2));
}

TEST_F(FlowTest, AgentWithAnotherNodesTokenIsRefused) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n7", 2);
  EXPECT_EQ(agent.Leave().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(FlowTest, NewestConnectionOfANodeCounts) {
  FakeAgent first(&harness_, harness_.agent());
  first.Hello("n1", 2);
  FakeAgent second(&harness_, harness_.agent());
  second.Hello("n1", 2);
  Submit("to-the-second", MakeSpec());
  EXPECT_EQ(second.NextDesired().assignment().job_id(), "to-the-second");
  EXPECT_EQ(first.Leave().error_code(), grpc::StatusCode::ABORTED);
}

TEST_F(FlowTest, QuickReconnectsLeaveTheNodeUsable) {
  uint64_t facts = 0;
  for (int round = 0; round < 10; ++round) {
    auto first = std::make_unique<FakeAgent>(&harness_, harness_.agent());
    first->Hello("n1", 2);
    std::thread leaves([&first] { first.reset(); });
    FakeAgent second(&harness_, harness_.agent());
    second.Hello("n1", 2);
    second.ContinueFacts(facts);
    leaves.join();
    const std::string id = absl::StrCat("round", round);
    Submit(id, MakeSpec());
    const agent::v1::DesiredMember desired = second.NextDesired();
    EXPECT_EQ(desired.assignment().job_id(), id);
    second.RunToSuccess(desired.key());
    facts = second.last_fact();
  }
}

TEST_F(FlowTest, WrongSpecIsRefusedWithEveryFault) {
  v1::SubmitJobRequest request;
  request.set_parent("projects/default");
  request.set_job_id("1bad");
  v1::Job job;
  grpc::Status status = jobs_->SubmitJob(Harness::Call(harness_.admin()).get(), request, &job);
  EXPECT_EQ(ReasonOf(FromGrpcStatus(status)), "BAD_NAME");
  request.set_job_id("good");
  status = jobs_->SubmitJob(Harness::Call(harness_.admin()).get(), request, &job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_FALSE(FaultsOf(FromGrpcStatus(status)).faults().empty());
}

TEST_F(FlowTest, BatchSubmitIsAllChecksFirst) {
  v1::SubmitJobsRequest request;
  for (int i = 0; i < 100; ++i) {
    v1::SubmitJobRequest* one = request.add_requests();
    one->set_parent("projects/default");
    one->set_job_id(absl::StrCat("batch", i));
    *one->mutable_spec() = MakeSpec();
  }
  v1::SubmitJobsResponse response;
  ASSERT_TRUE(jobs_->SubmitJobs(Harness::Call(harness_.admin()).get(), request, &response).ok());
  ASSERT_EQ(response.jobs_size(), 100);
  EXPECT_EQ(response.jobs(99).name(), "projects/default/jobs/batch99");
  v1::ListJobsRequest list;
  list.set_parent("projects/default");
  list.set_page_size(30);
  list.set_filter("state:QUEUED AND jobId:batch9*");
  v1::ListJobsResponse page;
  ASSERT_TRUE(jobs_->ListJobs(Harness::Call(harness_.admin()).get(), list, &page).ok());
  EXPECT_EQ(page.jobs_size(), 11);
  list.clear_filter();
  int seen = 0;
  do {
    ASSERT_TRUE(jobs_->ListJobs(Harness::Call(harness_.admin()).get(), list, &page).ok());
    seen += page.jobs_size();
    list.set_page_token(page.next_page_token());
  } while (!page.next_page_token().empty());
  EXPECT_EQ(seen, 100);
}

TEST_F(FlowTest, NodesAreListedWithWhatTheyHold) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  const v1::Job job = Submit("holds", MakeSpec());
  agent.NextDesired();
  auto nodes = v1::NodeService::NewStub(harness_.channel());
  v1::ListNodesResponse response;
  ASSERT_TRUE(nodes->ListNodes(Harness::Call(harness_.admin()).get(), {}, &response).ok());
  ASSERT_EQ(response.nodes_size(), 1);
  EXPECT_EQ(response.nodes(0).state(), v1::READY);
  EXPECT_EQ(response.nodes(0).cpu_milli_used(), 100);
  ASSERT_EQ(response.nodes(0).jobs_size(), 1);
  EXPECT_EQ(response.nodes(0).jobs(0), job.name());
}

}  // namespace
}  // namespace trainyard::rpc
