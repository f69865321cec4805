// An elastic gang loses a node, goes on with those left from its last committed checkpoint, and
// grows back when the node returns; parts of a checkpoint are committed as one and found again by a
// gang of another shape.
// By itself: build/release/tests/elastic_gang_test
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

}  // namespace
}  // namespace trainyard::testing
