// Checkpoints written beside the training: the moment of Start() counts, old ones go, failures are
// told, and a process killed at any moment loses nothing that it called committed.
#include "worker/training/checkpoint_writer.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "common/file.h"
#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

class CheckpointWriterTest : public testing::Test {
 protected:
  CheckpointWriterTest() {
    std::string pattern = testing::TempDir() + "/writer.XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~CheckpointWriterTest() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  static std::vector<TensorView> View(const std::vector<float>& values) {
    return {{"p", DataType::kFloat32, {static_cast<int64_t>(values.size())}, values.data()}};
  }

  std::string folder_;
};

TEST_F(CheckpointWriterTest, HoldsWhatTheTensorsWereAtStart) {
  CheckpointWriter writer(folder_, 2);
  std::vector<float> values(100000, 1.0F);
  writer.Start(1, 4, View(values), {{"epoch", "1"}});
  std::fill(values.begin(), values.end(), 2.0F);  // the training goes on
  writer.Wait();
  const auto written = writer.Take();
  ASSERT_EQ(written.size(), 1u);
  EXPECT_EQ(written[0].step, 1);
  EXPECT_TRUE(written[0].status.ok()) << written[0].status;
  EXPECT_TRUE(writer.Take().empty());
  const auto checkpoint = ReadNewestCheckpoint(folder_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->world_size, 4);
  EXPECT_EQ(*checkpoint->shards[0].Floats("p", 100000), std::vector<float>(100000, 1.0F));
}

TEST_F(CheckpointWriterTest, RanksWriteTheirShardsAndOneCommits) {
  std::vector<float> values(1000, 1.0F);
  CheckpointWriter ranks[] = {{folder_, 1}, {folder_, 1}};
  std::vector<ShardEntry> shards;
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_FALSE(ranks[rank].shard_done());
    ranks[rank].StartShard(3, rank, View(values));
    values.assign(1000, 2.0F);
    ranks[rank].Wait();
    ASSERT_TRUE(ranks[rank].shard_done());
    ASSERT_TRUE(ranks[rank].shard().ok()) << ranks[rank].shard().status();
    shards.push_back(*ranks[rank].shard());
    EXPECT_TRUE(ranks[rank].Take().empty()) << "nothing is committed";
  }
  EXPECT_FALSE(ReadCheckpoint(folder_, 3).ok());
  ranks[0].Commit(3, 2, {{"epoch", "1"}}, shards);
  ranks[0].Wait();
  const auto written = ranks[0].Take();
  ASSERT_EQ(written.size(), 1u);
  EXPECT_TRUE(written[0].status.ok()) << written[0].status;
  const auto checkpoint = ReadCheckpoint(folder_, 3);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(*checkpoint->shards[0].Floats("p", 1000), std::vector<float>(1000, 1.0F));
  EXPECT_EQ(*checkpoint->shards[1].Floats("p", 1000), std::vector<float>(1000, 2.0F));
}

TEST_F(CheckpointWriterTest, TheNewestStay) {
  CheckpointWriter writer(folder_, 2);
  const std::vector<float> values(10, 1.0F);
  ASSERT_TRUE(WriteCheckpoint(folder_, 99, 1, View(values), {}).ok());  // of another future
  for (int64_t step = 1; step <= 5; ++step) writer.Start(step, 1, View(values), {});
  writer.Wait();
  EXPECT_EQ(writer.Take().size(), 5u);
  EXPECT_THAT(*ListFolder(folder_), testing::UnorderedElementsAre("step_4", "step_5", "step_99"));
}

// Another node may have died, or failed, before it committed the newest steps.
TEST_F(CheckpointWriterTest, BesideOtherNodesWhatAllHaveStays) {
  CheckpointWriter writer(folder_, 1, /*alone=*/false);
  const std::vector<float> values(10, 1.0F);
  const auto commit = [&](int64_t step, int64_t whole) {
    writer.StartShard(step, 0, View(values));
    writer.Wait();
    writer.Commit(step, 1, {}, {*writer.shard()}, whole);
    writer.Wait();
    EXPECT_TRUE(writer.committed());
    return *CheckpointSteps(folder_);
  };
  EXPECT_EQ(commit(1, -1), std::vector<int64_t>({1}));
  EXPECT_EQ(commit(2, 1), std::vector<int64_t>({2, 1}));
  EXPECT_EQ(commit(3, 1), std::vector<int64_t>({3, 2, 1})) << "step 2 failed elsewhere";
  EXPECT_EQ(commit(4, 3), std::vector<int64_t>({4, 3}));
}

TEST_F(CheckpointWriterTest, TensorsThatNobodyCouldReadAreToldAndNotWritten) {
  CheckpointWriter writer(folder_, 1);
  const std::vector<float> values(10, 1.0F);
  std::vector<TensorView> twice = View(values);
  twice.push_back(twice[0]);
  writer.Start(1, 1, twice, {});
  writer.Wait();
  const auto written = writer.Take();
  ASSERT_EQ(written.size(), 1u);
  EXPECT_TRUE(absl::IsInvalidArgument(written[0].status)) << written[0].status;
  EXPECT_FALSE(writer.committed());
  writer.StartShard(2, 0, twice);
  writer.Wait();
  EXPECT_TRUE(absl::IsInvalidArgument(writer.shard().status()));
  EXPECT_TRUE(ListFolder(folder_)->empty());
}

TEST_F(CheckpointWriterTest, AFailureIsToldAndTheNextOneTried) {
  const std::string file = folder_ + "/no_folder";
  ASSERT_TRUE(WriteFileAtomically(file, "x").ok());
  CheckpointWriter writer(file, 2);
  const std::vector<float> values(10, 1.0F);
  writer.Start(1, 1, View(values), {});
  writer.Start(2, 1, View(values), {});
  writer.Wait();
  const auto written = writer.Take();
  ASSERT_EQ(written.size(), 2u);
  EXPECT_FALSE(written[0].status.ok());
  EXPECT_FALSE(written[1].status.ok());
}

// The child: commits step after step, says each once it is committed, until it is killed.
[[noreturn]] void CommitForEver(const std::string& folder, int64_t first, int pipe) {
  CheckpointWriter writer(folder, 2);
  for (int64_t step = first;; ++step) {
    const std::vector<float> values(5000, static_cast<float>(step));
    writer.Start(step, 1, {{"p", DataType::kFloat32, {5000}, values.data()}}, {});
    writer.Wait();
    for (const auto& written : writer.Take()) {
      if (!written.status.ok() || write(pipe, &written.step, sizeof(int64_t)) < 0) _exit(1);
    }
  }
}

TEST_F(CheckpointWriterTest, KillsLoseNothingCommitted) {
  const char* const wish = std::getenv("TRAINYARD_TEST_LONG");
  const int kills = wish != nullptr && std::string(wish) == "1" ? 1000 : 200;
  Random random(7);
  int64_t committed = 0;
  for (int i = 0; i < kills; ++i) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) CommitForEver(folder_, committed + 1, ends[1]);
    close(ends[1]);
    // Killed after a few commits and a random moment more.
    for (uint64_t n = random.Below(3); n > 0; --n) {
      ASSERT_EQ(read(ends[0], &committed, sizeof(committed)), 8);
    }
    usleep(static_cast<useconds_t>(random.Below(3000)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(ends[0], &committed, sizeof(committed)) == 8) {
    }
    close(ends[0]);
    if (committed == 0) continue;
    std::vector<std::string> skipped;
    const auto checkpoint = ReadNewestCheckpoint(folder_, &skipped);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    ASSERT_GE(checkpoint->step, committed);
    ASSERT_TRUE(skipped.empty()) << skipped[0];
    const auto values = checkpoint->shards[0].Floats("p", 5000);
    ASSERT_TRUE(values.ok());
    ASSERT_EQ((*values)[4999], static_cast<float>(checkpoint->step));
    committed = checkpoint->step;
  }
  EXPECT_GT(committed, kills / 2);
}

// The child: two nodes with folders of their own, each with its shard of every step; says a step
// once both have committed it, which each learns with the next one.
[[noreturn]] void CommitOnTwoNodes(const std::string& folder, int64_t whole, int pipe) {
  CheckpointWriter nodes[] = {{folder + "/a", 1, false}, {folder + "/b", 1, false}};
  Random random(MixSeed(static_cast<uint64_t>(whole), 8));
  int64_t attempted = -1;
  for (int64_t step = whole + 1;; ++step) {
    std::vector<ShardEntry> shards;
    for (int i = 0; i < 2; ++i) {
      const std::vector<float> values(3000, static_cast<float>(2 * step + i));
      nodes[i].StartShard(step, i, {{"p", DataType::kFloat32, {3000}, values.data()}});
    }
    for (CheckpointWriter& node : nodes) {
      node.Wait();
      if (!node.shard().ok() || !node.committed()) _exit(1);
      shards.push_back(*node.shard());
    }
    if (attempted >= 0) whole = attempted;
    if (write(pipe, &whole, sizeof(whole)) < 0) _exit(1);
    attempted = step;
    const size_t first = random.Below(2);  // nodes do not go in step
    nodes[first].Commit(step, 2, {}, shards, whole);
    usleep(static_cast<useconds_t>(random.Below(3000)));
    nodes[1 - first].Commit(step, 2, {}, shards, whole);
  }
}

// The newest step of which both nodes have their part, -1 without any.
int64_t NewestOfTwoNodes(const std::string& folder) {
  const std::string folders[] = {folder + "/a", folder + "/b"};
  const auto steps = CheckpointSteps(folders[0]);
  for (const int64_t step : steps.ok() ? *steps : std::vector<int64_t>()) {
    int good = 0;
    for (size_t i = 0; i < 2; ++i) {
      const auto manifest = ReadCheckpointManifest(folders[i], step);
      if (!manifest.ok()) continue;
      const auto shard = ReadCheckpointShard(folders[i], step, manifest->shards[i]);
      const auto values = shard.ok() ? shard->Floats("p", 3000) : shard.status();
      if (values.ok() && (*values)[2999] == static_cast<float>(2 * step) + static_cast<float>(i)) {
        ++good;
      }
    }
    if (good == 2) return step;
  }
  return -1;
}

TEST_F(CheckpointWriterTest, KillsLoseNothingThatAllNodesCommitted) {
  Random random(8);
  int64_t committed = -1, newest = -1;
  for (int i = 0; i < 200; ++i) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) CommitOnTwoNodes(folder_, newest, ends[1]);
    close(ends[1]);
    for (uint64_t n = 1 + random.Below(4); n > 0; --n) {
      ASSERT_EQ(read(ends[0], &committed, sizeof(committed)), 8);
    }
    usleep(static_cast<useconds_t>(random.Below(4000)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(ends[0], &committed, sizeof(committed)) == 8) {
    }
    close(ends[0]);
    for (const char* node : {"/a", "/b"}) ASSERT_TRUE(SweepCheckpoints(folder_ + node).ok());
    newest = NewestOfTwoNodes(folder_);
    ASSERT_GE(newest, committed) << "after kill " << i;
    // Old ones go: what both have, what was about to go, and what one of them had beyond.
    ASSERT_LE(CheckpointSteps(folder_ + "/a")->size(), 5U);
  }
  EXPECT_GT(committed, 100);
}

}  // namespace
}  // namespace trainyard::training
