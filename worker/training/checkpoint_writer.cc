// See checkpoint_writer.h.
#include "worker/training/checkpoint_writer.h"

#include <algorithm>
#include <utility>

namespace trainyard::training {

CheckpointWriter::CheckpointWriter(std::string folder, size_t keep)
    : folder_(std::move(folder)), keep_(std::max<size_t>(1, keep)) {}

void CheckpointWriter::Start(int64_t step, int world_size, const std::vector<TensorView>& tensors,
                             const CheckpointState& state) {
  queue_.Drain();
  EncodeSafetensors(tensors, {}, &bytes_);
  queue_.Start([this, step, world_size, state] {
    Write(step, world_size, state);
    return absl::OkStatus();
  });
}

void CheckpointWriter::Write(int64_t step, int world_size, const CheckpointState& state) {
  absl::Status status = WriteCheckpointBytes(folder_, step, world_size, bytes_, state);
  // What cannot be removed costs room, no more.
  if (status.ok()) PruneCheckpoints(folder_, step, keep_).IgnoreError();
  MutexLock lock(&mutex_);
  written_.push_back({step, std::move(status)});
}

std::vector<CheckpointWriter::Written> CheckpointWriter::Take() {
  MutexLock lock(&mutex_);
  return std::exchange(written_, {});
}

}  // namespace trainyard::training
