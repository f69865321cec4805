// Checkpoints: whole or not there, verified on reading, the newest good one wins.
#include "worker/training/checkpoint.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/fault_point.h"
#include "common/file.h"
#include "common/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() {
    std::string pattern = testing::TempDir() + "/checkpoint.XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~CheckpointTest() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  absl::Status Write(int64_t step, float value) {
    const std::vector<float> values(100, value);
    return WriteCheckpoint(folder_, step, 2, {{"p", DataType::kFloat32, {10, 10}, values.data()}},
                           {{"epoch", "3"}});
  }
  // Flips one byte in the middle of a file.
  static void Damage(const std::string& path) {
    auto bytes = ReadFile(path);
    ASSERT_TRUE(bytes.ok());
    (*bytes)[bytes->size() / 2] ^= 1;
    ASSERT_TRUE(WriteFileAtomically(path, *bytes).ok());
  }
  std::string Shard(int64_t step, int shard) const {
    return JoinPath(JoinPath(folder_, CheckpointName(step)),
                    "shard-" + std::to_string(shard) + ".safetensors");
  }

  std::string folder_;
};

TEST_F(CheckpointTest, NewestIsReadBack) {
  ASSERT_TRUE(Write(9, 1).ok());
  ASSERT_TRUE(Write(10, 2).ok());
  const auto checkpoint = ReadNewestCheckpoint(folder_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->step, 10);
  EXPECT_EQ(checkpoint->world_size, 2);
  EXPECT_EQ(checkpoint->state.at("epoch"), "3");
  ASSERT_EQ(checkpoint->shards.size(), 1u);
  const auto values = checkpoint->shards[0].Floats("p", 100);
  ASSERT_TRUE(values.ok());
  EXPECT_EQ(*values, std::vector<float>(100, 2));
}

TEST_F(CheckpointTest, DamagedIsPassedOverAndNamed) {
  ASSERT_TRUE(Write(9, 1).ok());
  ASSERT_TRUE(Write(10, 2).ok());
  ASSERT_TRUE(Write(11, 3).ok());
  Damage(Shard(10, 0));
  Damage(folder_ + "/step_11/manifest.json");
  std::vector<std::string> skipped;
  const auto checkpoint = ReadNewestCheckpoint(folder_, &skipped);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->step, 9);
  EXPECT_THAT(skipped, testing::ElementsAre(testing::HasSubstr("step_11/manifest.json"),
                                            testing::HasSubstr("step_10/shard-0.safetensors")));
  EXPECT_TRUE(absl::IsDataLoss(ReadCheckpoint(folder_, 10).status()));
}

TEST_F(CheckpointTest, EmptyFolderHasNone) {
  EXPECT_TRUE(absl::IsNotFound(ReadNewestCheckpoint(folder_).status()));
}

TEST_F(CheckpointTest, ShardsOfSeveralRanksAreOneCheckpoint) {
  std::vector<ShardEntry> shards;
  // A writer of more ranks was killed.
  ASSERT_TRUE(WriteCheckpointShard(folder_, 4, 7, "left").ok());
  for (int rank = 0; rank < 3; ++rank) {
    const float value = static_cast<float>(rank);
    auto shard = WriteCheckpointShard(
        folder_, 4, rank, *EncodeSafetensors({{"p", DataType::kFloat32, {1}, &value}}, {}));
    ASSERT_TRUE(shard.ok()) << shard.status();
    shards.push_back(*shard);
    EXPECT_TRUE(absl::IsNotFound(ReadNewestCheckpoint(folder_).status())) << "not committed yet";
  }
  ASSERT_TRUE(CommitCheckpoint(folder_, 4, 3, {}, shards).ok());
  const auto checkpoint = ReadNewestCheckpoint(folder_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  ASSERT_EQ(checkpoint->shards.size(), 3u);
  for (size_t rank = 0; rank < 3; ++rank) {
    const auto value = checkpoint->shards[rank].Floats("p", 1);
    ASSERT_TRUE(value.ok());
    EXPECT_EQ((*value)[0], static_cast<float>(rank));
  }
  EXPECT_FALSE(Exists(Shard(4, 7)));
}

TEST_F(CheckpointTest, MembersWithFoldersOfTheirOwnHoldOneManifest) {
  const std::string folders[] = {folder_ + "/a", folder_ + "/b"};
  std::vector<ShardEntry> shards;
  for (int rank = 0; rank < 2; ++rank) {
    const float value = static_cast<float>(rank);
    shards.push_back(*WriteCheckpointShard(
        folders[rank], 4, rank, *EncodeSafetensors({{"p", DataType::kFloat32, {1}, &value}}, {})));
  }
  std::vector<std::string> manifests;
  for (const std::string& folder : folders) {
    ASSERT_TRUE(CommitCheckpoint(folder, 4, 2, {{"epoch", "1"}}, shards).ok());
    EXPECT_EQ(*CheckpointSteps(folder), std::vector<int64_t>{4});
    auto manifest = ReadCheckpointManifest(folder, 4);
    ASSERT_TRUE(manifest.ok()) << manifest.status();
    ASSERT_EQ(manifest->shards.size(), 2u);
    EXPECT_EQ(manifest->shards[1].sha256, shards[1].sha256);
    manifests.push_back(manifest->sha256);
  }
  EXPECT_EQ(manifests[0], manifests[1]);
  EXPECT_TRUE(ReadCheckpointShard(folders[1], 4, shards[1]).ok());
  EXPECT_TRUE(absl::IsNotFound(ReadCheckpointShard(folders[1], 4, shards[0]).status()));
  EXPECT_TRUE(absl::IsDataLoss(ReadCheckpoint(folders[1], 4).status())) << "half of it";
  Damage(folders[1] + "/step_4/shard-1.safetensors");
  EXPECT_TRUE(absl::IsDataLoss(ReadCheckpointShard(folders[1], 4, shards[1]).status()));
}

TEST_F(CheckpointTest, AFolderThatIsACheckpointCounts) {
  ASSERT_TRUE(Write(7, 1).ok());
  const auto checkpoint = ReadNewestCheckpoint(JoinPath(folder_, "step_7"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->step, 7);
}

TEST_F(CheckpointTest, ShardOutsideItsFolderIsRefused) {
  ASSERT_TRUE(Write(7, 1).ok());
  const std::string manifest = folder_ + "/step_7/manifest.json";
  auto text = ReadFile(manifest);
  ASSERT_TRUE(text.ok());
  nlohmann::json json = nlohmann::json::parse(*text);
  json["shards"][0]["file"] = "../../secret";
  json.erase("sha256");
  json["sha256"] = HexOf(Sha256Of(json.dump()));  // whoever forges can also add up
  ASSERT_TRUE(WriteFileAtomically(manifest, json.dump()).ok());
  const absl::Status status = ReadCheckpoint(folder_, 7).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("outside its folder"));
}

// Whoever forges a manifest can also add up its checksum.
TEST_F(CheckpointTest, ManifestsOutOfRangeAreRefused) {
  const auto decode = [](nlohmann::json manifest, const char* key, const nlohmann::json& value) {
    manifest[key] = value;
    manifest.erase("sha256");
    manifest["sha256"] = HexOf(Sha256Of(manifest.dump()));
    return DecodeCheckpointManifest(manifest.dump(), "m").status();
  };
  ASSERT_TRUE(Write(7, 1).ok());
  const auto good = nlohmann::json::parse(*ReadFile(folder_ + "/step_7/manifest.json"));
  EXPECT_TRUE(decode(good, "step", 8).ok());
  EXPECT_TRUE(absl::IsDataLoss(decode(good, "step", -1)));
  EXPECT_TRUE(absl::IsDataLoss(decode(good, "step", UINT64_MAX)));
  EXPECT_TRUE(absl::IsDataLoss(decode(good, "world_size", 0)));
  EXPECT_TRUE(absl::IsDataLoss(decode(good, "world_size", int64_t{1} << 40)));
  EXPECT_TRUE(absl::IsDataLoss(decode(good, "shards", nlohmann::json::array({1}))));
  // So deep that writing it out again would need more stack than there is.
  const std::string deep =
      "{\"x\":" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}";
  EXPECT_TRUE(absl::IsDataLoss(DecodeCheckpointManifest(deep, "m").status()));
}

// A process that dies at any pass of any fault point on the way leaves the old checkpoint or the
// new one, and the next writer is not hindered by what it left.
TEST_F(CheckpointTest, DeathAnywhereLeavesOldOrNew) {
  ASSERT_TRUE(Write(1, 1).ok());
  const auto write_in_child = [this](const std::string& fault) {
    const pid_t child = fork();
    if (child == 0) {
      fault::Arm(fault);
      _exit(Write(2, 2).ok() ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
  };
  for (const char* fault : {"file.before_rename=exit@1", "file.before_rename=exit@2",
                            "checkpoint.before_commit=exit@1"}) {
    EXPECT_TRUE(write_in_child(fault)) << fault << " was not met";
    const auto checkpoint = ReadNewestCheckpoint(folder_);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ(checkpoint->step, 1) << fault;
  }
  ASSERT_TRUE(Write(2, 2).ok());
  const auto checkpoint = ReadNewestCheckpoint(folder_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->step, 2);
  // The step is there now, and is committed again.
  EXPECT_TRUE(write_in_child("checkpoint.after_exchange=exit@1"));
  EXPECT_TRUE(ReadCheckpoint(folder_, 2).ok());
  ASSERT_TRUE(Write(2, 2).ok());
  EXPECT_THAT(*ListFolder(folder_), testing::ElementsAre("step_1", "step_2"));
}

TEST_F(CheckpointTest, AStepThatIsCommittedAgainIsWholeAtEveryMoment) {
  ASSERT_TRUE(Write(3, 1).ok());
  std::atomic<bool> over = false;
  std::thread writer([&] {
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(Write(3, 1).ok());
    over = true;
  });
  int reads = 0;
  while (!over) {
    EXPECT_TRUE(ReadCheckpoint(folder_, 3).ok()) << ++reads;
  }
  writer.join();
  ASSERT_TRUE(Write(3, 5).ok());
  EXPECT_EQ(ReadCheckpoint(folder_, 3)->shards[0].Floats("p", 100)->front(), 5);
  EXPECT_THAT(*ListFolder(folder_), testing::ElementsAre("step_3"));
}

TEST_F(CheckpointTest, WhatKilledWritersLeftIsSwept) {
  ASSERT_TRUE(SweepCheckpoints(folder_ + "/absent").ok());
  ASSERT_TRUE(Write(3, 1).ok());
  ASSERT_TRUE(WriteCheckpointShard(folder_, 4, 0, "left").ok());
  ASSERT_TRUE(MakeFolders(folder_ + "/.step_2.old/below").ok());
  for (const char* name : {".step_x.partial", "step_5.partial", ".mine", ".step_6"}) {
    ASSERT_TRUE(MakeFolders(JoinPath(folder_, name)).ok());
  }
  ASSERT_TRUE(SweepCheckpoints(folder_).ok());
  EXPECT_THAT(*ListFolder(folder_), testing::ElementsAre(".mine", ".step_6", ".step_x.partial",
                                                         "step_3", "step_5.partial"));
  EXPECT_TRUE(ReadCheckpoint(folder_, 3).ok());
}

// Where folders cannot be exchanged, a step that is committed again has no name for a moment.
TEST_F(CheckpointTest, AStepThatWasCompleteGetsItsNameBack) {
  const auto move = [this](const char* from, const char* to) {
    ASSERT_EQ(rename(JoinPath(folder_, from).c_str(), JoinPath(folder_, to).c_str()), 0);
  };
  const auto value = [this](int64_t step) {
    return ReadCheckpoint(folder_, step)->shards[0].Floats("p", 100)->front();
  };
  // Killed between the two renames: the new one.
  ASSERT_TRUE(Write(3, 1).ok());
  move("step_3", ".step_3.old");
  ASSERT_TRUE(Write(3, 2).ok());
  move("step_3", ".step_3.partial");
  // Killed before anything new was complete: the old one.
  ASSERT_TRUE(Write(4, 4).ok());
  move("step_4", ".step_4.old");
  ASSERT_TRUE(WriteCheckpointShard(folder_, 4, 0, "half").ok());
  // Its name is taken: what has it stays.
  ASSERT_TRUE(Write(5, 6).ok());
  move("step_5", ".step_5.partial");
  ASSERT_TRUE(Write(5, 5).ok());
  // Half removed, or cut short.
  ASSERT_TRUE(Write(6, 6).ok());
  move("step_6", ".step_6.old");
  ASSERT_TRUE(RemoveTree(folder_ + "/.step_6.old/manifest.json").ok());
  ASSERT_TRUE(Write(7, 7).ok());
  ASSERT_EQ(truncate(Shard(7, 0).c_str(), 100), 0);
  move("step_7", ".step_7.partial");
  ASSERT_TRUE(SweepCheckpoints(folder_).ok());
  EXPECT_THAT(*ListFolder(folder_), testing::ElementsAre("step_3", "step_4", "step_5"));
  EXPECT_EQ(value(3), 2);
  EXPECT_EQ(value(4), 4);
  EXPECT_EQ(value(5), 5);
}

TEST_F(CheckpointTest, AManifestOfOtherShardsDoesNotStay) {
  ASSERT_TRUE(Write(3, 1).ok());
  ASSERT_EQ(rename((folder_ + "/step_3").c_str(), (folder_ + "/.step_3.partial").c_str()), 0);
  ASSERT_TRUE(WriteCheckpointShard(folder_, 3, 0, "new").ok());
  EXPECT_THAT(*ListFolder(folder_ + "/.step_3.partial"),
              testing::ElementsAre("shard-0.safetensors"));
}

TEST_F(CheckpointTest, WhatCannotBeReadIsNotCountedAsKept) {
  for (int64_t step = 1; step <= 5; ++step) ASSERT_TRUE(Write(step, 1).ok());
  Damage(folder_ + "/step_5/manifest.json");
  ASSERT_TRUE(RemoveTree(folder_ + "/step_4/manifest.json").ok());
  ASSERT_TRUE(PruneCheckpoints(folder_, 5, 2).ok());
  EXPECT_EQ(*CheckpointSteps(folder_), (std::vector<int64_t>{5, 4, 3, 2}));
}

}  // namespace
}  // namespace trainyard::training
