// Following: no line lost and none twice over broken streams; waiting ends with the state or the
// deadline.
#include "client/sdk/follow.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/errors.h"
#include "tests/client/fake/fake_server.h"

namespace trainyard::client {
namespace {

constexpr char kJob[] = "projects/default/jobs/a";

v1::Job Job(v1::JobState state) {
  v1::Job job;
  job.set_name(kJob);
  job.set_state(state);
  return job;
}

std::vector<v1::LogLine> Lines(int count) {
  std::vector<v1::LogLine> lines;
  for (int i = 0; i < count; ++i) {
    v1::LogLine line;
    line.set_text(absl::StrCat("line ", i));
    line.set_cursor(absl::StrCat("c", i));
    line.set_rank(i % 2);
    lines.push_back(line);
  }
  return lines;
}

TEST(FollowTest, BrokenStreamsLoseNothingAndRepeatNothing) {
  FakeServer server;
  server.PutJob(Job(v1::RUNNING));
  server.PutLog(kJob, Lines(10));
  server.BreakLogsAfter(3);
  Client client(server.endpoint(), {});
  v1::TailLogsRequest request;
  request.set_name(kJob);
  request.set_follow(true);
  request.set_all_ranks(true);
  std::vector<std::string> seen;
  const absl::Status status = FollowLogs(&client, request, [&seen](const v1::LogLine& line) {
    seen.push_back(line.text());
    return true;
  });
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(seen.size(), 10U);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], absl::StrCat("line ", i));
  EXPECT_EQ(server.calls("TailLogs"), 4);
}

TEST(FollowTest, ASilentJobIsFollowedThroughRestartsToo) {
  FakeServer server;
  server.PutJob(Job(v1::RUNNING));
  server.PutLog(kJob, Lines(2));
  server.EndLogsSilently(3);
  Client client(server.endpoint(), {});
  v1::TailLogsRequest request;
  request.set_name(kJob);
  request.set_follow(true);
  request.set_all_ranks(true);
  int seen = 0;
  const absl::Status status =
      FollowLogs(&client, request, [&seen](const v1::LogLine&) { return ++seen > 0; });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(server.calls("TailLogs"), 4);
}

TEST(FollowTest, SinkEndsTheStream) {
  FakeServer server;
  server.PutJob(Job(v1::RUNNING));
  server.PutLog(kJob, Lines(10));
  Client client(server.endpoint(), {});
  v1::TailLogsRequest request;
  request.set_name(kJob);
  request.set_all_ranks(true);
  int seen = 0;
  EXPECT_TRUE(
      FollowLogs(&client, request, [&seen](const v1::LogLine&) { return ++seen < 4; }).ok());
  EXPECT_EQ(seen, 4);
}

TEST(FollowTest, UnknownJobIsAnErrorAtOnce) {
  FakeServer server;
  Client client(server.endpoint(), {});
  v1::TailLogsRequest request;
  request.set_name(kJob);
  const absl::Status status = FollowLogs(&client, request, [](const v1::LogLine&) { return true; });
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
}

TEST(FollowTest, WaitSeesEveryStateUntilTheEnd) {
  FakeServer server;
  server.PutJob(Job(v1::QUEUED));
  server.ScriptStates(kJob, {v1::PREPARING, v1::RUNNING, v1::SUCCEEDED});
  Client client(server.endpoint(), {});
  std::vector<v1::JobState> seen;
  const auto job = WaitForJob(&client, kJob, absl::InfiniteFuture(), [&seen](const v1::Job& state) {
    seen.push_back(state.state());
    return IsTerminal(state.state());
  });
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::SUCCEEDED);
  EXPECT_EQ(seen.back(), v1::SUCCEEDED);
  EXPECT_GE(seen.size(), 3U);
}

TEST(FollowTest, WaitEndsAtTheDeadlineWithTheLastState) {
  FakeServer server;
  server.PutJob(Job(v1::RUNNING));
  Client client(server.endpoint(), {});
  const auto job = WaitForJob(&client, kJob, absl::Now() + absl::Milliseconds(200),
                              [](const v1::Job&) { return false; });
  EXPECT_EQ(ReasonOf(job.status()), "TIMED_OUT");
  EXPECT_NE(job.status().message().find("RUNNING"), absl::string_view::npos);
}

}  // namespace
}  // namespace trainyard::client
