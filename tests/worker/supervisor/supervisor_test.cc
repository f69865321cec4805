// The real supervisor on real programs: exit records, stops, mpirun, no orphans.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>

#include "worker/core/launch_spec.h"
#include "worker/supervisor/files.h"

namespace trainyard::worker {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

void Pause() {
  const timespec pause{0, 5000000};
  nanosleep(&pause, nullptr);
}

class SupervisorTest : public testing::Test {
 protected:
  SupervisorTest() {
    char name[] = "/tmp/trainyard-supervisor-test-XXXXXX";
    folder_ = mkdtemp(name);
    for (const char* part : {"work", "log", "checkpoints", "hypertune"}) {
      std::filesystem::create_directory(folder_ + "/" + part);
    }
    spec_.env = {{"PATH", "/usr/bin:/bin"}, {"ATTEMPT", folder_}};
    spec_.ranks = {{0, 0, {{"RANK", "0"}}}};
    spec_.node = "node-1";
    spec_.rank_shim = std::string(TRAINYARD_TEST_BIN) + "/trainyard-rank";
    spec_.grace_ms = 10000;
  }
  ~SupervisorTest() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  void Program(const std::string& script, int ranks = 1) {
    spec_.argv = {"/bin/sh", "-c", script};
    spec_.ranks.clear();
    for (int r = 0; r < ranks; ++r) spec_.ranks.push_back({r, r, {{"RANK", std::to_string(r)}}});
  }
  void Start() {
    const std::string text = LaunchSpecToJson(spec_);
    const int fd = open(Path("launch.json").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(WriteFully(fd, text));
    close(fd);
    std::string binary = std::string(TRAINYARD_TEST_BIN) + "/trainyard-supervisor";
    char* const argv[] = {binary.data(), folder_.data(), nullptr};
    char* const envp[] = {nullptr};
    ASSERT_EQ(posix_spawn(&pid_, binary.c_str(), nullptr, nullptr, argv, envp), 0);
  }
  int WaitForEnd() {
    int status = -1;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  ExitReport RunToEnd() {
    Start();
    EXPECT_EQ(WaitForEnd(), 0);
    return Report();
  }
  ExitReport Report() {
    ExitReport report;
    std::string error;
    EXPECT_TRUE(ExitReportFromJson(Text("exit.json"), &report, &error)) << error;
    return report;
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string Text(const std::string& name) const {
    std::string text;
    return ReadWhole(Path(name), 1 << 20, &text) ? text : "";
  }
  // Waits until the file holds `part`.
  bool WaitForText(const std::string& name, const std::string& part) {
    for (int i = 0; i < 6000; ++i) {
      if (Text(name).find(part) != std::string::npos) return true;
      Pause();
    }
    return false;
  }
  std::string Ask(const std::string& socket_name, const std::string& line) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = Path(socket_name);
    memcpy(address.sun_path, path.data(), path.size());
    std::string answer;
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      WriteFully(fd, line + "\n");
      char byte = 0;
      while (read(fd, &byte, 1) == 1 && byte != '\n') answer += byte;
    }
    close(fd);
    return answer;
  }
  // Processes that carry this folder in their environment, without the supervisor.
  int Left() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::string environment;
      ReadWhole(entry.path().string() + "/environ", 1 << 20, &environment);
      if (environment.find("ATTEMPT=" + folder_) != std::string::npos) ++count;
    }
    return count;
  }

  std::string folder_;
  LaunchSpec spec_;
  pid_t pid_ = -1;
};

TEST_F(SupervisorTest, ASuccessLeavesARecordWithoutCause) {
  Program("echo out; echo err >&2");
  const ExitReport report = RunToEnd();
  EXPECT_EQ(report.cause, "");
  EXPECT_EQ(report.node, "node-1");
  EXPECT_GE(report.end_us, report.start_us);
  EXPECT_EQ(Text("log/rank-0.out"), "out\n");
  EXPECT_EQ(Text("log/rank-0.err"), "err\n");
  EXPECT_THAT(Text("events.jsonl"), HasSubstr("\"running\""));
}

TEST_F(SupervisorTest, AFolderRunsOnceOnly) {
  Program("echo x >> $ATTEMPT/ran");
  RunToEnd();
  Start();
  EXPECT_EQ(WaitForEnd(), 75);
  EXPECT_EQ(Text("ran"), "x\n");
}

TEST_F(SupervisorTest, ASecondSupervisorGivesUp) {
  Program("echo up; sleep 1000");
  Start();
  ASSERT_TRUE(WaitForText("log/rank-0.out", "up"));
  const pid_t first = pid_;
  Start();
  EXPECT_EQ(WaitForEnd(), 75);
  EXPECT_EQ(kill(first, SIGTERM), 0);
  pid_ = first;
  EXPECT_EQ(WaitForEnd(), 0);
  EXPECT_EQ(Report().cause, "PREEMPTED_CAUSE");
}

// A machine that goes down tells every process, the ranks sometimes first.
TEST_F(SupervisorTest, AShutdownOfTheNodeIsNoFaultOfTheProgram) {
  Program("echo up; sleep 1000");
  Start();
  ASSERT_TRUE(WaitForText("log/rank-0.out", "up"));
  EXPECT_EQ(kill(pid_, SIGTERM), 0);
  EXPECT_EQ(WaitForEnd(), 0);
  EXPECT_EQ(Report().cause, "PREEMPTED_CAUSE");
  EXPECT_THAT(Report().message, HasSubstr("shut down"));
}

TEST_F(SupervisorTest, ABrokenLaunchFileIsARecordToo) {
  spec_.argv.clear();
  const ExitReport report = RunToEnd();
  EXPECT_EQ(report.cause, "INTERNAL");
  EXPECT_THAT(report.message, HasSubstr("no program"));
}

TEST_F(SupervisorTest, TheFirstRankToFailIsNamedNotItsEchoes) {
  Program("if [ $RANK = 2 ]; then echo mine >&2; exit 9; fi; sleep 1000", 4);
  const ExitReport report = RunToEnd();
  EXPECT_EQ(report.rank, 2);
  EXPECT_EQ(report.exit_code, 9);
  EXPECT_EQ(report.stderr_tail, "mine\n");
  EXPECT_EQ(Left(), 0);
}

TEST_F(SupervisorTest, TheFirstRankToFailIsNamedUnderMpirunToo) {
  spec_.launcher = "mpirun";
  Program("if [ $RANK = 1 ]; then echo mine >&2; kill -SEGV $$; fi; sleep 1000", 2);
  const ExitReport report = RunToEnd();
  EXPECT_EQ(report.rank, 1);
  EXPECT_EQ(report.signal, SIGSEGV);
  EXPECT_EQ(report.stderr_tail, "mine\n");
  EXPECT_EQ(Left(), 0);
}

TEST_F(SupervisorTest, MpirunRanksSeeTheirTableAndNotOurInnards) {
  spec_.launcher = "mpirun";
  Program("echo $RANK $WORLD_SIZE $EXTRA [$TRAINYARD_ATTEMPT_DIR]", 2);
  spec_.ranks[1].env["EXTRA"] = "only one";
  EXPECT_EQ(RunToEnd().cause, "");
  EXPECT_EQ(Text("log/rank-0.out"), "0 2 []\n");
  EXPECT_EQ(Text("log/rank-1.out"), "1 2 only one []\n");
}

TEST_F(SupervisorTest, AProgramThatMpirunCannotStartIsNamed) {
  spec_.launcher = "mpirun";
  Program("true", 2);
  spec_.argv[0] = "no-such-program";
  EXPECT_EQ(RunToEnd().cause, "LAUNCH");
  EXPECT_THAT(Report().message, HasSubstr("no-such-program"));
}

TEST_F(SupervisorTest, AMissingMpirunIsNamed) {
  spec_.launcher = "mpirun";
  spec_.mpirun = "no-such-mpirun";
  Program("true", 2);
  EXPECT_EQ(RunToEnd().cause, "LAUNCH");
  EXPECT_THAT(Report().message, HasSubstr("no-such-mpirun"));
}

TEST_F(SupervisorTest, WhatAProgramLeavesBehindIsGone) {
  Program("setsid sleep 1000 & nohup sleep 1000 & (sleep 1000 &) & exit 0");
  EXPECT_EQ(RunToEnd().cause, "");
  EXPECT_EQ(Left(), 0);
}

TEST_F(SupervisorTest, AStopReachesTheProgramAndKeepsItsReason) {
  Program("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done");
  Start();
  ASSERT_TRUE(WaitForText("log/rank-0.out", "up"));
  EXPECT_EQ(Ask("reporter.sock", R"({"report":{"step":1,"metrics":{"a":1}}})"),
            R"({"ok":true,"should_stop":false})");
  EXPECT_EQ(Ask("control.sock", R"({"stop":{"reason":"STOP_PREEMPT"}})"), R"({"ok":true})");
  EXPECT_EQ(WaitForEnd(), 0);
  const ExitReport report = Report();
  EXPECT_EQ(report.cause, "PREEMPTED_CAUSE");
  EXPECT_EQ(report.stop, "STOP_PREEMPT");
  EXPECT_THAT(report.metrics_seen, ElementsAre("a"));
  EXPECT_EQ(report.last_step, 1);
  EXPECT_THAT(Text("log/rank-0.out"), HasSubstr("bye"));
}

TEST_F(SupervisorTest, AnEarlyStopLeavesTheEndToAProgramThatAsks) {
  Program(
      "trap 'echo signalled; exit 1' TERM; echo up; "
      "while [ ! -e $ATTEMPT/go ]; do sleep 0.02; done; echo finished");
  Start();
  ASSERT_TRUE(WaitForText("log/rank-0.out", "up"));
  EXPECT_EQ(Ask("reporter.sock", R"({"should_stop":true})"), R"({"should_stop":false})");
  Ask("control.sock", R"({"stop":{"reason":"STOP_EARLY","grace_ms":60000}})");
  EXPECT_EQ(Ask("reporter.sock", R"({"should_stop":true})"), R"({"should_stop":true})");
  std::filesystem::create_directory(Path("go"));
  EXPECT_EQ(WaitForEnd(), 0);
  EXPECT_EQ(Report().cause, "STOPPED_EARLY");
  EXPECT_THAT(Text("log/rank-0.out"), HasSubstr("finished"));
}

TEST_F(SupervisorTest, AnEarlyStopSignalsAProgramThatNeverAsks) {
  Program("trap 'echo signalled; exit 0' TERM; echo up; while :; do sleep 0.02; done");
  Start();
  ASSERT_TRUE(WaitForText("log/rank-0.out", "up"));
  Ask("control.sock", R"({"stop":{"reason":"STOP_EARLY","grace_ms":60000}})");
  EXPECT_EQ(WaitForEnd(), 0);
  EXPECT_EQ(Report().cause, "STOPPED_EARLY");
  EXPECT_THAT(Text("log/rank-0.out"), HasSubstr("signalled"));
}

TEST_F(SupervisorTest, AProgramThatResistsIsKilledUnderMpirunToo) {
  spec_.launcher = "mpirun";
  spec_.grace_ms = 100;
  Program("trap '' TERM; echo up; while :; do sleep 0.02; done", 2);
  Start();
  ASSERT_TRUE(WaitForText("log/rank-0.out", "up"));
  ASSERT_TRUE(WaitForText("log/rank-1.out", "up"));
  Ask("control.sock", R"({"stop":{"reason":"STOP_CANCEL"}})");
  EXPECT_EQ(WaitForEnd(), 0);
  EXPECT_EQ(Report().cause, "CANCELLED_CAUSE");
  EXPECT_EQ(Left(), 0);
}

TEST_F(SupervisorTest, AFailureBeforeTheStopIsNotHiddenByIt) {
  // Rank 1 is told to end because rank 0 has failed; only then comes the stop.
  Program(
      "if [ $RANK = 0 ]; then until grep -q up ../log/rank-1.out; do sleep 0.02; done; exit 5; fi; "
      "trap 'echo told' TERM; echo up; while :; do sleep 0.02; done",
      2);
  spec_.grace_ms = 2000;
  Start();
  ASSERT_TRUE(WaitForText("log/rank-1.out", "told"));
  Ask("control.sock", R"({"stop":{"reason":"STOP_CANCEL"}})");
  EXPECT_EQ(WaitForEnd(), 0);
  EXPECT_EQ(Report().cause, "USER_ERROR");
  EXPECT_EQ(Report().exit_code, 5);
}

TEST_F(SupervisorTest, ALeaseThatRunsOutStopsTheProgram) {
  spec_.lease_ms = 100;
  Program("sleep 1000");
  EXPECT_EQ(RunToEnd().cause, "NODE_LOST");
}

TEST_F(SupervisorTest, ALeaseThatIsRenewedDoesNot) {
  spec_.lease_ms = 3000;
  Program("echo up; sleep 4; echo through");
  Start();
  ASSERT_TRUE(WaitForText("log/rank-0.out", "up"));
  EXPECT_EQ(Ask("control.sock", R"({"lease":{"ms":600000}})"), R"({"ok":true})");
  EXPECT_EQ(WaitForEnd(), 0);
  EXPECT_EQ(Report().cause, "");
}

TEST_F(SupervisorTest, ARankThatStandsStillIsNamedWhereALimitIsSet) {
  spec_.env["TRAINYARD_HANG_TIMEOUT"] = "0.5";
  Program("echo $$ > $ATTEMPT/pid.$RANK; [ $RANK = 1 ] && kill -STOP $$; while :; do :; done", 2);
  const ExitReport report = RunToEnd();
  EXPECT_EQ(report.cause, "HANG");
  EXPECT_EQ(report.rank, 1);
  EXPECT_EQ(report.node, "node-1");
  const std::string pid = Text("pid.1").substr(0, Text("pid.1").find('\n'));
  EXPECT_THAT(report.message, HasSubstr("Rank 1 (process " + pid + " on node node-1) is stopped"));
  EXPECT_THAT(report.message, HasSubstr("no processor time since "));
}

TEST_F(SupervisorTest, WithoutALimitARankMayStandStill) {
  Program("sleep 3");
  const ExitReport report = RunToEnd();
  EXPECT_EQ(report.cause, "") << report.message;
}

TEST_F(SupervisorTest, TheMetricFileIsAccumulatedThoughItIsRewritten) {
  spec_.metric_file = Path("hypertune/output.metrics");
  Program(
      "for i in 1 2 3; do echo '{\"timestamp\": '$i', \"acc\": \"0.'$i'\", "
      "\"global_step\": \"'$i'\"}' > $ATTEMPT/hypertune/output.metrics; "
      "n=0; while [ $(grep -c . $ATTEMPT/metrics.jsonl) -lt $i ] && [ $n -lt 1000 ]; "
      "do n=$((n+1)); sleep 0.01; done; done");
  const ExitReport report = RunToEnd();
  EXPECT_EQ(report.cause, "");
  EXPECT_EQ(report.last_step, 3);
  const std::string metrics = Text("metrics.jsonl");
  EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), 3);
}

TEST_F(SupervisorTest, ALongFolderNameStillHasAReachableSocket) {
  const std::string longer = folder_ + "/" + std::string(120, 'n');
  std::filesystem::create_directory(longer);
  for (const char* part : {"work", "log", "checkpoints"}) {
    std::filesystem::create_directory(longer + "/" + part);
  }
  const std::string old = folder_;
  folder_ = longer;
  spec_.argv = {"/usr/bin/python3", "-c",
                "import os, socket\n"
                "s = socket.socket(socket.AF_UNIX)\n"
                "s.connect(os.environ['TRAINYARD_SOCKET'])\n"
                "s.sendall(b'{\"should_stop\": true}\\n')\n"
                "print(s.recv(100).decode())\n"};
  EXPECT_EQ(RunToEnd().cause, "") << Text("log/rank-0.err");
  EXPECT_THAT(Text("log/rank-0.out"), HasSubstr("should_stop"));
  folder_ = old;
}

}  // namespace
}  // namespace trainyard::worker
