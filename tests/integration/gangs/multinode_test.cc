// Gangs over several nodes through mpirun without a remote shell, on real daemons: what ranks are
// told, who is blamed when one of them, a node, a link or an agent goes, and that nothing is left.
// By itself: build/release/tests/multinode_test
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "tests/integration/gangs/nodes_fixture.h"

namespace trainyard::testing {
namespace {

using ::testing::HasSubstr;

class MultinodeTest : public NodesTest {
 protected:
  // A gang of one rank per node that goes on until LetEnd(name).
  std::string StartGang(const std::string& name, int ranks, std::vector<std::string> options = {}) {
    options.push_back(Until(name));
    const std::string job = Submit(MpiSpec(name, ranks, 1, options));
    records_ = AwaitRecords(name, ranks);
    EXPECT_TRUE(AwaitState(api_.get(), job, {v1::RUNNING}).ok());
    return job;
  }
  // The job failed for `cause` on `node`, and nothing of it is left.
  v1::Job ExpectFailure(const std::string& job, v1::ExitCause cause, const std::string& node) {
    const v1::Job ended = ExpectEnd(job, v1::FAILED);
    EXPECT_EQ(ended.error().cause(), cause) << ended.error().ShortDebugString();
    EXPECT_EQ(ended.error().node(), node) << ended.error().ShortDebugString();
    return ended;
  }
  // As ranks on that node see it.
  std::string NetworkOf(const std::string& node) {
    struct stat info {};
    stat(absl::StrCat("/run/netns/", Space(nodes_[node])).c_str(), &info);
    return absl::StrCat("net:[", info.st_ino, "]");
  }

  std::vector<Record> records_;
};

TEST_F(MultinodeTest, AGangThatFitsNoNodeRunsOnTwo) {
  StartNodes(2, 2);
  const std::string job = Submit(MpiSpec("job", 4, 1, {}));
  const std::vector<Record> records = AwaitRecords("job", 4);
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(Networks(records), 2u);
  for (int rank = 0; rank < 4; ++rank) {
    const Record& record = records[static_cast<size_t>(rank)];
    EXPECT_EQ(record.at("RANK"), absl::StrCat(rank));
    EXPECT_EQ(record.at("WORLD_SIZE"), "4");
    EXPECT_EQ(record.at("LOCAL_WORLD_SIZE"), "2");
    EXPECT_EQ(record.at("sum"), "10.000000");
    EXPECT_EQ(record.at("MASTER_ADDR"), records[0].at("MASTER_ADDR"));
    EXPECT_EQ(record.at("MASTER_PORT"), records[0].at("MASTER_PORT"));
    const auto config = nlohmann::json::parse(record.at("TF_CONFIG"));
    EXPECT_EQ(config["cluster"]["worker"].size(), 3u);
    EXPECT_EQ(config["cluster"], nlohmann::json::parse(records[0].at("TF_CONFIG"))["cluster"]);
    EXPECT_THAT(record.at("PWD"), HasSubstr("/work"));
  }
  EXPECT_THAT(records[0].at("MASTER_ADDR"), HasSubstr(subnet_));
  EXPECT_NE(records[0].at("LOCAL_RANK"), "");
  ExpectEnd(job, v1::SUCCEEDED);
  ExpectQuiet();
}

TEST_F(MultinodeTest, FourNodesWithARankOfEachHalf) {
  StartNodes(4, 2);
  v1::JobSpec spec = MpiSpec("job", 8, 1, {});
  spec.mutable_launch()->set_placement(v1::SPREAD);
  const std::string job = Submit(spec);
  const std::vector<Record> records = AwaitRecords("job", 8);
  ASSERT_EQ(records.size(), 8u);
  EXPECT_EQ(Networks(records), 4u);
  for (const Record& record : records) EXPECT_EQ(record.at("sum"), "36.000000");
  ExpectEnd(job, v1::SUCCEEDED);
  ExpectQuiet();
}

TEST_F(MultinodeTest, ARankThatFailsIsNamedWithItsNode) {
  StartNodes(3, 1);
  const std::string go = cluster_.Path("fail");
  const std::string job = StartGang("job", 3, {"fail_rank=2", "fail_when=" + go});
  ASSERT_TRUE(WriteFileAtomically(go, "").ok());
  const v1::Job ended = ExpectEnd(job, v1::FAILED);
  EXPECT_EQ(ended.error().cause(), v1::USER_ERROR) << ended.error().ShortDebugString();
  EXPECT_EQ(ended.error().rank(), 2);
  EXPECT_THAT(ended.error().message(), HasSubstr("the sum is wrong"));
  AwaitGone(records_);
  ExpectQuiet();
}

TEST_F(MultinodeTest, AKilledRankIsNamedAndItsPeersStop) {
  StartNodes(3, 1);
  for (const int victim : {1, 0}) {  // not on the head, on the head
    const std::string name = absl::StrCat("job", victim);
    const std::string job = StartGang(name, 3);
    ASSERT_EQ(records_.size(), 3u);
    kill(PidOf(records_[static_cast<size_t>(victim)]), SIGKILL);
    const absl::Duration gone = AwaitGone(records_);
    const v1::Job ended = ExpectEnd(job, v1::FAILED);
    std::printf("rank %d killed: peers gone after %s\n", victim,
                absl::FormatDuration(gone).c_str());
    EXPECT_EQ(ended.error().rank(), victim) << ended.error().ShortDebugString();
    EXPECT_EQ(ended.error().signal(), SIGKILL);
    ExpectQuiet();
  }
}

// Long before the lease of the lost node is over.
TEST_F(MultinodeTest, ALinkThatGoesDownNamesTheLostNode) {
  StartNodes(3, 1, {"--lease=2m"});
  const std::string job = StartGang("job", 3);
  ASSERT_EQ(records_.size(), 3u);
  // Whose rank 2 it is, by its address: the last member is not the head.
  const std::string head = records_[0].at("MASTER_ADDR");
  const std::string lost = head == AddressOf(2) ? "n1" : "n2";
  Cut(lost);
  std::vector<Record> left;
  const std::string lost_network = NetworkOf(lost);
  for (const Record& record : records_) {
    if (record.at("network") != lost_network) left.push_back(record);
  }
  ASSERT_EQ(left.size(), 2u);
  const absl::Duration gone = AwaitGone(left);
  std::printf("link down: peers gone after %s\n", absl::FormatDuration(gone).c_str());
  const v1::Job ended = ExpectFailure(job, v1::NODE_LOST, lost);
  EXPECT_THAT(ended.error().message(), HasSubstr(lost));
  Mend(lost);
  AwaitGone(records_);
  EXPECT_TRUE(Eventually([&] { return api_->GetNode("nodes/" + lost)->state() == v1::READY; }));
  ExpectQuiet();
}

TEST_F(MultinodeTest, AnAgentThatHangsIsALostNode) {
  StartNodes(2, 1);
  const std::string job = StartGang("job", 2);
  ASSERT_EQ(records_.size(), 2u);
  const std::string hung = records_[0].at("MASTER_ADDR") == AddressOf(1) ? "n2" : "n1";
  cluster_.agent(hung).Signal(SIGSTOP);
  const absl::Duration gone = AwaitGone(records_);
  std::printf("agent hung: ranks gone after %s\n", absl::FormatDuration(gone).c_str());
  ExpectFailure(job, v1::NODE_LOST, hung);
  cluster_.agent(hung).Signal(SIGCONT);
  EXPECT_TRUE(Eventually([&] { return api_->GetNode("nodes/" + hung)->state() == v1::READY; }));
  ExpectQuiet();
}

TEST_F(MultinodeTest, EveryRankSavesDuringTheGrace) {
  StartNodes(2, 1);
  // No MPI program: mpirun takes one that ends without MPI_Finalize for a failure.
  v1::JobSpec spec = BeatSpec(cluster_.Beats("job"), {Until("job"), "save_ms=1000"}, 2);
  for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
    pool.mutable_resources()->set_cpu_milli(1000);
  }
  const std::string job = Submit(spec);
  ASSERT_TRUE(AwaitBeats(cluster_.Beats("job"), 2));
  ASSERT_TRUE(AwaitState(api_.get(), job, {v1::RUNNING}).ok());
  ASSERT_TRUE(api_->Cancel(job).ok());
  ExpectEnd(job, v1::CANCELLED);
  EXPECT_TRUE(Exists(cluster_.Beats("job.saved.0")));
  EXPECT_TRUE(Exists(cluster_.Beats("job.saved.1")));
  ExpectQuiet();
}

TEST_F(MultinodeTest, AnAgentMayRestartUnderARunningGang) {
  StartNodes(2, 1, {"--lease=10s"});
  const std::string job = StartGang("job", 2);
  ASSERT_EQ(records_.size(), 2u);
  for (const auto& [node, index] : nodes_) {
    cluster_.agent(node).Kill();
    AgentSettings settings;
    settings.cores = 1;
    settings.target = cluster_.Endpoint("grpc_tcp");
    settings.flags = {absl::StrCat("--ca_file=", cluster_.Path("cert.pem"))};
    settings.network = Space(index);
    const absl::Status again = cluster_.StartAgent(node, settings);
    ASSERT_TRUE(again.ok()) << again;
  }
  for (const Record& record : records_) EXPECT_TRUE(IsAlive(PidOf(record)));
  LetEnd("job");
  EXPECT_EQ(ExpectEnd(job, v1::SUCCEEDED).attempts_size(), 1);
  ExpectQuiet();
}

TEST_F(MultinodeTest, ADirectGangKnowsOneMeetingPlace) {
  StartNodes(2, 1);
  v1::JobSpec spec = MpiSpec("job", 2, 1, {"no_mpi=1"});
  spec.mutable_launch()->set_launcher(v1::DIRECT);
  const std::string job = Submit(spec);
  const std::vector<Record> records = AwaitRecords("job", 2);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(Networks(records), 2u);
  EXPECT_EQ(records[0].at("MASTER_PORT"), records[1].at("MASTER_PORT"));
  EXPECT_EQ(records[0].at("MASTER_ADDR"), records[1].at("MASTER_ADDR"));
  EXPECT_EQ(records[1].at("RANK"), "1");
  ExpectEnd(job, v1::SUCCEEDED);
  ExpectQuiet();
}

}  // namespace
}  // namespace trainyard::testing
