// Writes checkpoints beside the training: Start() copies the tensors and returns, a thread makes
// them durable and visible, and removes all but the newest few.
//  - A rank of several writes its shard alone: StartShard(), then Commit() once all ranks' shards
//    are durable, by one rank of those that see the folder.
//  - At most one checkpoint is being written: a Start() before it is through waits for it.
//  - What was written becomes known through Take(), to the thread that trains: it may then be
//    reported. A checkpoint is removed only when `keep` newer ones are committed; where other
//    nodes have parts of it in folders of their own, only when all of them said that they
//    committed the newer ones too.
// One thread at a time.
#ifndef TRAINYARD_WORKER_TRAINING_CHECKPOINT_WRITER_H_
#define TRAINYARD_WORKER_TRAINING_CHECKPOINT_WRITER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/mutex.h"
#include "worker/training/async_queue.h"
#include "worker/training/checkpoint.h"

namespace trainyard::training {

class CheckpointWriter {
 public:
  struct Written {
    int64_t step = 0;
    absl::Status status;  // OK: committed and durable
  };

  // `keep`: committed checkpoints that stay, at least 1. `alone`: no part of a checkpoint lies in
  // another folder. Otherwise Commit() is told what may be relied on.
  CheckpointWriter(std::string folder, size_t keep, bool alone = true);
  // What was started is finished.
  ~CheckpointWriter() = default;

  void Start(int64_t step, int world_size, const std::vector<TensorView>& tensors,
             const CheckpointState& state);
  // Only a shard, number `shard`. What became of it is there when shard_done() is true, until the
  // next StartShard().
  void StartShard(int64_t step, int shard, const std::vector<TensorView>& tensors);
  bool shard_done() const { return shard_done_; }
  const absl::StatusOr<ShardEntry>& shard() const { return shard_; }
  // `whole`: the last step that all nodes are known to have committed, -1 without any. It stays,
  // and what it makes superfluous goes, with OK of this commit.
  void Commit(int64_t step, int world_size, const CheckpointState& state,
              const std::vector<ShardEntry>& shards, int64_t whole = -1);
  // Whether the last commit succeeded, true before the first. After Wait() or shard_done().
  bool committed() const { return committed_; }
  // Those that ended since the last call.
  std::vector<Written> Take();
  void Wait() { queue_.Drain(); }

 private:
  void Ended(int64_t step, int64_t whole, absl::Status status);

  const std::string folder_;
  const size_t keep_;
  const bool alone_;
  std::atomic<bool> committed_ = true;
  std::string bytes_;  // the snapshot; its memory is used again
  absl::StatusOr<ShardEntry> shard_ = absl::UnavailableError("no shard was written");
  std::atomic<bool> shard_done_ = false;  // shard_ may be read
  Mutex mutex_;
  std::vector<Written> written_ ABSL_GUARDED_BY(mutex_);
  AsyncQueue queue_;  // last: its thread uses all of the above
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_CHECKPOINT_WRITER_H_
