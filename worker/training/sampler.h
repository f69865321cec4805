// Which samples each step trains on: a function of seed and epoch alone, so that a run with another
// number of ranks, or one resumed in the middle of an epoch, sees the same order. Pure; immutable.
#ifndef TRAINYARD_WORKER_TRAINING_SAMPLER_H_
#define TRAINYARD_WORKER_TRAINING_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace trainyard::training {

// [begin, end) of `count` items that belong to `rank` of `world_size`: contiguous, in rank order,
// sizes differ by at most one, together exactly `count`.
struct Range {
  size_t begin = 0;
  size_t end = 0;
  size_t size() const { return end - begin; }
};
Range ShardOf(size_t count, int rank, int world_size);

class Sampler {
 public:
  // `batch_size` is global: what all ranks together train on in one step; at least 1.
  Sampler(size_t sample_count, size_t batch_size, uint64_t seed);

  // The last batch of an epoch may be smaller; none is empty.
  size_t steps_per_epoch() const;
  size_t BatchSize(size_t step) const;

  // All samples in the order of `epoch` (Fisher-Yates, seeded by seed and epoch).
  std::vector<size_t> Order(uint64_t epoch) const;
  // Positions in Order() of what `rank` trains on in `step` of an epoch; may be empty.
  Range Shard(size_t step, int rank, int world_size) const;

 private:
  const size_t sample_count_;
  const size_t batch_size_;
  const uint64_t seed_;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_SAMPLER_H_
