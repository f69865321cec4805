// An optimiser whose moments are shared out over the ranks of a gang (stage 1 of Rajbhandari et
// al., "ZeRO", 2020): each rank keeps and updates one slice, then all collect the parameters. Or,
// unsharded, one that every rank runs in full. Both give the same parameters, bit for bit.
// Thread-compatible; calls marked collective are made by all ranks.
#ifndef TRAINYARD_WORKER_TRAINING_SHARDED_OPTIMIZER_H_
#define TRAINYARD_WORKER_TRAINING_SHARDED_OPTIMIZER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/training/communicator.h"
#include "worker/training/optimizer.h"
#include "worker/training/sampler.h"

namespace trainyard::training {

// Of all parameters; `second` is empty for SGD.
struct Moments {
  std::vector<float> first;
  std::vector<float> second;
};

class ShardedOptimizer {
 public:
  ShardedOptimizer(const OptimizerOptions& options, size_t size, Communicator* communicator,
                   bool sharded);

  // Elements that the array of parameters needs: `size` and some room behind it.
  size_t padded_size() const { return padded_; }
  // One update of `parameters` (padded_size() elements) by `size` gradients; collective. Arrays are
  // equal on all ranks, before and behind.
  absl::Status Step(double learning_rate, const float* gradients, float* parameters);

  int64_t steps() const { return optimizer_.steps; }
  bool has_second() const { return has_second_; }
  // This rank's share of the elements, whoever keeps their moments: of all ranks' shares, one
  // behind the other, together all. And the moments of that share; `second` nullptr without any.
  Range part() const { return PartOf(size_, communicator_.rank(), communicator_.size()); }
  static Range PartOf(size_t size, int rank, int ranks);
  const float* first_of_part() const { return optimizer_.first.data() + offset_; }
  const float* second_of_part() const {
    return has_second_ ? optimizer_.second.data() + offset_ : nullptr;
  }
  // Everybody's moments, whatever the number of ranks then and later; collective.
  absl::StatusOr<Moments> Collect() const;
  // INVALID_ARGUMENT when the moments are of another size.
  absl::Status Restore(int64_t steps, const Moments& moments);

 private:
  absl::StatusOr<std::vector<float>> CollectOne(const std::vector<float>& mine) const;

  Communicator& communicator_;
  const size_t size_;
  const bool sharded_;
  const bool has_second_;
  size_t begin_ = 0;  // of this rank's slice
  size_t slice_ = 0;  // elements a rank, with padding
  size_t padded_ = 0;
  size_t offset_ = 0;  // of this rank's share in its moments
  Optimizer optimizer_;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_SHARDED_OPTIMIZER_H_
