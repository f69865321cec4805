// Calls: the same request id on every repetition, one error for an unreachable scheduler, faults as
// the server gave them.
#include "client/sdk/client.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "common/errors.h"
#include "tests/client/fake/fake_server.h"

namespace trainyard::client {
namespace {

ClientOptions Fast() { return {absl::Seconds(20), absl::Seconds(10)}; }

v1::SubmitJobRequest Request() {
  v1::SubmitJobRequest request;
  request.set_parent("projects/default");
  request.set_job_id("a");
  request.mutable_spec()->mutable_program()->add_command("/bin/true");
  return request;
}

TEST(ClientTest, LostAnswersAreAskedForAgainWithTheSameRequestId) {
  FakeServer server;
  Client client(server.endpoint(), Fast());
  server.LoseAnswers(2);
  const absl::StatusOr<v1::Job> job = client.SubmitJob(Request());
  ASSERT_TRUE(job.ok()) << job.status();
  const std::vector<v1::SubmitJobRequest> submits = server.submits();
  ASSERT_EQ(submits.size(), 3U);
  EXPECT_EQ(submits[0].request_id().size(), 32U);
  EXPECT_EQ(submits[0].request_id(), submits[1].request_id());
  EXPECT_EQ(submits[0].request_id(), submits[2].request_id());
}

TEST(ClientTest, GivenRequestIdIsKeptAndFreshOnesDiffer) {
  FakeServer server;
  Client client(server.endpoint(), Fast());
  v1::SubmitJobRequest request = Request();
  request.set_request_id("mine");
  ASSERT_TRUE(client.SubmitJob(request).ok());
  EXPECT_EQ(server.submits()[0].request_id(), "mine");
  EXPECT_NE(NewRequestId(), NewRequestId());
}

TEST(ClientTest, SchedulerThatNeverAnsweredIsOneErrorAtOnce) {
  Endpoint endpoint;
  endpoint.address = "unix:/tmp/trainyard-no-such-socket";
  endpoint.address_source = "TRAINYARD_ENDPOINT";
  Client client(endpoint, {absl::Seconds(20), absl::Hours(1)});
  const absl::Status status = client.GetServerInfo({}).status();
  EXPECT_EQ(ReasonOf(status), "SCHEDULER_UNREACHABLE");
  const std::string text = FormatFaults(FaultsOf(status));
  EXPECT_TRUE(absl::StrContains(text, endpoint.address)) << text;
  EXPECT_TRUE(absl::StrContains(text, "TRAINYARD_ENDPOINT")) << text;
  EXPECT_TRUE(absl::StrContains(text, "trainyard up")) << text;
  EXPECT_TRUE(absl::StrContains(text, "trainyard doctor")) << text;
}

TEST(ClientTest, SchedulerThatComesBackIsWaitedFor) {
  FakeServer server;
  Client client(server.endpoint(), {absl::Seconds(20), absl::Minutes(5)});
  ASSERT_TRUE(client.GetServerInfo({}).ok());
  server.Stop();
  server.Start();
  EXPECT_TRUE(client.GetServerInfo({}).ok());
}

TEST(ClientTest, SchedulerThatStaysAwayIsGivenUp) {
  FakeServer server;
  Client client(server.endpoint(), {absl::Seconds(20), absl::ZeroDuration()});
  ASSERT_TRUE(client.GetServerInfo({}).ok());
  server.Stop();
  EXPECT_EQ(ReasonOf(client.GetServerInfo({}).status()), "SCHEDULER_UNREACHABLE");
}

TEST(ClientTest, ErrorsCarryTheServersFaults) {
  FakeServer server;
  Client client(server.endpoint(), Fast());
  v1::GetJobRequest request;
  request.set_name("projects/default/jobs/absent");
  const absl::Status status = client.GetJob(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(status), "NOT_FOUND");
  EXPECT_EQ(FaultsOf(status).faults(0).fix(), "see: trainyard jobs list");
}

TEST(ClientTest, WrongTokenIsUnauthenticated) {
  FakeServer server;
  Endpoint endpoint = server.endpoint();
  endpoint.token = "wrong";
  Client client(endpoint, Fast());
  EXPECT_EQ(client.GetServerInfo({}).status().code(), absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace trainyard::client
