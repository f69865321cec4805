// Gradients of all parameters in one flat array that a communicator reduces fastest, cut into
// buckets that are reduced while the backward pass goes on.
//  - Parameters are registered in the order of their use. A backward pass finishes them in about
//    the reverse order, so bucket 0 holds the last ones; buckets are started strictly in the order
//    of their numbers, on every rank, whatever order gradients become ready in.
//  - Several backward passes may add to the gradients before one reduction (accumulation).
//  - The result is the sum over ranks, as if one rank had seen all samples: scale the loss by 1 /
//    (samples of the whole batch). Compressed sums are rounded to the 16-bit type. What travels as
//    float16 is divided before by a power of two, so that sums of ordinary gradients are held by
//    it; whether that sufficed is in finite().
// One thread at a time; MarkReady() may come from the thread that runs the backward pass.
#ifndef TRAINYARD_WORKER_TRAINING_GRADIENT_BUCKETS_H_
#define TRAINYARD_WORKER_TRAINING_GRADIENT_BUCKETS_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/training/communicator.h"
#include "worker/training/sampler.h"

namespace trainyard::training {

struct BucketOptions {
  size_t bucket_bytes = 4 << 20;       // of float32; a parameter larger than that has its own
  DataType wire = DataType::kFloat32;  // or kFloat16, kBFloat16: what travels
  bool overlap = false;                // start buckets as they fill; else all at the end
  double clip_norm = 0;                // largest 2-norm of all gradients together; 0: any
};

class GradientBuckets {
 public:
  // `sizes`: elements of each parameter, in the order of use. `extras` more floats follow the
  // parameters and are summed as they are: counters, wishes. Collective.
  static absl::StatusOr<std::unique_ptr<GradientBuckets>> Create(Communicator* communicator,
                                                                 const std::vector<size_t>& sizes,
                                                                 size_t extras,
                                                                 const BucketOptions& options);

  // All parameters' gradients one after the other, then the extras.
  float* data() { return data_; }
  size_t count() const { return count_; }  // without extras
  float* extras() { return data_ + count_; }
  size_t bucket_count() const { return buckets_.size(); }
  Range bucket(size_t number) const { return buckets_[number].range; }

  // A new step: zeroes gradients and extras. Extras are to be set before the first MarkReady().
  void Begin();
  // From now on gradients that become ready are reduced: the last backward pass of the step begins.
  void BeginLastPass() { last_pass_ = true; }
  // The gradient of a parameter is complete. Ignored before BeginLastPass(); once each.
  void MarkReady(size_t parameter);
  // Reduces what is left, waits for all, clips. Behind it data() is equal on all ranks, bit for
  // bit.
  absl::Status Finish();

  // Of the last Finish(): the norm before clipping (0 without clipping), and the seconds that the
  // caller waited for reductions.
  double norm() const { return norm_; }
  // Whether all gradients are numbers: looked for when they are clipped, or travel as float16;
  // else true. The same on all ranks. What is not finite is not clipped, and no step to take.
  bool finite() const { return finite_; }
  double waited_seconds() const { return waited_; }

 private:
  struct Bucket {
    Range range;  // of data_
    size_t parameters = 0;
    size_t missing = 0;  // not ready yet
    std::unique_ptr<Pending> pending;
  };

  GradientBuckets(Communicator* communicator, const BucketOptions& options)
      : communicator_(*communicator), options_(options) {}
  void Cut(const std::vector<size_t>& sizes, size_t extras);
  absl::Status Allocate(size_t extras);
  absl::Status StartNext();
  absl::Status ReduceWhole();
  absl::Status Clip();
  void Pack(Range range);
  void Unpack(Range range);
  bool compressed() const { return options_.wire != DataType::kFloat32; }

  Communicator& communicator_;
  const BucketOptions options_;
  size_t count_ = 0;
  size_t extras_ = 0;
  float* data_ = nullptr;
  char* wire_ = nullptr;  // as long as data_, of options_.wire
  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_;  // by parameter
  std::vector<bool> ready_;
  size_t started_ = 0;  // buckets
  bool last_pass_ = false;
  absl::Status failed_;  // of a start inside MarkReady()
  float share_ = 1;      // what gradients are multiplied by before they travel: a power of two
  bool finite_ = true;
  double norm_ = 0;
  double waited_ = 0;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_GRADIENT_BUCKETS_H_
