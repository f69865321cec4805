// Bytes on their way: packages to a real store, once per content, and outputs back home.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/blob/blob.h"
#include "common/file.h"
#include "scheduler/store/store.h"
#include "tests/client/cli/test_console.h"

namespace trainyard::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TransferTest : public testing::Test {
 protected:
  TransferTest() : before_(std::filesystem::current_path()) {
    store_ = *store::OpenStore(server_.folder() + "/store");
    store::HttpServer::Options options;
    options.threads = 2;
    options.authorize = [](absl::string_view token) -> absl::StatusOr<store::HttpServer::Access> {
      if (token != "tg_test") return absl::UnauthenticatedError("no");
      return store::HttpServer::Access{.read = true, .write = true, .project = ""};
    };
    http_ = *store::StartHttpServer(store_.get(), options);
    v1::Grant grant;
    grant.set_http_address(http_->address());
    grant.set_token("tg_test");
    server_.SetGrant(grant);
    std::filesystem::create_directories(server_.folder() + "/proj");
    std::filesystem::current_path(server_.folder() + "/proj");
    Write("trainer/__init__.py", "");
    Write("trainer/task.py", "print(1)\n");
    Write("trainer/__pycache__/task.pyc", "bytes");
    Write("big.csv", "1,2\n");
  }
  ~TransferTest() override { std::filesystem::current_path(before_); }

  static void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(name).parent_path().empty()
                                            ? std::filesystem::path(".")
                                            : std::filesystem::path(name).parent_path());
    ASSERT_TRUE(WriteFileAtomically(name, text).ok());
  }
  Result Run(const std::vector<std::string>& words) { return RunAgainst(server_, words); }
  std::unique_ptr<blob::Client> Store() { return blob::Client::Make(http_->address(), "tg_test"); }
  std::vector<std::string> PathsOf(const v1::PackageRef& package) {
    v1::Tree tree;
    EXPECT_TRUE(tree.ParseFromString(*Store()->DownloadBytes(package.digest(), 1 << 20)));
    std::vector<std::string> paths;
    for (const v1::TreeEntry& entry : tree.entries()) paths.push_back(entry.path());
    return paths;
  }

  client::FakeServer server_;
  std::filesystem::path before_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::HttpServer> http_;
};

TEST_F(TransferTest, SubmitSendsThePackageAloneAndEveryFlag) {
  const Result result =
      Run({"ml-engine",         "jobs",      "submit",         "training",     "iris_1",
           "--scale-tier",      "basic",     "--module-name",  "trainer.task", "--package-path",
           "trainer",           "--job-dir", "gs://team/iris", "--region",     "us-central1",
           "--runtime-version", "2.1",       "--labels",       "team=vision",  "--staging-bucket",
           "gs://team",         "--",        "--train_steps",  "1000",         "a b"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "jobId: iris_1\nstate: QUEUED\n");
  EXPECT_THAT(result.err, HasSubstr("without effect here: --staging-bucket"));
  const v1::SubmitJobRequest request = server_.submits().at(0);
  EXPECT_EQ(request.parent(), "projects/default");
  EXPECT_EQ(request.job_id(), "iris_1");
  EXPECT_EQ(request.spec().scale_tier(), "BASIC");
  EXPECT_EQ(request.spec().job_dir(), "gs://team/iris");
  EXPECT_EQ(request.spec().labels().at("team"), "vision");
  EXPECT_THAT(request.spec().program().args(), ElementsAre("--train_steps", "1000", "a b"));
  EXPECT_EQ(request.spec().program().python_module(), "trainer.task");
  ASSERT_EQ(request.spec().program().packages_size(), 1);
  EXPECT_THAT(PathsOf(request.spec().program().packages(0)),
              ElementsAre("trainer/__init__.py", "trainer/task.py"));
}

TEST_F(TransferTest, ConfigGivesWhatFlagsDoNotAndTheSameContentHasTheSameDigest) {
  Write("job.yaml",
        "jobId: from_file\ntrainingInput:\n  scaleTier: STANDARD_1\n  pythonModule: trainer.task\n"
        "  args: [\"--x\", \"1\"]\n  jobDir: gs://team/a\n");
  for (const char* id : {"one", "two"}) {
    const Result result = Run({"jobs", "submit", "training", id, "--config", "job.yaml",
                               "--package-path", "trainer", "--scale-tier", "basic"});
    ASSERT_EQ(result.code, 0) << result.err;
  }
  const std::vector<v1::SubmitJobRequest> submits = server_.submits();
  EXPECT_EQ(submits[0].job_id(), "one");
  EXPECT_EQ(submits[0].spec().scale_tier(), "BASIC");
  EXPECT_THAT(submits[0].spec().program().args(), ElementsAre("--x", "1"));
  EXPECT_EQ(submits[0].spec().program().packages(0).digest(),
            submits[1].spec().program().packages(0).digest());
  Write("trainer/task.py", "print(2)\n");
  ASSERT_EQ(Run({"jobs", "submit", "training", "three", "--config", "job.yaml", "--package-path",
                 "trainer"})
                .code,
            0);
  EXPECT_NE(server_.submits()[2].spec().program().packages(0).digest(),
            submits[0].spec().program().packages(0).digest());
}

TEST_F(TransferTest, PackageFilesGoAsArchives) {
  Write("dist/trainer-0.1.tar.gz", "\x1f\x8b not really one");
  Write("dist/helper-1.0-py3-none-any.whl", "PK nor this");
  const Result result =
      Run({"jobs", "submit", "training", "a", "--module-name", "trainer.task", "--packages",
           "dist/trainer-0.1.tar.gz,dist/helper-1.0-py3-none-any.whl"});
  ASSERT_EQ(result.code, 0) << result.err;
  const v1::Program program = server_.submits()[0].spec().program();
  ASSERT_EQ(program.packages_size(), 2);
  EXPECT_EQ(program.packages(0).kind(), v1::PackageRef::SDIST);
  EXPECT_EQ(program.packages(0).file_name(), "trainer-0.1.tar.gz");
  EXPECT_EQ(program.packages(1).kind(), v1::PackageRef::WHEEL);
  EXPECT_EQ(*Store()->DownloadBytes(program.packages(0).digest(), 100), "\x1f\x8b not really one");
}

TEST_F(TransferTest, ScriptBringsItsFolder) {
  Write("train.py", "print(1)\n");
  Write("my-script.py", "print(1)\n");
  ASSERT_EQ(Run({"run", "-d", "train.py", "--lr", "0.1"}).code, 0);
  ASSERT_EQ(Run({"run", "-d", "my-script.py"}).code, 0);
  ASSERT_EQ(Run({"run", "-d", "trainer.task"}).code, 0);
  const std::vector<v1::SubmitJobRequest> submits = server_.submits();
  EXPECT_EQ(submits[0].spec().program().python_module(), "train");
  EXPECT_THAT(submits[0].spec().program().args(), ElementsAre("--lr", "0.1"));
  EXPECT_THAT(
      PathsOf(submits[0].spec().program().packages(0)),
      ElementsAre("big.csv", "my-script.py", "train.py", "trainer/__init__.py", "trainer/task.py"));
  EXPECT_THAT(submits[1].spec().program().command(),
              ElementsAre("python3", "../package/0/my-script.py"));
  EXPECT_EQ(submits[2].spec().program().python_module(), "trainer.task");
  EXPECT_THAT(PathsOf(submits[2].spec().program().packages(0)),
              ElementsAre("trainer/__init__.py", "trainer/task.py"));
}

TEST_F(TransferTest, ExecutableBesideUsComesAlong) {
  Write("train", "#!/bin/sh\n");
  ASSERT_EQ(chmod("train", 0755), 0);
  ASSERT_EQ(Run({"run", "-d", "./train", "10"}).code, 0);
  const v1::Program program = server_.submits()[0].spec().program();
  EXPECT_THAT(program.command(), ElementsAre("../package/0/train"));
  EXPECT_EQ(program.packages_size(), 1);
}

TEST_F(TransferTest, PullBringsTheNewestOutputsHomeAndReplacesOnlyByForce) {
  Write("out/model.bin", "weights");
  const std::string digest = Store()->UploadFolder("out", {})->digest;
  Write("out/model.bin", "older");
  const std::string older = Store()->UploadFolder("out", {})->digest;
  v1::ListOutputsResponse outputs;
  outputs.set_trial(2);
  v1::OutputTree* tree = outputs.add_outputs();
  tree->set_kind("model");
  tree->set_digest(digest);
  tree->set_epoch(9);
  tree = outputs.add_outputs();
  tree->set_kind("model");
  tree->set_digest(older);
  tree->set_epoch(8);
  server_.PutOutputs(outputs);
  const Result first = Run({"pull", "digits", "here"});
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out, "here/model  1 files, 7 bytes\n");
  EXPECT_EQ(first.err, "trial 2\n");
  EXPECT_EQ(*ReadFile("here/model/model.bin"), "weights");
  const Result again = Run({"pull", "digits", "here"});
  EXPECT_EQ(again.code, 4);
  EXPECT_THAT(again.err, HasSubstr("--force"));
  EXPECT_EQ(Run({"pull", "digits", "here", "--force"}).code, 0);
}

// A gang over several nodes publishes its checkpoint in parts; they are one folder at home.
TEST_F(TransferTest, PullPutsThePartsOfAGangTogether) {
  Write("head/manifest.json", "of all");
  Write("head/shard-0", "0");
  Write("peer/manifest.json", "of a peer");
  Write("peer/shard-1", "11");
  v1::ListOutputsResponse outputs;
  const auto add = [&](const std::string& folder, int32_t member, uint64_t epoch, int64_t step) {
    v1::OutputTree* tree = outputs.add_outputs();
    tree->set_kind("checkpoint");
    tree->set_digest(Store()->UploadFolder(folder, {})->digest);
    tree->set_member(member);
    tree->set_epoch(epoch);
    tree->set_step(step);
  };
  Write("old/shard-2", "of the attempt before");
  add("old", 2, 6, 99);
  add("head", 0, 7, 5);
  add("peer", 1, 7, 4);
  server_.PutOutputs(outputs);
  const Result result = Run({"pull", "gang", "here"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "here/checkpoint  3 files, 9 bytes\n");
  EXPECT_EQ(*ReadFile("here/checkpoint/manifest.json"), "of all");
  EXPECT_EQ(*ReadFile("here/checkpoint/shard-0"), "0");
  EXPECT_EQ(*ReadFile("here/checkpoint/shard-1"), "11");
  EXPECT_FALSE(Exists("here/checkpoint/shard-2"));
  const Result listed = Run({"outputs", "gang", "-o", "name"});
  EXPECT_EQ(listed.out, "checkpoint/manifest.json\ncheckpoint/shard-0\ncheckpoint/shard-1\n");
}

TEST_F(TransferTest, APullThatBreaksOffLeavesWhatWasThere) {
  Write("out/a", "new");
  v1::ListOutputsResponse outputs;
  v1::OutputTree* tree = outputs.add_outputs();
  tree->set_kind("model");
  tree->set_digest(Store()->UploadFolder("out", {})->digest);
  server_.PutOutputs(outputs);
  ASSERT_EQ(Run({"pull", "a", "here"}).code, 0);
  // A tree whose second file the store lacks.
  v1::Tree broken;
  ASSERT_TRUE(broken.ParseFromString(*Store()->DownloadBytes(tree->digest(), 1 << 20)));
  v1::TreeEntry* lost = broken.add_entries();
  *lost = broken.entries(0);
  lost->set_path("b");
  lost->set_size(3);
  lost->set_digest(std::string(32, 'x'));
  outputs.mutable_outputs(0)->set_digest(*Store()->UploadBytes(broken.SerializeAsString()));
  server_.PutOutputs(outputs);
  EXPECT_NE(Run({"pull", "a", "here", "--force"}).code, 0);
  EXPECT_EQ(*ReadFile("here/model/a"), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator("here"), {}), 1) << "a part is left";
}

// A grant lives for an hour; a long transfer gets another.
TEST_F(TransferTest, AGrantThatHasEndedIsRenewed) {
  Write("out/model.bin", "weights");
  const std::string digest = Store()->UploadFolder("out", {})->digest;
  const std::unique_ptr<blob::Client> store = blob::Client::Make(http_->address(), "tg_ended");
  int asked = 0;
  EXPECT_FALSE(store->DownloadFolder(digest, "there").ok());
  store->RenewWith([&asked]() -> absl::StatusOr<std::string> {
    ++asked;
    return "tg_test";
  });
  EXPECT_TRUE(store->DownloadFolder(digest, "there").ok());
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(*ReadFile("there/model.bin"), "weights");
}

TEST_F(TransferTest, PullRefusesKindsThatLeaveTheFolder) {
  Write("out/model.bin", "weights");
  v1::ListOutputsResponse outputs;
  v1::OutputTree* tree = outputs.add_outputs();
  tree->set_kind("../evil");
  tree->set_digest(Store()->UploadFolder("out", {})->digest);
  server_.PutOutputs(outputs);
  EXPECT_NE(Run({"pull", "a", "here"}).code, 0);
  EXPECT_FALSE(Exists("evil"));
  v1::ListOutputsResponse none;
  server_.PutOutputs(none);
  EXPECT_EQ(Run({"pull", "a", "here"}).code, 3);
}

}  // namespace
}  // namespace trainyard::cli
