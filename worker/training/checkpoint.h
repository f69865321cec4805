// Checkpoints on disk: <folder>/step_<N>/ holds one safetensors file a shard and manifest.json with
// their sizes and SHA-256 (and its own). The folder appears under its name by one rename, after
// everything in it is durable: a reader meets a whole checkpoint or none. What was committed never
// changes. Thread-safe for different steps.
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

// "step_7".
std::string CheckpointName(int64_t step);

// Writes one shard of a step that nobody can see yet. Each rank its own `shard` number.
absl::Status WriteCheckpointShard(const std::string& folder, int64_t step, int shard,
                                  const std::vector<TensorView>& tensors);
// After all `shard_count` shards of the step were written (a barrier, across ranks): makes the
// checkpoint visible and durable. One rank calls it.
absl::Status CommitCheckpoint(const std::string& folder, int64_t step, int shard_count,
                              int world_size, const CheckpointState& state);
// Both for a state that all ranks share.
absl::Status WriteCheckpoint(const std::string& folder, int64_t step, int world_size,
                             const std::vector<TensorView>& tensors, const CheckpointState& state);
// The same, of a shard that is already encoded (EncodeSafetensors).
absl::Status WriteCheckpointBytes(const std::string& folder, int64_t step, int world_size,
                                  absl::string_view bytes, const CheckpointState& state);
// Removes committed checkpoints of steps before `newest` but for the last `keep` up to it.
absl::Status PruneCheckpoints(const std::string& folder, int64_t newest, size_t keep);

// Reads and verifies <folder>/step_<N>. NOT_FOUND, or DATA_LOSS that names the broken file.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& folder, int64_t step);

// The newest step that verifies; broken ones are passed over and named in `skipped` when given.
// NOT_FOUND when there is none. A folder that is itself a checkpoint counts too.
absl::StatusOr<Checkpoint> ReadNewestCheckpoint(const std::string& folder,
                                                std::vector<std::string>* skipped = nullptr);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_CHECKPOINT_H_
