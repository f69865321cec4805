// How ranks share the work on one array in memory that several of them write. Pure.
#ifndef TRAINYARD_WORKER_TRAINING_SLICES_H_
#define TRAINYARD_WORKER_TRAINING_SLICES_H_

#include <algorithm>
#include <cstddef>

#include "worker/training/sampler.h"

namespace trainyard::training {

// The slice of `count` elements of `element` bytes that `rank` reduces: it begins at a multiple of
// 64 bytes, so that no cache line is written by two ranks.
inline Range SliceOf(size_t count, size_t element, int rank, int size) {
  const size_t unit = 64 / element;
  const Range units = ShardOf((count + unit - 1) / unit, rank, size);
  return {std::min(count, units.begin * unit), std::min(count, units.end * unit)};
}

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_SLICES_H_
