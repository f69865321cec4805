// `run` and `jobs submit training`: from what lies on the disk to what is submitted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/file.h"
#include "tests/client/cli/test_console.h"

namespace trainyard::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

class RunTest : public testing::Test {
 protected:
  RunTest() : before_(std::filesystem::current_path()) {
    std::filesystem::create_directories(server_.folder() + "/proj/trainer");
    std::filesystem::current_path(server_.folder() + "/proj");
    Write("trainer/__init__.py");
    Write("trainer/task.py");
  }
  ~RunTest() override { std::filesystem::current_path(before_); }
  static void Write(const std::string& name) {
    ASSERT_TRUE(WriteFileAtomically(name, "print(1)\n").ok());
  }
  Result Run(const std::vector<std::string>& words) { return RunAgainst(server_, words); }

  client::FakeServer server_;
  std::filesystem::path before_;
};

TEST_F(RunTest, ExecutableIsUsedAsItLies) {
  const Result result = Run({"run", "-d", "-q", "/bin/true", "--x", "-d"});
  ASSERT_EQ(result.code, 0) << result.err;
  const v1::SubmitJobRequest request = server_.submits().at(0);
  EXPECT_THAT(request.spec().program().command(), ElementsAre("/bin/true"));
  EXPECT_THAT(request.spec().program().args(), ElementsAre("--x", "-d"));
  EXPECT_EQ(request.spec().program().packages_size(), 0);
  EXPECT_EQ(request.spec().scale_tier(), "BASIC");
  EXPECT_THAT(request.job_id(), MatchesRegex("true_[0-9a-f]{6}"));
  EXPECT_EQ(result.out, request.job_id() + "\n");
  EXPECT_EQ(server_.calls("GetUploadGrant"), 0);
}

TEST_F(RunTest, NameOnPathBecomesItsPath) {
  ASSERT_EQ(Run({"run", "-d", "--name", "n", "--", "sh", "-c", "exit 0"}).code, 0);
  const v1::SubmitJobRequest request = server_.submits().at(0);
  EXPECT_EQ(request.job_id(), "n");
  EXPECT_THAT(request.spec().program().command(0), MatchesRegex(".*/sh"));
  EXPECT_THAT(request.spec().program().args(), ElementsAre("-c", "exit 0"));
}

TEST_F(RunTest, UnknownProgramsNameTheNearest) {
  Write("train.py");
  const Result result = Run({"run", "trian.py"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("did you mean \"train.py\"?"));
  EXPECT_EQ(Run({"run", "trainer"}).code, 4);
  EXPECT_THAT(Run({"run", "trainer"}).err, HasSubstr("no __main__.py"));
  EXPECT_EQ(Run({"run"}).code, 2);
  Write("data.txt");
  EXPECT_THAT(Run({"run", "./data.txt"}).err, HasSubstr("chmod +x ./data.txt"));
  EXPECT_TRUE(server_.submits().empty());
}

TEST_F(RunTest, InterpreterBringsTheFolderOfItsScript) {
  server_.SetGrant({});
  Write("trainer/steps.sh");
  const Result missing = Run({"run", "-d", "python3", "trainer/tsk.py"});
  EXPECT_EQ(missing.code, 4);
  EXPECT_THAT(missing.err, HasSubstr("did you mean \"trainer/task.py\"?"));
  ASSERT_EQ(Run({"run", "-d", "--name", "code", "python3", "-c", "print(1)"}).code, 0);
  EXPECT_THAT(server_.submits().at(0).spec().program().args(), ElementsAre("-c", "print(1)"));
  // There is no store to send the folder to; that it is asked for shows that it goes along.
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"run", "-d", "python3", "-u", "trainer/task.py", "--lr", "0.1"},
           {"run", "-d", "python3", "-m", "trainer.task", "--lr", "0.1"},
           {"run", "-d", "bash", "-e", "trainer/steps.sh"}}) {
    const int before = server_.calls("GetUploadGrant");
    Run(words);
    EXPECT_EQ(server_.calls("GetUploadGrant"), before + 1) << words[2];
  }
}

TEST_F(RunTest, ScriptOfAPackageIsToldTheModule) {
  ASSERT_TRUE(WriteFileAtomically("trainer/task.py", "import os\nfrom . import model\n").ok());
  const Result result = Run({"run", "trainer/task.py"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("line 2: from . import model"));
  EXPECT_THAT(result.err, HasSubstr("fix: run it as a module: trainyard run trainer.task\n"));
  EXPECT_THAT(Run({"run", "python3", "trainer/task.py"}).err,
              HasSubstr("run it as a module: trainyard run trainer.task"));
  EXPECT_TRUE(server_.submits().empty());
}

TEST_F(RunTest, FileThatNothingStartsIsToldWhatRunsIt) {
  Write("steps.sh");
  ASSERT_EQ(chmod("steps.sh", 0755), 0);
  EXPECT_THAT(Run({"run", "steps.sh"}).err,
              HasSubstr("trainyard run bash steps.sh; or begin it with #!/usr/bin/env bash"));
  ASSERT_TRUE(WriteFileAtomically("tool", "#!/bin/sh\n", 0644).ok());
  EXPECT_THAT(Run({"run", "./tool"}).err, HasSubstr("chmod +x ./tool"));
  EXPECT_TRUE(server_.submits().empty());
}

TEST_F(RunTest, FollowedJobPrintsItsStreamsApartAndItsVerdict) {
  v1::LogLine out;
  out.set_text("hello");
  out.set_cursor("1");
  v1::LogLine err;
  err.set_text("oops");
  err.set_cursor("2");
  err.set_is_stderr(true);
  server_.PutLog("projects/default/jobs/n", {out, err});
  server_.ScriptStates("projects/default/jobs/n", {v1::RUNNING, v1::FAILED});
  const Result result = Run({"run", "--name", "n", "/bin/false"});
  EXPECT_EQ(result.code, 8);
  EXPECT_EQ(result.out, "hello\n");
  EXPECT_THAT(result.err, HasSubstr("oops\n"));
  EXPECT_THAT(result.err, HasSubstr("n ended as FAILED"));
}

TEST_F(RunTest, ModuleThatIsNotThereIsToldBeforeAnythingIsSent) {
  const Result result = Run({"jobs", "submit", "training", "iris_1", "--module-name", "trainer.tsk",
                             "--package-path", "trainer"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("did you mean --module-name trainer.task?"));
  EXPECT_EQ(server_.calls("GetUploadGrant"), 0);
  EXPECT_THAT(Run({"jobs", "submit", "training", "a", "--module-name", "trainer.task"}).err,
              HasSubstr("--package-path FOLDER"));
  EXPECT_THAT(Run({"jobs", "submit", "training", "a"}).err, HasSubstr("--module-name MODULE"));
  EXPECT_THAT(Run({"jobs", "submit", "training", "1a", "--module-name", "trainer.task",
                   "--package-path", "trainer"})
                  .err,
              HasSubstr("1a"));
}

TEST_F(RunTest, WorkersStandBesideAMaster) {
  ASSERT_TRUE(WriteFileAtomically("job.yaml", "trainyard: {command: [/bin/true]}\n").ok());
  const std::vector<std::string> words = {"jobs",     "submit",   "training",       "a",
                                          "--config", "job.yaml", "--worker-count", "3"};
  for (const char* tier : {"", "custom"}) {
    std::vector<std::string> all = words;
    all[3] = *tier == 0 ? "plain" : "custom";
    if (*tier != 0) all.insert(all.end(), {"--scale-tier", tier});
    const Result result = Run(all);
    ASSERT_EQ(result.code, 0) << result.err;
    const v1::JobSpec spec = server_.submits().back().spec();
    ASSERT_EQ(spec.worker_pools_size(), 2);
    EXPECT_EQ(spec.worker_pools(0).role(), "master");
    EXPECT_EQ(spec.worker_pools(0).replica_count(), 1);
    EXPECT_EQ(spec.worker_pools(1).role(), "worker");
    EXPECT_EQ(spec.worker_pools(1).replica_count(), 3);
  }
  std::vector<std::string> basic = words;
  basic.insert(basic.end(), {"--scale-tier", "basic"});
  const Result refused = Run(basic);
  EXPECT_EQ(refused.code, 4);
  EXPECT_THAT(refused.err, HasSubstr("--worker-count counts only with --scale-tier CUSTOM"));
}

TEST_F(RunTest, ImagesAndBadTiersAreRefusedByName) {
  EXPECT_THAT(Run({"jobs", "submit", "training", "a", "--module-name", "trainer.task",
                   "--package-path", "trainer", "--master-image-uri", "gcr.io/x"})
                  .err,
              HasSubstr("--master-image-uri"));
  const Result tier =
      Run({"jobs", "submit", "training", "a", "--module-name", "trainer.task", "--package-path",
           "trainer", "--scale-tier", "custom", "--worker-count", "x"});
  EXPECT_EQ(tier.code, 2);
  const Result unknown = Run({"run", "-d", "--scale-tier", "standart-1", "/bin/true"});
  EXPECT_EQ(unknown.code, 4);
  EXPECT_THAT(unknown.err, HasSubstr("STANDARD_1"));
  EXPECT_TRUE(server_.submits().empty());
}

}  // namespace
}  // namespace trainyard::cli
