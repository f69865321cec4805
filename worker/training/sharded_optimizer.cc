// See sharded_optimizer.h.
#include "worker/training/sharded_optimizer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trainyard::training {
namespace {

size_t SliceSize(size_t size, int ranks) {
  return (size + static_cast<size_t>(ranks) - 1) / static_cast<size_t>(ranks);
}

// Elements of the slice that exist: the last ones may reach beyond the end.
size_t Real(size_t begin, size_t slice, size_t size) {
  return begin >= size ? 0 : std::min(slice, size - begin);
}

}  // namespace

ShardedOptimizer::ShardedOptimizer(const OptimizerOptions& options, size_t size,
                                   Communicator* communicator, bool sharded)
    : communicator_(*communicator),
      size_(size),
      sharded_(sharded && communicator->size() > 1),
      has_second_(options.kind != OptimizerKind::kSgd),
      begin_(sharded
                 ? SliceSize(size, communicator->size()) * static_cast<size_t>(communicator->rank())
                 : 0),
      slice_(sharded ? SliceSize(size, communicator->size()) : size),
      padded_(sharded ? slice_ * static_cast<size_t>(communicator->size()) : size),
      offset_(sharded ? 0 : PartOf(size, communicator->rank(), communicator->size()).begin),
      optimizer_(options, Real(begin_, slice_, size)) {}

Range ShardedOptimizer::PartOf(size_t size, int rank, int ranks) {
  const size_t each = SliceSize(size, ranks), begin = each * static_cast<size_t>(rank);
  return {std::min(begin, size), std::min(begin + each, size)};
}

absl::Status ShardedOptimizer::Step(double learning_rate, const float* gradients,
                                    float* parameters) {
  const size_t at = std::min(begin_, size_);
  optimizer_.Step(learning_rate, gradients + at, parameters + at);
  if (!sharded_) return absl::OkStatus();
  return communicator_.AllGather(parameters + begin_, parameters, slice_, DataType::kFloat32);
}

absl::StatusOr<std::vector<float>> ShardedOptimizer::CollectOne(
    const std::vector<float>& mine) const {
  std::vector<float> all(padded_);
  std::copy(mine.begin(), mine.end(), all.begin() + static_cast<ptrdiff_t>(begin_));
  if (sharded_) {
    absl::Status status =
        communicator_.AllGather(all.data() + begin_, all.data(), slice_, DataType::kFloat32);
    if (!status.ok()) return status;
  }
  all.resize(size_);
  return all;
}

absl::StatusOr<Moments> ShardedOptimizer::Collect() const {
  Moments moments;
  auto first = CollectOne(optimizer_.first);
  if (!first.ok()) return first.status();
  moments.first = *std::move(first);
  if (!has_second_) return moments;
  auto second = CollectOne(optimizer_.second);
  if (!second.ok()) return second.status();
  moments.second = *std::move(second);
  return moments;
}

absl::Status ShardedOptimizer::Restore(int64_t steps, const Moments& moments) {
  if (moments.first.size() != size_ || moments.second.size() != (has_second_ ? size_ : 0)) {
    return absl::InvalidArgumentError(absl::StrCat("moments of ", moments.first.size(), " and ",
                                                   moments.second.size(), " parameters, expected ",
                                                   size_));
  }
  optimizer_.steps = steps;
  const auto take = [this](const std::vector<float>& from, std::vector<float>* to) {
    const auto begin = from.begin() + static_cast<ptrdiff_t>(std::min(begin_, size_));
    std::copy(begin, begin + static_cast<ptrdiff_t>(to->size()), to->begin());
  };
  take(moments.first, &optimizer_.first);
  if (has_second_) take(moments.second, &optimizer_.second);
  return absl::OkStatus();
}

}  // namespace trainyard::training
