// Telling why a job waits costs the scheduler a search only when there is something new to tell.
#include "client/cli/waiting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/sdk/client.h"
#include "tests/client/fake/fake_server.h"

namespace trainyard::cli {
namespace {

TEST(WaitingTellerTest, AsksForTheWholeAnswerWhenTheSentenceIsNew) {
  client::FakeServer server;
  client::Client client(server.endpoint(), {});
  v1::Job job;
  job.set_name("projects/default/jobs/a");
  job.set_state(v1::QUEUED);
  job.set_waiting_reason("needs 4 cores on one node, largest free is 1");
  job.set_queue_position(2);
  server.PutJob(job);
  std::vector<std::string> said;
  const auto say = [&](absl::string_view line) { said.emplace_back(line); };
  WaitingTeller teller(&client, /*patient=*/false, say);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(teller.Look(job).ok());
  EXPECT_EQ(server.calls("ExplainJob"), 1);
  job.set_queue_position(3);  // known without asking
  ASSERT_TRUE(teller.Look(job).ok());
  EXPECT_EQ(server.calls("ExplainJob"), 1);
  EXPECT_THAT(said, ::testing::ElementsAre(
                        "waiting: needs 4 cores on one node, largest free is 1 (place 2)",
                        "waiting: needs 4 cores on one node, largest free is 1 (place 3)"));
  job.set_waiting_reason("needs 4 cores on one node, largest free is 2");
  ASSERT_TRUE(teller.Look(job).ok());
  EXPECT_EQ(server.calls("ExplainJob"), 2);
  // With a place it waits for nodes, which may cease to answer while the sentence stays.
  job.set_queue_position(0);
  ASSERT_TRUE(teller.Look(job).ok());
  ASSERT_TRUE(teller.Look(job).ok());
  EXPECT_EQ(server.calls("ExplainJob"), 4);
}

}  // namespace
}  // namespace trainyard::cli
