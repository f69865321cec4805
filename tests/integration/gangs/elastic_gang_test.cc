// An elastic gang loses a node, goes on with those left from its last committed checkpoint, and
// grows back when the node returns; parts of a checkpoint are committed as one and found again by a
// gang of another shape.
// By itself: build/release/tests/elastic_gang_test
#include <algorithm>
#include <functional>

#include "tests/integration/gangs/nodes_fixture.h"

namespace trainyard::testing {
namespace {

// Each rank saves its part of step 1 once, says so, and shows what it found at its start.
constexpr char kProgram[] = R"(
import json, os, socket, sys, time
rank, world = os.environ["RANK"], os.environ["WORLD_SIZE"]
folder = os.environ["AIP_CHECKPOINT_DIR"]
found = sorted(os.listdir(folder + "step_1")) if os.path.isdir(folder + "step_1") else []
path = sys.argv[1] + "." + rank + "." + os.environ["TRAINYARD_EPOCH"]
with open(path + ".part", "w") as out:
    out.write("RANK=%s\nWORLD_SIZE=%s\npid=%d\nnetwork=%s\nfound=%s\nstep=%s\n" % (
        rank, world, os.getpid(), os.readlink("/proc/self/ns/net"), "+".join(found),
        os.environ.get("TRAINYARD_RESUME_STEP", "none")))
os.rename(path + ".part", path)
if not found:
    os.makedirs(folder + "step_1", exist_ok=True)
    with open(folder + "step_1/part-" + rank, "w") as out:
        out.write("of rank " + rank)
    line = socket.socket(socket.AF_UNIX)
    line.connect(os.environ["TRAINYARD_SOCKET"])
    line.sendall(json.dumps({"checkpoint": {"step": 1, "path": "step_1"}}).encode() + b"\n")
    line.recv(4096)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
)";

class ElasticGangTest : public NodesTest {};

TEST_F(ElasticGangTest, LosesANodeGoesOnAndGrowsBack) {
  StartNodes(3, 1);
  const std::string script = cluster_.Path("elastic.py");
  ASSERT_TRUE(WriteFileDurably(script, kProgram).ok());
  v1::JobSpec spec =
      SpecOf({"/usr/bin/python3", script, cluster_.Beats("job"), cluster_.Path("end-job")}, 3);
  for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
    pool.mutable_resources()->set_cpu_milli(1000);
  }
  spec.mutable_launch()->set_launcher(v1::DIRECT);
  spec.mutable_launch()->set_min_replicas(2);
  spec.mutable_scheduling()->mutable_grace()->set_seconds(2);
  const std::string job = Submit(spec);
  const std::vector<Record> first = AwaitRecords("job", 3);
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(first[0].at("found"), "");
  ASSERT_TRUE(Eventually([&] {
    const auto now = api_->Get(job);
    return now.ok() && std::any_of(now->timeline().begin(), now->timeline().end(),
                                   [](const auto& event) { return event.what() == "checkpoint"; });
  })) << "the parts were not committed as one";

  Cut("n2");
  const std::vector<Record> fewer = AwaitRecords("job", 2, 2);
  ASSERT_EQ(fewer.size(), 2u);
  for (const Record& record : fewer) {
    EXPECT_EQ(record.at("WORLD_SIZE"), "2");
    EXPECT_EQ(record.at("step"), "1");
    EXPECT_EQ(record.at("found"), "part-0+part-1+part-2") << "all parts of the other shape";
  }
  Mend("n2");
  const std::vector<Record> again = AwaitRecords("job", 3, 3);
  ASSERT_EQ(again.size(), 3u);
  EXPECT_EQ(again[2].at("WORLD_SIZE"), "3");
  EXPECT_EQ(again[2].at("step"), "1");
  LetEnd("job");
  const v1::Job ended = ExpectEnd(job, v1::SUCCEEDED);
  EXPECT_EQ(ended.attempts_size(), 3) << ended.ShortDebugString();
  ExpectQuiet();
}

#ifdef TEST_TRAIN_PATH

// Steps of the checkpoints that a job has committed.
std::vector<int64_t> CommittedSteps(const v1::Job& job) {
  std::vector<int64_t> steps;
  for (const auto& event : job.timeline()) {
    if (event.what() != "checkpoint") continue;
    steps.push_back(std::stoll(event.detail().substr(event.detail().rfind(' ') + 1)));
  }
  return steps;
}

// The trainer's ranks write shards on both nodes; alone on one node it goes on from all of them.
TEST_F(ElasticGangTest, ATrainersShardsOfAllNodesAreCommittedAsOne) {
  StartNodes(2, 1);
  std::string rows;
  for (int i = 0; i < 4000; ++i) absl::StrAppend(&rows, i % 7, ",", i % 5, ",", i % 2, "\n");
  const std::string data = cluster_.Path("data.csv");
  ASSERT_TRUE(WriteFileDurably(data, rows).ok());
  v1::JobSpec spec =
      SpecOf({TEST_TRAIN_PATH, "--data=" + data, "--epochs=1000000", "--batch_size=256",
              "--optimizer=adam", "--hidden=64", "--checkpoint_every=20"},
             2);
  for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
    pool.mutable_resources()->set_cpu_milli(1000);
  }
  spec.mutable_launch()->set_min_replicas(1);
  spec.mutable_scheduling()->mutable_grace()->set_seconds(2);
  const std::string job = Submit(spec);
  std::vector<int64_t> before;
  ASSERT_TRUE(Eventually([&] {
    const auto now = api_->Get(job);
    if (now.ok()) before = CommittedSteps(*now);
    return !before.empty();
  })) << "no checkpoint was committed";
  Cut("n2");
  // A run that had begun anew would commit small steps again.
  v1::Job after;
  ASSERT_TRUE(Eventually([&] {
    const auto now = api_->Get(job);
    if (now.ok()) after = *now;
    bool resumed = false;
    for (const auto& event : after.timeline()) {
      if (event.detail().starts_with("from checkpoint step")) resumed = true;
      if (resumed && event.what() == "checkpoint") return true;
    }
    return false;
  })) << after.ShortDebugString();
  const std::vector<int64_t> steps = CommittedSteps(after);
  EXPECT_TRUE(std::adjacent_find(steps.begin(), steps.end(), std::greater_equal<>()) == steps.end())
      << after.ShortDebugString();
  Mend("n2");
  ASSERT_TRUE(api_->Cancel(job).ok());
  ExpectEnd(job, v1::CANCELLED);
}

#endif

}  // namespace
}  // namespace trainyard::testing
