// Causes, reasons and sentences, by tables of what programs really print.
#include "worker/supervisor/diagnosis.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

namespace trainyard::worker {
namespace {

using testing::HasSubstr;
using testing::Not;

int ExitedWith(int code) { return code << 8; }

LaunchSpec SpecWithArguments() {
  LaunchSpec spec;
  spec.argv = {"python3"};
  spec.node = "node-1";
  spec.env["PATH"] = "/usr/bin:/bin";
  spec.job_dir_argument = "--job-dir=/x/job_dir";
  spec.parameters = {"learning_rate"};
  return spec;
}

Diagnosis End(const std::string& text, int status = ExitedWith(1)) {
  return DiagnoseEnd(SpecWithArguments(), {3, status, false}, text);
}

TEST(DiagnosisTest, RefusedArgumentsAreNamedWithTheWayOut) {
  struct Case {
    const char* text;
    const char* argument;
    const char* fix;
  };
  const Case cases[] = {
      {"usage: task.py [-h]\ntask.py: error: unrecognized arguments: --job-dir=/x/job_dir\n",
       "--job-dir=/x/job_dir", "Leave --job-dir (jobDir in a spec) out"},
      {"task.py: error: unrecognized arguments: --learning_rate=0.1\n", "--learning_rate=0.1",
       "parameter of the study"},
      {"task.py: error: unrecognized arguments: --foo bar\n", "--foo bar", "after \"--\""},
      {"FATAL Flags parsing error: Unknown command line flag 'job-dir'. Did you mean: x\n",
       "--job-dir", "Leave --job-dir"},
      {"ERROR: unknown command line flag 'learning_rate'\n", "--learning_rate",
       "parameter of the study"},
      {"Usage: t [OPTIONS]\nTry 't --help'\n\nError: No such option: --job-dir\n", "--job-dir",
       "Leave --job-dir"},
      {"prog: unrecognized option '--job-dir=/x/job_dir'\n", "--job-dir=/x/job_dir",
       "Leave --job-dir"},
      {"The following argument was not expected: --job-dir=/x\nRun with --help\n", "--job-dir=/x",
       "Leave --job-dir"},
  };
  for (const Case& one : cases) {
    const Diagnosis diagnosis = End(one.text, ExitedWith(2));
    EXPECT_EQ(diagnosis.cause, "USER_ERROR") << one.text;
    EXPECT_EQ(diagnosis.reason, "ARGUMENT_REFUSED") << one.text;
    EXPECT_THAT(diagnosis.message, HasSubstr(one.argument));
    EXPECT_THAT(diagnosis.message, HasSubstr(one.fix));
    EXPECT_THAT(diagnosis.message, HasSubstr("Rank 3 exited with code 2"));
  }
}

TEST(DiagnosisTest, AnExceptionIsToldWithItsTypeAndAllItsLines) {
  const std::string traceback =
      "epoch 1\nTraceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n"
      "    raise ValueError(shape)\n";
  EXPECT_THAT(End(traceback + "ValueError: bad shape (3,4)\nexpected (4,3)\n").message,
              HasSubstr("exited with code 1: ValueError: bad shape (3,4) expected (4,3)"));
  EXPECT_THAT(End(traceback + "KeyError: 'x'\n").message, HasSubstr("code 1: KeyError: 'x'"));
  EXPECT_THAT(End(traceback).message, HasSubstr("raise ValueError(shape)"));
  EXPECT_THAT(End("one\ntwo\n").message, HasSubstr("code 1: two"));
}

TEST(DiagnosisTest, WithoutOurJobDirTheUsersOwnIsNotBlamedOnUs) {
  LaunchSpec spec = SpecWithArguments();
  spec.job_dir_argument.clear();
  const Diagnosis diagnosis = DiagnoseEnd(spec, {0, ExitedWith(2), false},
                                          "t: error: unrecognized arguments: --job-dir=/mine\n");
  EXPECT_THAT(diagnosis.message, HasSubstr("after \"--\""));
}

TEST(DiagnosisTest, MissingModulesAreNamed) {
  for (const char* text :
       {"Traceback (most recent call last):\nModuleNotFoundError: No module named 'torch'\n",
        "/usr/bin/python3: No module named torch\n",
        "/usr/bin/python3: Error while finding module specification for 'torch.x' "
        "(ModuleNotFoundError: No module named 'torch')\n"}) {
    const Diagnosis diagnosis = End(text);
    EXPECT_EQ(diagnosis.reason, "MODULE_NOT_FOUND") << text;
    EXPECT_THAT(diagnosis.message, HasSubstr("no module named torch."));
  }
}

TEST(DiagnosisTest, FoldersThatCannotBeWrittenAreNamed) {
  for (const char* text :
       {"  os.makedirs('/srv/models')\nPermissionError: [Errno 13] Permission denied: "
        "'/srv/models'\n",
        "  f = open(path, 'wb')\nPermissionError: [Errno 13] Permission denied: '/srv/models'\n",
        "OSError: [Errno 30] Read-only file system: '/srv/models'\n"}) {
    const Diagnosis diagnosis = End(text);
    EXPECT_EQ(diagnosis.reason, "OUTPUT_NOT_WRITABLE") << text;
    EXPECT_THAT(diagnosis.message,
                HasSubstr("may not write to /srv/models. Write below AIP_MODEL"));
  }
  const Diagnosis read =
      End("  open('/etc/shadow')\nPermissionError: Permission denied: '/etc/shadow'\n");
  EXPECT_EQ(read.reason, "PROGRAM_FAILED");
}

TEST(DiagnosisTest, AHangIsNamedAsTheRanksSaidIt) {
  const auto diagnosis =
      End("error: hang: rank 1 (stopped by a signal) on node a has not come to "
          "barrier for 5.0 s, since 12:00:05 UTC\n");
  EXPECT_EQ(diagnosis.cause, "HANG");
  EXPECT_THAT(diagnosis.message, HasSubstr("rank 1 (stopped by a signal) on node a"));
}

TEST(DiagnosisTest, MemoryIsToldApartByWhereItWasShort) {
  EXPECT_EQ(End("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate\n").cause,
            "OOM_DEVICE");
  EXPECT_EQ(End("numpy...\nMemoryError\n").cause, "OOM_HOST");
  EXPECT_EQ(End("terminate called\n  what():  std::bad_alloc\n").cause, "OOM_HOST");
  EXPECT_EQ(End("CUDA error: uncorrectable ECC error encountered\n").cause, "DEVICE_FAULT");
  const Diagnosis killed = DiagnoseEnd(SpecWithArguments(), {0, SIGKILL, true}, "");
  EXPECT_EQ(killed.cause, "OOM_HOST");
  EXPECT_THAT(killed.message, HasSubstr("ran out of memory"));
}

TEST(DiagnosisTest, OtherwiseTheLastLineSpeaks) {
  const Diagnosis diagnosis = End("Traceback:\n  File x\nValueError: bad shape\n\n  \n");
  EXPECT_EQ(diagnosis.cause, "USER_ERROR");
  EXPECT_EQ(diagnosis.reason, "PROGRAM_FAILED");
  EXPECT_EQ(diagnosis.message, "Rank 3 exited with code 1: ValueError: bad shape");
  EXPECT_THAT(End("").message, HasSubstr("wrote nothing to standard error"));
  EXPECT_THAT(End("", SIGSEGV).message, HasSubstr("was killed by SIGSEGV"));
}

TEST(DiagnosisTest, WhatAProgramSurvivedIsNoCause) {
  const std::string early = "ModuleNotFoundError: No module named 'optional'\n";
  const Diagnosis diagnosis = End(early + std::string(4000, '.') + "\nreal fault\n");
  EXPECT_EQ(diagnosis.reason, "PROGRAM_FAILED");
  EXPECT_THAT(diagnosis.message, HasSubstr("real fault"));
}

TEST(DiagnosisTest, OnlyWhatEndedTheProgramIsItsCause) {
  const std::string traceback =
      "Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    f()\n";
  const std::string own = traceback + "ValueError: the data has no column\n";
  EXPECT_EQ(End("CUDA out of memory, halving the batch\n" + own).cause, "USER_ERROR");
  EXPECT_EQ(End("GPU 3: uncorrectable ECC error, skipped\n" + own).cause, "USER_ERROR");
  EXPECT_EQ(End("hang: in there\nreal fault\n").cause, "USER_ERROR") << "a user's own words";
  // A traceback that was logged, and much later the end.
  std::string log;
  for (int i = 0; i < 40; ++i) log += "step " + std::to_string(i) + "\n";
  EXPECT_EQ(End(traceback + "MemoryError\n" + log + "fatal: no data\n").cause, "USER_ERROR");
  EXPECT_EQ(End(log + traceback + "torch.cuda.OutOfMemoryError: CUDA out of memory\n").cause,
            "OOM_DEVICE");
  // Frames of the C++ side follow its exception.
  EXPECT_EQ(
      End("terminate called after throwing an instance of 'c10::Error'\n  what():  CUDA out of "
          "memory\n" +
          log)
          .cause,
      "OOM_DEVICE");
}

TEST(DiagnosisTest, LongLinesAreCut) {
  EXPECT_LT(End(std::string(2000, 'x')).message.size(), 400u);
}

TEST(DiagnosisTest, AProgramThatIsNowhereNamesThePathThatWasSearched) {
  const Diagnosis diagnosis = DiagnoseStart(SpecWithArguments(), "find", "trainer", ENOENT);
  EXPECT_EQ(diagnosis.cause, "LAUNCH");
  EXPECT_THAT(diagnosis.message, HasSubstr("\"trainer\""));
  EXPECT_THAT(diagnosis.message, HasSubstr("node node-1"));
  EXPECT_THAT(diagnosis.message, HasSubstr("/usr/bin:/bin"));
}

TEST(DiagnosisTest, AProgramThatCannotStartSaysHowToMendIt) {
  const std::pair<int, const char*> cases[] = {
      {ENOENT, "no such file"}, {EACCES, "chmod +x"}, {ENOEXEC, "#!"}, {ENOMEM, "log"}};
  for (const auto& [error, hint] : cases) {
    const Diagnosis diagnosis = DiagnoseStart(SpecWithArguments(), "exec", "/x/run.py", error);
    EXPECT_EQ(diagnosis.cause, "LAUNCH");
    EXPECT_THAT(diagnosis.message, HasSubstr("/x/run.py"));
    EXPECT_THAT(diagnosis.message, HasSubstr(hint));
  }
  EXPECT_EQ(DiagnoseStart(SpecWithArguments(), "chdir", "/x", ENOENT).cause, "INTERNAL");
}

TEST(DiagnosisTest, WhatWeKnowOfTheRankGoesBeforeItsWords) {
  RankEnd end{3, ExitedWith(1)};
  end.victim = "its process 17 (loader)";
  Diagnosis diagnosis = DiagnoseEnd(SpecWithArguments(), end, "RuntimeError: a worker was killed");
  EXPECT_EQ(diagnosis.cause, "OOM_HOST");
  EXPECT_THAT(diagnosis.message, HasSubstr("Rank 3 exited with code 1 after its process 17"));
  EXPECT_THAT(diagnosis.message, HasSubstr("Ask for more memory"));
  end = {3, SIGKILL};
  end.still = "(process 17 on node n1) is stopped by a signal";
  diagnosis = DiagnoseEnd(SpecWithArguments(), end, "step 1\n");
  EXPECT_EQ(diagnosis.cause, "HANG");
  EXPECT_THAT(diagnosis.message, HasSubstr("Rank 3 (process 17 on node n1) is stopped"));
}

TEST(DiagnosisTest, EachStopHasItsCause) {
  LaunchSpec spec = SpecWithArguments();
  spec.timeout_ms = 90000;
  const std::pair<const char*, const char*> cases[] = {
      {"STOP_CANCEL", "CANCELLED_CAUSE"},      {"STOP_PREEMPT", "PREEMPTED_CAUSE"},
      {"STOP_PAUSE", "PREEMPTED_CAUSE"},       {"STOP_TIMEOUT", "TIMED_OUT"},
      {"STOP_EARLY", "STOPPED_EARLY"},         {"STOP_STALE", "NODE_LOST"},
      {"STOP_PEER_FAILED", "CANCELLED_CAUSE"}, {kNodeStops, "PREEMPTED_CAUSE"}};
  for (const auto& [stop, cause] : cases) {
    EXPECT_EQ(DiagnoseStop(spec, stop).cause, cause) << stop;
    EXPECT_FALSE(DiagnoseStop(spec, stop).message.empty());
  }
  EXPECT_THAT(DiagnoseStop(spec, "STOP_TIMEOUT").message, HasSubstr("90 s"));
}

TEST(DiagnosisTest, ALauncherThatFailsAloneIsALaunchFailure) {
  const Diagnosis diagnosis = DiagnoseLauncher(SpecWithArguments(), ExitedWith(1),
                                               "A request was made to bind\nno slots left\n");
  EXPECT_EQ(diagnosis.cause, "LAUNCH");
  EXPECT_THAT(diagnosis.message, HasSubstr("no slots left"));
}

}  // namespace
}  // namespace trainyard::worker
