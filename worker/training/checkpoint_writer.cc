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
  absl::Status status = EncodeSafetensors(tensors, {}, &bytes_);
  queue_.Start([this, step, world_size, state, status] {
    Ended(step, step,
          status.ok() ? WriteCheckpointBytes(folder_, step, world_size, bytes_, state) : status);
    return absl::OkStatus();
  });
}

void CheckpointWriter::StartShard(int64_t step, int shard, const std::vector<TensorView>& tensors) {
  queue_.Drain();
  shard_done_ = false;
  absl::Status status = EncodeSafetensors(tensors, {}, &bytes_);
  queue_.Start([this, step, shard, status] {
    if (status.ok()) {
      shard_ = WriteCheckpointShard(folder_, step, shard, bytes_);
    } else {
      shard_ = status;
    }
    shard_done_ = true;
    return absl::OkStatus();
  });
}

void CheckpointWriter::Commit(int64_t step, int world_size, const CheckpointState& state,
                              const std::vector<ShardEntry>& shards, int64_t whole) {
  queue_.Start([this, step, world_size, state, shards, whole] {
    Ended(step, alone_ ? step : whole, CommitCheckpoint(folder_, step, world_size, state, shards));
    return absl::OkStatus();
  });
}

void CheckpointWriter::Ended(int64_t step, int64_t whole, absl::Status status) {
  committed_ = status.ok();
  // What cannot be removed costs room, no more.
  if (status.ok() && whole >= 0) PruneCheckpoints(folder_, whole, keep_).IgnoreError();
  MutexLock lock(&mutex_);
  written_.push_back({step, std::move(status)});
}

std::vector<CheckpointWriter::Written> CheckpointWriter::Take() {
  MutexLock lock(&mutex_);
  return std::exchange(written_, {});
}

}  // namespace trainyard::training
