// See sampler.h.
#include "worker/training/sampler.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/random.h"

namespace trainyard::training {

Range ShardOf(size_t count, int rank, int world_size) {
  const size_t ranks = static_cast<size_t>(world_size);
  const size_t whole = count / ranks, rest = count % ranks;
  const size_t index = static_cast<size_t>(rank);
  const size_t begin = index * whole + std::min(index, rest);
  return {begin, begin + whole + (index < rest ? 1 : 0)};
}

Sampler::Sampler(size_t sample_count, size_t batch_size, uint64_t seed)
    : sample_count_(sample_count), batch_size_(std::max<size_t>(batch_size, 1)), seed_(seed) {}

size_t Sampler::steps_per_epoch() const { return (sample_count_ + batch_size_ - 1) / batch_size_; }

size_t Sampler::BatchSize(size_t step) const {
  return std::min(batch_size_, sample_count_ - step * batch_size_);
}

std::vector<size_t> Sampler::Order(uint64_t epoch) const {
  std::vector<size_t> order(sample_count_);
  std::iota(order.begin(), order.end(), size_t{0});
  Random random(MixSeed(seed_, epoch));
  for (size_t left = sample_count_; left > 1; --left) {
    std::swap(order[left - 1], order[random.Below(left)]);
  }
  return order;
}

Range Sampler::Shard(size_t step, int rank, int world_size) const {
  const size_t begin = step * batch_size_;
  const Range part = ShardOf(BatchSize(step), rank, world_size);
  return {begin + part.begin, begin + part.end};
}

}  // namespace trainyard::training
