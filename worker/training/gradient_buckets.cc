// See gradient_buckets.h.
#include "worker/training/gradient_buckets.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "worker/training/reduce.h"

namespace trainyard::training {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GradientBuckets>> GradientBuckets::Create(
    Communicator* communicator, const std::vector<size_t>& sizes, size_t extras,
    const BucketOptions& options) {
  const bool known = options.wire == DataType::kFloat32 || options.wire == DataType::kFloat16 ||
                     options.wire == DataType::kBFloat16;
  if (!known) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gradients do not travel as ", NameOf(options.wire), "; use float32, float16 or bfloat16"));
  }
  std::unique_ptr<GradientBuckets> buckets(new GradientBuckets(communicator, options));
  buckets->Cut(sizes, extras);
  if (absl::Status status = buckets->Allocate(extras); !status.ok()) return status;
  buckets->Begin();
  return buckets;
}

void GradientBuckets::Cut(const std::vector<size_t>& sizes, size_t extras) {
  for (const size_t size : sizes) count_ += size;
  extras_ = extras;
  bucket_of_.resize(sizes.size());
  const size_t most = std::max<size_t>(1, options_.bucket_bytes / sizeof(float));
  // The extras are ready from the start and travel with the first bucket.
  Bucket bucket{{count_, count_ + extras}, 0, 0, nullptr};
  size_t end = count_;
  for (size_t i = sizes.size(); i-- > 0;) {
    const size_t begin = end - sizes[i];
    if (bucket.parameters > 0 && bucket.range.end - begin > most) {
      buckets_.push_back(std::move(bucket));
      bucket = Bucket{{end, end}, 0, 0, nullptr};
    }
    bucket.range.begin = begin;
    ++bucket.parameters;
    bucket_of_[i] = buckets_.size();
    end = begin;
  }
  buckets_.push_back(std::move(bucket));
}

absl::Status GradientBuckets::Allocate(size_t extras) {
  auto memory = communicator_.Allocate((count_ + extras) * sizeof(float));
  if (!memory.ok()) return memory.status();
  data_ = static_cast<float*>(*memory);
  if (!compressed()) return absl::OkStatus();
  while (options_.wire == DataType::kFloat16 &&
         share_ * static_cast<float>(communicator_.size()) > 1) {
    share_ /= 2;
  }
  auto wire = communicator_.Allocate((count_ + extras) * SizeOf(options_.wire));
  if (!wire.ok()) return wire.status();
  wire_ = static_cast<char*>(*wire);
  return absl::OkStatus();
}

void GradientBuckets::Begin() {
  std::memset(data_, 0, (count_ + extras_) * sizeof(float));
  for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters;
  ready_.assign(bucket_of_.size(), false);
  started_ = 0;
  last_pass_ = false;
}

void GradientBuckets::MarkReady(size_t parameter) {
  if (!last_pass_ || ready_[parameter]) return;
  ready_[parameter] = true;
  --buckets_[bucket_of_[parameter]].missing;
  while (options_.overlap && failed_.ok() && started_ < buckets_.size() &&
         buckets_[started_].missing == 0) {
    failed_ = StartNext();
  }
}

void GradientBuckets::Pack(Range range) {
  if (share_ != 1) {
    for (size_t i = range.begin; i < range.end; ++i) data_[i] *= share_;
  }
  Narrow(data_ + range.begin, wire_ + range.begin * SizeOf(options_.wire), range.size(),
         options_.wire);
}

void GradientBuckets::Unpack(Range range) {
  Widen(wire_ + range.begin * SizeOf(options_.wire), data_ + range.begin, range.size(),
        options_.wire);
  if (options_.wire != DataType::kFloat16) return;
  const float back = 1 / share_;
  bool finite = true;
  for (size_t i = range.begin; i < range.end; ++i) {
    data_[i] *= back;
    finite = finite && std::isfinite(data_[i]);
  }
  finite_ = finite_ && finite;
}

absl::Status GradientBuckets::StartNext() {
  Bucket& bucket = buckets_[started_++];
  void* data = data_ + bucket.range.begin;
  if (compressed()) {
    data = wire_ + bucket.range.begin * SizeOf(options_.wire);
    Pack(bucket.range);
  }
  auto pending =
      communicator_.StartAllReduce(data, bucket.range.size(), options_.wire, ReduceOp::kSum);
  if (!pending.ok()) return pending.status();
  bucket.pending = *std::move(pending);
  return absl::OkStatus();
}

// Nothing was started: one call for all is cheaper than many.
absl::Status GradientBuckets::ReduceWhole() {
  const size_t count = count_ + extras_;
  started_ = buckets_.size();
  if (!compressed()) {
    return communicator_.AllReduce(data_, count, DataType::kFloat32, ReduceOp::kSum);
  }
  Pack({0, count});
  absl::Status status = communicator_.AllReduce(wire_, count, options_.wire, ReduceOp::kSum);
  Unpack({0, count});
  return status;
}

absl::Status GradientBuckets::Finish() {
  const auto start = Clock::now();
  absl::Status status = failed_;
  finite_ = true;
  if (status.ok() && !options_.overlap) status = ReduceWhole();
  while (status.ok() && started_ < buckets_.size()) status = StartNext();
  for (Bucket& bucket : buckets_) {
    if (bucket.pending == nullptr) continue;
    const absl::Status done = bucket.pending->Wait();
    bucket.pending.reset();
    if (status.ok()) status = done;
    if (compressed()) Unpack(bucket.range);
  }
  waited_ = SecondsSince(start);
  if (status.ok() && options_.clip_norm > 0) status = Clip();
  return status;
}

// Each rank squares its share; the sum of the shares is the same on all ranks.
absl::Status GradientBuckets::Clip() {
  const Range mine = ShardOf(count_, communicator_.rank(), communicator_.size());
  double sum = 0;
  for (size_t i = mine.begin; i < mine.end; ++i) {
    sum += static_cast<double>(data_[i]) * static_cast<double>(data_[i]);
  }
  absl::Status status = communicator_.AllReduce(&sum, 1, DataType::kFloat64, ReduceOp::kSum);
  if (!status.ok()) return status;
  norm_ = std::sqrt(sum);
  finite_ = finite_ && std::isfinite(norm_);
  if (!finite_ || norm_ <= options_.clip_norm) return absl::OkStatus();
  const float scale = static_cast<float>(options_.clip_norm / norm_);
  for (size_t i = 0; i < count_; ++i) data_[i] *= scale;
  return absl::OkStatus();
}

}  // namespace trainyard::training
