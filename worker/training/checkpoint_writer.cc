// See checkpoint_writer.h.
#include "worker/training/checkpoint_writer.h"

#include <algorithm>
#include <utility>

namespace trainyard::training {

CheckpointWriter::CheckpointWriter(std::string folder, size_t keep, bool alone)
    : folder_(std::move(folder)), keep_(std::max<size_t>(1, keep)), alone_(alone) {}

void CheckpointWriter::Start(int64_t step, int world_size, const std::vector<TensorView>& tensors,
                             const CheckpointState& state) {
  queue_.Drain();
  EncodeSafetensors(tensors, {}, &bytes_);
  queue_.Start([this, step, world_size, state] {
    Ended(step, WriteCheckpointBytes(folder_, step, world_size, bytes_, state));
    return absl::OkStatus();
  });
}

void CheckpointWriter::StartShard(int64_t step, int shard, const std::vector<TensorView>& tensors) {
  queue_.Drain();
  shard_done_ = false;
  EncodeSafetensors(tensors, {}, &bytes_);
  queue_.Start([this, step, shard] {
    shard_ = WriteCheckpointShard(folder_, step, shard, bytes_);
    shard_done_ = true;
    return absl::OkStatus();
  });
}

void CheckpointWriter::Commit(int64_t step, int world_size, const CheckpointState& state,
                              const std::vector<ShardEntry>& shards) {
  queue_.Start([this, step, world_size, state, shards] {
    Ended(step, CommitCheckpoint(folder_, step, world_size, state, shards));
    return absl::OkStatus();
  });
}

void CheckpointWriter::Ended(int64_t step, absl::Status status) {
  if (status.ok()) {
    const int64_t everywhere = alone_ ? step : committed_;
    // What cannot be removed costs room, no more.
    if (everywhere >= 0) PruneCheckpoints(folder_, everywhere, keep_).IgnoreError();
    committed_ = step;
  }
  MutexLock lock(&mutex_);
  written_.push_back({step, std::move(status)});
}

std::vector<CheckpointWriter::Written> CheckpointWriter::Take() {
  MutexLock lock(&mutex_);
  return std::exchange(written_, {});
}

}  // namespace trainyard::training
