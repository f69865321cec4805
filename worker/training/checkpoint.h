// Checkpoints on disk: <folder>/step_<N>/ holds one safetensors file a shard and manifest.json with
// their sizes and SHA-256 (and its own). The folder appears under its name by one rename, after
// everything in it is durable: a reader meets a whole checkpoint or none. What was committed never
// changes; a step that is committed again, after a resume from an older one, is exchanged whole.
//  - What is being written or removed lies under names with a dot; what a killed process left there
//    is removed by SweepCheckpoints(), or given its name where it is complete and has none.
//  - Ranks with folders of their own, on several nodes, hold the shards that they wrote and one and
//    the same manifest, which names all of them. Where several nodes see one folder, one of them
//    commits (folder_place.h).
// Thread-safe for different steps, and for different shards of a step.
#ifndef TRAINYARD_WORKER_TRAINING_CHECKPOINT_H_
#define TRAINYARD_WORKER_TRAINING_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/training/safetensors.h"

namespace trainyard::training {

// What a checkpoint says of itself beside tensors: counters, cursors, options, as text.
using CheckpointState = std::map<std::string, std::string>;

struct Checkpoint {
  int64_t step = 0;
  int world_size = 0;  // ranks that ran when it was written
  CheckpointState state;
  std::vector<TensorFile> shards;
};

// "step_7", "shard-3.safetensors".
std::string CheckpointName(int64_t step);
std::string ShardName(int shard);

// What a manifest says of a shard.
struct ShardEntry {
  std::string file;
  uint64_t bytes = 0;
  std::string sha256;  // 32 raw bytes
};

// Writes one shard of a step, encoded (EncodeSafetensors), durably where nobody sees it yet. Each
// rank its own `shard` number.
absl::StatusOr<ShardEntry> WriteCheckpointShard(const std::string& folder, int64_t step, int shard,
                                                absl::string_view bytes);
// After all shards of the step were written, by whatever rank: makes what lies in this folder
// visible and durable. One rank of those that see the folder calls it. `shards`: of all ranks.
absl::Status CommitCheckpoint(const std::string& folder, int64_t step, int world_size,
                              const CheckpointState& state, const std::vector<ShardEntry>& shards);
// Both for a state that all ranks share.
absl::Status WriteCheckpoint(const std::string& folder, int64_t step, int world_size,
                             const std::vector<TensorView>& tensors, const CheckpointState& state);
// The same, of a shard that is already encoded (EncodeSafetensors).
absl::Status WriteCheckpointBytes(const std::string& folder, int64_t step, int world_size,
                                  absl::string_view bytes, const CheckpointState& state);
// Removes what writers that were killed left in `folder`, if it is there; a step whose name nothing
// has and of which all was written is published. Before anybody writes.
absl::Status SweepCheckpoints(const std::string& folder);
// Removes committed checkpoints of steps before `newest` but for the last `keep` up to it whose
// manifests can be read.
absl::Status PruneCheckpoints(const std::string& folder, int64_t newest, size_t keep);

// A manifest, and what it names one by one: for ranks that share the reading.
struct CheckpointManifest {
  int64_t step = 0;
  int world_size = 0;
  CheckpointState state;
  std::vector<ShardEntry> shards;
  std::string sha256;  // of itself, hexadecimal: the same on all ranks that wrote it
};
// What a manifest's text says; `name` stands in messages. DATA_LOSS when it is damaged.
absl::StatusOr<CheckpointManifest> DecodeCheckpointManifest(const std::string& text,
                                                            const std::string& name);
// Steps committed in `folder`, newest first.
absl::StatusOr<std::vector<int64_t>> CheckpointSteps(const std::string& folder);
// NOT_FOUND, or DATA_LOSS when it is damaged.
absl::StatusOr<CheckpointManifest> ReadCheckpointManifest(const std::string& folder, int64_t step);
// Verified. NOT_FOUND when the shard is not in this folder, DATA_LOSS when it is damaged.
absl::StatusOr<TensorFile> ReadCheckpointShard(const std::string& folder, int64_t step,
                                               const ShardEntry& shard);

// Reads and verifies <folder>/step_<N>. NOT_FOUND, or DATA_LOSS that names the broken file.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& folder, int64_t step);

// The newest step that verifies; broken ones are passed over and named in `skipped` when given.
// NOT_FOUND when there is none. A folder that is itself a checkpoint counts too.
absl::StatusOr<Checkpoint> ReadNewestCheckpoint(const std::string& folder,
                                                std::vector<std::string>* skipped = nullptr);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_CHECKPOINT_H_
