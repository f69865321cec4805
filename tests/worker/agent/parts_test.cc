// The agent's parts alone: tails, regular expressions, machine, loop and pool.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "worker/agent/attempt_folder.h"
#include "worker/agent/event_loop.h"
#include "worker/agent/grpc_channels.h"
#include "worker/agent/machine.h"
#include "worker/agent/metric_regex.h"
#include "worker/agent/nvml.h"
#include "worker/agent/tail.h"
#include "worker/agent/work_pool.h"

namespace trainyard::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PartsTest : public testing::Test {
 protected:
  PartsTest() {
    char name[] = "/tmp/trainyard-parts-test-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~PartsTest() override { std::filesystem::remove_all(folder_); }

  void Append(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name, std::ios::app) << text;
  }

  std::string folder_;
};

// Tails.

agent::v1::Assignment OneRank() {
  agent::v1::Assignment assignment;
  assignment.set_job_uid(5);
  assignment.set_trial(2);
  assignment.add_ranks();
  assignment.add_study_metrics("acc");
  return assignment;
}

TEST_F(PartsTest, WholeLinesAreReadOnceAndAPartialOneWaits) {
  std::filesystem::create_directory(folder_ + "/log");
  Tail tail(folder_, OneRank());
  agent::v1::TelemetryBatch batch;
  EXPECT_FALSE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch)) << "no file yet";
  Append("log/rank-0.out", "one\ntwo\nthr");
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch));
  ASSERT_EQ(batch.logs_size(), 1);
  EXPECT_EQ(batch.logs(0).data(), "one\ntwo\n");
  EXPECT_EQ(batch.trial(), 2);
  EXPECT_TRUE(tail.has_partial());
  EXPECT_FALSE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch));
  Append("log/rank-0.out", "ee\n");
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch));
  EXPECT_EQ(batch.logs(0).offset(), 8);
  EXPECT_EQ(batch.logs(0).data(), "three\n");
  Append("log/rank-0.out", "prompt> ");
  EXPECT_FALSE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch));
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kEnds, 1, &batch));
  EXPECT_EQ(batch.logs(0).data(), "prompt> ");
}

TEST_F(PartsTest, ALoudProgramIsReadInBoundedPieces) {
  std::filesystem::create_directory(folder_ + "/log");
  std::string text;
  for (int i = 0; i < 40000; ++i) text += "line " + std::to_string(i) + "\n";
  text += std::string(200000, 'x');  // a line that is longer than any piece
  Append("log/rank-0.out", text + "\n");
  Tail tail(folder_, OneRank());
  std::string all;
  for (int round = 0; round < 100; ++round) {
    agent::v1::TelemetryBatch batch;
    if (!tail.Read(100000, Tail::Partial::kEnds, 1, &batch)) break;
    EXPECT_LT(batch.ByteSizeLong(), 300000u);
    for (const agent::v1::LogChunk& chunk : batch.logs()) {
      EXPECT_EQ(chunk.offset(), static_cast<int64_t>(all.size()));
      all += chunk.data();
    }
  }
  EXPECT_EQ(all, text + "\n");
}

TEST_F(PartsTest, MetricPointsAreNumberedFromTheAttemptsBegin) {
  Tail tail(folder_, OneRank());
  Append("metrics.jsonl", R"({"name":"acc","step":1,"value":0.5,"rank":0,"time_us":1000000})"
                          "\nrubbish\n"
                          R"({"name":"acc","step":2,"value":"nan","rank":1,"time_us":1})"
                          "\n{\"name\":\"acc\"");
  agent::v1::TelemetryBatch batch;
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch));
  ASSERT_EQ(batch.metrics_size(), 1);
  EXPECT_EQ(batch.metrics(0).offset(), 0);
  ASSERT_EQ(batch.metrics(0).points_size(), 2);
  EXPECT_EQ(batch.metrics(0).points(0).time().seconds(), 1);
  EXPECT_TRUE(std::isnan(batch.metrics(0).points(1).value()));
  Append("metrics.jsonl", ",\"step\":9,\"value\":1}\n");
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch));
  EXPECT_EQ(batch.metrics(0).offset(), 2);
  EXPECT_EQ(tail.last_step(), 9);
  EXPECT_THAT(tail.metric_names(), ElementsAre("acc"));
}

TEST_F(PartsTest, PointsOutOfTheLogAreNotMadeTwiceByARestartedAgent) {
  std::filesystem::create_directory(folder_ + "/log");
  agent::v1::Assignment assignment = OneRank();
  assignment.mutable_metrics()->set_regex("acc=([0-9.]+)");
  Append("log/rank-0.out", "acc=0.1\nacc=0.2\n");
  agent::v1::TelemetryBatch batch;
  for (int agent = 0; agent < 3; ++agent) {
    Tail tail(folder_, assignment);
    ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch));
    ASSERT_EQ(batch.metrics_size(), 1) << agent;
    EXPECT_EQ(batch.metrics(0).points_size(), 2) << agent;
  }
  Append("log/rank-0.out", "acc=0.3\n");
  Tail tail(folder_, assignment);
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch));
  ASSERT_EQ(batch.metrics(0).points_size(), 3);
  EXPECT_EQ(batch.metrics(0).points(2).step(), 2) << "counted from the first line on";
}

// What is shown before its line ends is matched when it ends, whole; \r ends a line too.
TEST_F(PartsTest, AValueThatComesInPiecesIsOneValue) {
  std::filesystem::create_directory(folder_ + "/log");
  agent::v1::Assignment assignment = OneRank();
  assignment.mutable_metrics()->set_regex("acc=([0-9.]+)");
  Tail tail(folder_, assignment);
  agent::v1::TelemetryBatch batch;
  Append("log/rank-0.out", "acc=");
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kShown, 1, &batch));
  EXPECT_EQ(batch.logs(0).data(), "acc=");
  Append("log/rank-0.out", "0.9");
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kShown, 1, &batch));
  EXPECT_EQ(batch.metrics_size(), 0) << "half a number";
  Append("log/rank-0.out", "31\n" + std::string(20000, '.') + "\racc=0.95\r" + "acc=0.97");
  std::vector<double> values;
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kWaits, 1, &batch));
  for (const auto& point : batch.metrics(0).points()) values.push_back(point.value());
  EXPECT_THAT(values, ElementsAre(0.931, 0.95));
  ASSERT_TRUE(tail.Read(1 << 20, Tail::Partial::kEnds, 1, &batch));
  ASSERT_EQ(batch.metrics_size(), 1);
  EXPECT_EQ(batch.metrics(0).points(0).value(), 0.97) << "nothing more comes";
}

TEST_F(PartsTest, APointWithoutANameIsNone) {
  v1::MetricPoint point;
  EXPECT_FALSE(ParseMetricLine(R"({"name":"","step":1,"value":0.5})", &point));
  EXPECT_FALSE(ParseMetricLine(
      absl::StrCat("{\"name\":\"", std::string(257, 'x'), "\",\"value\":1}"), &point));
  EXPECT_TRUE(ParseMetricLine(
      absl::StrCat("{\"name\":\"", std::string(256, 'x'), "\",\"value\":1}"), &point));
}

// Regular expressions.

TEST(MetricRegexTest, ValuesNamesAndSteps) {
  auto plain = MetricRegex::Make("loss: (\\S+)", "loss");
  ASSERT_TRUE(plain.ok());
  auto matches = (*plain)->Matches("loss: 0.5 then loss: 1e-3 and loss: none");
  ASSERT_EQ(matches.size(), 2u);
  EXPECT_EQ(matches[0].step, 0);
  EXPECT_EQ(matches[1].step, 1);
  EXPECT_EQ(matches[1].value, 0.001);
  auto named = MetricRegex::Make("(?<name>\\w+)=(?<value>[0-9.]+)@(?P<step>\\d+)", "");
  ASSERT_TRUE(named.ok()) << named.status();
  matches = (*named)->Matches("a=1@10 b=2.5@20");
  ASSERT_EQ(matches.size(), 2u);
  EXPECT_EQ(matches[1].name, "b");
  EXPECT_EQ(matches[1].value, 2.5);
  EXPECT_EQ(matches[1].step, 20);
  auto two = MetricRegex::Make("(\\w+)=([0-9.]+)", "");
  ASSERT_TRUE(two.ok()) << two.status();
  matches = (*two)->Matches("a=1 b=2.5");
  ASSERT_EQ(matches.size(), 2u);
  EXPECT_EQ(matches[1].name, "b");
  EXPECT_EQ(matches[1].value, 2.5);
}

TEST(MetricRegexTest, WrongExpressionsAreRefused) {
  EXPECT_FALSE(MetricRegex::Make("(", "m").ok());
  EXPECT_FALSE(MetricRegex::Make("acc=[0-9]", "m").ok()) << "no group";
  EXPECT_FALSE(MetricRegex::Make("acc=([0-9])", "").ok()) << "no name";
  EXPECT_FALSE(MetricRegex::Make("(a)(b)(c)", "m").ok()) << "which is the value?";
  EXPECT_FALSE(MetricRegex::Make("(?=x)(y)", "m").ok()) << "look-ahead";
  EXPECT_FALSE(MetricRegex::Make("((a{100}){100}){100}", "m").ok()) << "too large";
}

TEST(MetricRegexTest, HostileInputEndsSoon) {
  auto regex = MetricRegex::Make("(x+x+)+y|()", "m");
  ASSERT_TRUE(regex.ok());
  EXPECT_THAT((*regex)->Matches(std::string(100000, 'x')), IsEmpty());
}

// The machine.

TEST(MachineTest, InventoryIsPlausibleAndObeysItsOptions) {
  MachineOptions options;
  options.nvml_library = "";
  const v1::NodeInventory own = ReadInventory(options);
  EXPECT_GE(own.cores(), 1);
  EXPECT_GT(own.memory_bytes(), 1 << 20);
  EXPECT_EQ(own.node_id(), own.hostname());
  EXPECT_EQ(own.boot_id().size(), 36u);
  options.node_id = "n";
  options.cores = 7;
  options.memory_bytes = 5;
  options.labels["k"] = "v";
  const v1::NodeInventory told = ReadInventory(options);
  EXPECT_EQ(told.node_id(), "n");
  EXPECT_EQ(told.cores(), 7);
  EXPECT_EQ(told.memory_bytes(), 5);
  EXPECT_EQ(told.labels().at("k"), "v");
}

TEST(MachineTest, SizesWithUnits) {
  const std::pair<const char*, int64_t> cases[] = {{"1000", 1000},
                                                   {"16GiB", int64_t{16} << 30},
                                                   {"512M", 512 << 20},
                                                   {"1.5g", 1610612736},
                                                   {"2KB", 2048},
                                                   {"", 0},
                                                   {"x", 0},
                                                   {"5 GiB", 0},
                                                   {"-1", 0},
                                                   {"3Q", 0},
                                                   {"1e3", 0},
                                                   {"99999999999T", 0}};
  for (const auto& [text, bytes] : cases) EXPECT_EQ(ParseBytes(text), bytes) << text;
}

TEST(NvmlTest, DevicesAreReadThroughTheLibrary) {
  const std::vector<v1::Device> devices = ReadDevices(TRAINYARD_FAKE_NVML);
  ASSERT_EQ(devices.size(), 5u) << "three, and two slices of the second behind it";
  EXPECT_EQ(devices[0].uuid(), "GPU-fake-0");
  EXPECT_EQ(devices[0].model(), "A100") << "as specs name it";
  EXPECT_EQ(devices[0].full_model(), "NVIDIA A100-SXM4-80GB");
  EXPECT_EQ(devices[0].profile(), "");
  EXPECT_EQ(devices[0].parent(), "");
  EXPECT_EQ(devices[0].memory_bytes(), int64_t{80} << 30);
  EXPECT_EQ(devices[0].index(), 0);
  EXPECT_TRUE(devices[0].healthy());
  EXPECT_EQ(devices[0].link_island(), devices[1].link_island());
  EXPECT_NE(devices[0].link_island(), devices[4].link_island());
  EXPECT_FALSE(devices[4].healthy());
  EXPECT_THAT(devices[4].health_reason(), HasSubstr("4 uncorrectable"));
  const v1::Device& slice = devices[2];
  EXPECT_EQ(slice.uuid(), "MIG-fake-100");
  EXPECT_EQ(slice.parent(), "GPU-fake-1");
  EXPECT_EQ(slice.profile(), "3g.40gb");
  EXPECT_EQ(slice.model(), "A100");
  EXPECT_EQ(slice.memory_bytes(), int64_t{40} << 30);
  EXPECT_EQ(slice.index(), 1);
  EXPECT_EQ(devices[3].profile(), "1g.10gb");
  EXPECT_THAT(ReadDevices("libno-such-library.so.9"), IsEmpty());
  EXPECT_THAT(ReadDevices("libz.so.1"), IsEmpty()) << "a library without these functions";
}

// Attempt folders.

TEST_F(PartsTest, AnAttemptFolderIsPrivateAndReadsBack) {
  agent::v1::Assignment assignment = OneRank();
  assignment.set_attempt_token("secret");
  const AttemptFolder attempt(folder_ + "/1-2-0");
  ASSERT_TRUE(attempt.Create(assignment, -1, -1).ok());
  struct stat info {};
  ASSERT_EQ(stat(attempt.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_EQ(stat(attempt.In("assignment.pb").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(attempt.ReadAssignment()->attempt_token(), "secret");
  EXPECT_FALSE(attempt.Create(assignment, -1, -1).ok()) << "an epoch has its folder once";
  EXPECT_FALSE(attempt.Launched());
  EXPECT_FALSE(attempt.Reported().has_value());
  ASSERT_TRUE(attempt.MarkReported(12).ok());
  EXPECT_EQ(attempt.Reported(), 12u);
  EXPECT_TRUE(absl::IsNotFound(attempt.ReadExit().status()));
  EXPECT_EQ(attempt.Supervisor(), -1);
}

TEST_F(PartsTest, ALockWithoutItsProcessIsNoSupervisor) {
  const AttemptFolder attempt(folder_);
  EXPECT_EQ(attempt.Supervisor(), -1);
  const FileDescriptor held = attempt.Seize();
  ASSERT_TRUE(held.valid());
  EXPECT_EQ(attempt.Supervisor(), -1) << "locked, but by nobody who signed";
  EXPECT_FALSE(attempt.Seize().valid()) << "held";
  Append("lock", BootId() + " " + std::to_string(getpid()) + " 12345\n");
  EXPECT_EQ(attempt.Supervisor(), -1) << "a later process of the same number";
  EXPECT_FALSE(attempt.FromEarlierBoot());
  EXPECT_EQ(attempt.DeadSession(), -1) << "the number is in use again";
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/lock", "other-boot 1 1\n").ok());
  EXPECT_TRUE(attempt.FromEarlierBoot());
}

TEST_F(PartsTest, AnExitRecordWhoseRenamingAPowerCutUndidIsFound) {
  const AttemptFolder attempt(folder_);
  ExitReport report;
  report.cause = "USER_ERROR";
  Append("exit.json.new", ExitReportToJson(report));
  Append("lock", BootId() + " 1 1\n");
  EXPECT_FALSE(attempt.ReadExit().ok()) << "of this boot: it may be half written";
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/lock", "other-boot 1 1\n").ok());
  ASSERT_TRUE(attempt.ReadExit().ok());
  EXPECT_EQ(attempt.ReadExit()->cause, "USER_ERROR");
}

TEST_F(PartsTest, OnlyAttemptFoldersAreFound) {
  for (const char* name : {"2-1-0", "1-10-0", "1-9-0", "cache", "1-2", "x-1-0"}) {
    std::filesystem::create_directory(folder_ + "/" + name);
  }
  std::vector<std::string> names;
  for (const FoundAttempt& found : FindAttempts(folder_)) names.push_back(FolderName(found.id));
  EXPECT_THAT(names, ElementsAre("1-9-0", "1-10-0", "2-1-0"));
}

// Loop and pool.

class FakeClock : public Clock {
 public:
  absl::Time Now() const override { return absl::UnixEpoch() + time; }
  absl::Duration Monotonic() const override { return time; }
  absl::Duration time = absl::Seconds(1);
};

TEST(EventLoopTest, TimersRunInOrderOfTimeAndCanBeCancelled) {
  FakeClock clock;
  EventLoop loop(&clock);
  std::string ran;
  loop.After(absl::Seconds(2), [&] { ran += "b"; });
  loop.After(absl::Seconds(1), [&] { ran += "a"; });
  const uint64_t never = loop.After(absl::Seconds(1), [&] { ran += "x"; });
  loop.Cancel(never);
  loop.Cancel(never);
  loop.RunOnce(absl::ZeroDuration());
  EXPECT_EQ(ran, "");
  clock.time += absl::Seconds(5);
  loop.RunOnce(absl::ZeroDuration());
  EXPECT_EQ(ran, "ab");
}

TEST(EventLoopTest, PostedTasksRunInOrderAndStopEndsTheLoop) {
  FakeClock clock;
  EventLoop loop(&clock);
  std::string ran;
  loop.Post([&] {
    ran += "1";
    loop.Post([&] { ran += "3"; });
  });
  loop.Post([&] { ran += "2"; });
  EXPECT_TRUE(loop.RunOnce(absl::ZeroDuration()));
  EXPECT_TRUE(loop.RunOnce(absl::ZeroDuration()));
  EXPECT_EQ(ran, "123");
  loop.Stop();
  EXPECT_FALSE(loop.RunOnce(absl::ZeroDuration()));
}

TEST(EventLoopTest, AReadableDescriptorIsServedUntilUnwatched) {
  FakeClock clock;
  EventLoop loop(&clock);
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  int served = 0;
  loop.Watch(fds[0], [&] {
    if (++served == 2) loop.Unwatch(fds[0]);
  });
  ASSERT_EQ(write(fds[1], "x", 1), 1);
  for (int i = 0; i < 5; ++i) loop.RunOnce(absl::ZeroDuration());
  EXPECT_EQ(served, 2);
  close(fds[0]);
  close(fds[1]);
}

TEST(WorkPoolTest, JobsRunAndThoseThatWaitAreDroppedAtTheEnd) {
  std::atomic<int> ran{0};
  Mutex mutex;
  CondVar changed;
  bool go = false;
  {
    WorkPool pool(1, 100);
    pool.Post([&] {
      MutexLock lock(&mutex);
      while (!go) changed.Wait(&mutex);
      ++ran;
    });
    {
      MutexLock lock(&mutex);
      go = true;
    }
    changed.NotifyAll();
    while (ran == 0) sched_yield();
    EXPECT_TRUE(pool.Post([&] { ++ran; }));
    while (ran == 1) sched_yield();
  }
  EXPECT_EQ(ran, 2);
}

TEST(AddressTest, AForeignSchedulerNeedsACertificate) {
  for (const char* target : {"unix:///x", "127.0.0.1:1", "localhost:1", "[::1]:1"}) {
    EXPECT_TRUE(CheckAddress({target, "", ""}).ok()) << target;
  }
  for (const char* target : {"10.0.0.1:1", "example.com:1", "127.example.com:1", "0.0.0.0:1"}) {
    EXPECT_FALSE(CheckAddress({target, "", ""}).ok()) << target;
    EXPECT_TRUE(CheckAddress({target, "", "/ca.pem"}).ok()) << target;
  }
}

}  // namespace
}  // namespace trainyard::worker
