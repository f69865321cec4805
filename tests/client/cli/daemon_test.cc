// Daemons as processes: found again by pid and start time, stopped in order, their end told.
#include "client/cli/daemon.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"

namespace trainyard::cli {
namespace {

class DaemonTest : public testing::Test {
 protected:
  DaemonTest() {
    std::string path = "/tmp/trainyard-daemon-XXXXXX";
    folder_ = mkdtemp(path.data());
    spec_.pid_file = folder_ + "/d.pid";
    spec_.log_file = folder_ + "/d.log";
  }
  ~DaemonTest() override { (void)RemoveTree(folder_); }
  // `script` runs in a shell that is the daemon.
  pid_t Start(const std::string& script) {
    spec_.program = "/bin/sh";
    spec_.arguments = {"-c", script};
    return *StartDaemon(spec_);
  }
  static std::string WaitForEnd(pid_t pid) {
    std::string how;
    while ((how = HowItEnded(pid)).empty()) absl::SleepFor(absl::Milliseconds(2));
    return how;
  }
  void AwaitLog(const std::string& text) {
    while (LastOfLog(spec_.log_file, 100) != text) absl::SleepFor(absl::Milliseconds(2));
  }
  std::string folder_;
  DaemonSpec spec_;
};

TEST_F(DaemonTest, LivesInASessionOfItsOwnAndIsFoundAgain) {
  const pid_t pid = Start("echo started; echo trouble >&2; exec sleep 1000");
  EXPECT_EQ(LivingPid(spec_.pid_file), pid);
  AwaitLog("started\ntrouble");
  EXPECT_EQ(getsid(pid), pid);
  // Stopping needs somebody to reap it: here the parent, elsewhere init.
  kill(pid, SIGTERM);
  EXPECT_EQ(WaitForEnd(pid), "signal 15");
  EXPECT_EQ(LivingPid(spec_.pid_file), 0);
  EXPECT_TRUE(StopDaemon(spec_.pid_file, absl::Seconds(10)).ok());
}

TEST_F(DaemonTest, OutputGoesToTheLogAndTheEndIsTold) {
  const pid_t pid = Start("echo one; echo two >&2; exit 7");
  EXPECT_EQ(WaitForEnd(pid), "exit code 7");
  EXPECT_EQ(LastOfLog(spec_.log_file, 1000), "one\ntwo");
  EXPECT_EQ(LastOfLog(spec_.log_file, 4), "two");
  EXPECT_EQ(LastOfLog(spec_.log_file, 1000, 4), "two") << "not what an earlier run wrote";
  EXPECT_EQ(LastOfLog(spec_.log_file, 1000, 400), "");
}

TEST_F(DaemonTest, NumberUsedAgainIsNotTakenForOurs) {
  ASSERT_TRUE(WriteFileAtomically(spec_.pid_file, absl::StrCat(getpid(), " 12345\n")).ok());
  EXPECT_EQ(LivingPid(spec_.pid_file), 0);
  // And it is not stopped either: this very process lives on.
  EXPECT_TRUE(StopDaemon(spec_.pid_file, absl::Seconds(1)).ok());
  for (const char* text : {"", "x", "1 1", "-5 3", "99999999 7"}) {
    ASSERT_TRUE(WriteFileAtomically(spec_.pid_file, text).ok());
    EXPECT_EQ(LivingPid(spec_.pid_file), 0) << text;
  }
}

TEST_F(DaemonTest, OneThatDoesNotStopIsSaid) {
  const pid_t pid = Start("trap '' TERM; echo ready; while true; do sleep 1000; done");
  AwaitLog("ready");
  const absl::Status status = StopDaemon(spec_.pid_file, absl::Milliseconds(100));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  kill(-pid, SIGKILL);
  EXPECT_EQ(WaitForEnd(pid), "signal 9");
}

TEST_F(DaemonTest, AbsentProgramIsNotFound) {
  spec_.program = "/nowhere/trainyard-scheduler";
  EXPECT_EQ(StartDaemon(spec_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace trainyard::cli
