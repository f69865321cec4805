// The example programs of docs/examples as gangs on one node and on two: PyTorch's
// DistributedDataParallel over Gloo and a program of mpi4py, which know nothing of Trainyard.
// By itself: build/release/tests/gang_examples_test
#include "tests/integration/gangs/nodes_fixture.h"

namespace trainyard::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kPython[] = "/usr/bin/python3";  // the one that Debian's modules are for

class ExamplesTest : public NodesTest {
 protected:
  static bool Has(const std::string& module) {
    return RunToEnd({{kPython, "-c", "import " + module}, {}, "/dev/null", "/dev/null", ""}) == 0;
  }
  // Two ranks of the example; each takes a core. What its log says.
  std::string RunExample(const std::string& program, v1::Launcher launcher) {
    v1::JobSpec spec = SpecOf({kPython, JoinPath(EXAMPLES_PATH, program)}, 2);
    for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
      pool.mutable_resources()->set_cpu_milli(1000);
    }
    spec.mutable_launch()->set_launcher(launcher);
    const std::string job = Submit(spec);
    const auto ended = AwaitEnd(api_.get(), job, absl::Minutes(3));
    EXPECT_TRUE(ended.ok() && ended->state() == v1::SUCCEEDED)
        << (ended.ok() ? ended->ShortDebugString() : ended.status().ToString());
    const auto log = api_->Logs(job);
    return log.ok() ? *log : log.status().ToString();
  }
};

// One core a node makes two nodes of it, two cores one.
TEST_F(ExamplesTest, Mpi4pyOnOneNodeAndOnTwo) {
  if (!Has("mpi4py")) GTEST_SKIP() << "python3-mpi4py is not installed";
  StartNodes(2, 1, {});
  EXPECT_THAT(RunExample("mpi/pi.py", v1::MPIRUN), HasSubstr("2 ranks: pi = 3.141593"));
  AddNode(3, 2);
  ASSERT_TRUE(api_->Drain("nodes/n1", false).ok());
  ASSERT_TRUE(api_->Drain("nodes/n2", false).ok());
  EXPECT_THAT(RunExample("mpi/pi.py", v1::MPIRUN), HasSubstr("2 ranks: pi = 3.141593"));
  ExpectQuiet();
}

TEST_F(ExamplesTest, TorchOnOneNodeAndOnTwoUnderBothLaunchers) {
  if (!Has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  StartNodes(2, 1, {});
  for (const v1::Launcher launcher : {v1::DIRECT, v1::MPIRUN}) {
    EXPECT_THAT(RunExample("ddp/ddp.py", launcher), HasSubstr("2 ranks: y = 3.00 x -1.00"));
  }
  AddNode(3, 2);
  ASSERT_TRUE(api_->Drain("nodes/n1", false).ok());
  ASSERT_TRUE(api_->Drain("nodes/n2", false).ok());
  EXPECT_THAT(RunExample("ddp/ddp.py", v1::DIRECT), HasSubstr("2 ranks: y = 3.00 x -1.00"));
  ExpectQuiet();
}

}  // namespace
}  // namespace trainyard::testing
