// See trainer.h: how all ranks go on from a checkpoint. Every step here is taken by all ranks.
//  - The newest step that any rank sees is tried first. Its shards are read where they are, each by
//    one of the ranks that see it, and verified; when one is nowhere whole, an older step is tried.
//  - Whoever read a shard sends it to all others. The number of shards need not be that of ranks.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/file.h"
#include "worker/trainer/trainer.h"

namespace trainyard::trainer {
namespace {

using training::CheckpointManifest;
using training::DataType;
using training::ReduceOp;

constexpr int64_t kNobody = std::numeric_limits<int64_t>::max();

absl::Status Unusable(int64_t step, absl::string_view what) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
      absl::StrCat("checkpoint ", training::CheckpointName(step), " does not fit this run: ", what),
      "give the run the options it was started with, or an empty checkpoint folder");
}

absl::StatusOr<int64_t> Integer(const CheckpointManifest& manifest, const std::string& key) {
  const auto found = manifest.state.find(key);
  int64_t value = 0;
  if (found == manifest.state.end() || !absl::SimpleAtoi(found->second, &value) || value < 0) {
    return Unusable(manifest.step, absl::StrCat("no number ", key));
  }
  return value;
}

absl::StatusOr<double> Real(const CheckpointManifest& manifest, const std::string& key) {
  const auto found = manifest.state.find(key);
  if (found == manifest.state.end()) return Unusable(manifest.step, absl::StrCat("no ", key));
  char* end = nullptr;
  const double value = std::strtod(found->second.c_str(), &end);
  if (end == found->second.c_str() || *end != '\0') {
    return Unusable(manifest.step, absl::StrCat("no number ", key));
  }
  return value;
}

void SayPassedOver(const absl::Status& why) {
  absl::FPrintF(stderr, "warning: a damaged checkpoint is passed over: %s\n", why.message());
}

}  // namespace

// A step that is being tried.
struct Trainer::Found {
  int64_t step = -1;  // -1: there is none
  int64_t root = kNobody;
  CheckpointManifest manifest;                  // where this rank sees it
  bool sees = false;                            // whether it does
  std::vector<int64_t> owners;                  // rank that read it, by shard
  std::map<size_t, training::TensorFile> mine;  // shards that this rank read
};

absl::Status Trainer::Resume() {
  if (folders_.checkpoints.empty()) return absl::OkStatus();
  // No rank writes before all have met below.
  if (folders_.local_rank == 0) Warn(training::SweepCheckpoints(folders_.checkpoints));
  place_.everybody = folders_.local_ranks == communicator_->size();
  const bool saves = options_.checkpoint_every > 0 || options_.checkpoint_minutes > 0;
  if (saves && !place_.everybody) {
    auto place =
        training::FindFolderPlace(folders_.checkpoints, folders_.local_rank == 0, communicator_);
    if (!place.ok()) return place.status();
    place_ = *place;
  }
  auto found = FindNewest();
  if (!found.ok()) return found.status();
  if (found->step < 0) return absl::OkStatus();
  const int root = static_cast<int>(found->root);
  // All that see it look: the first rank, which alone prints, is most likely one of them.
  const absl::Status mine = found->sees ? Restore(found->manifest) : absl::OkStatus();
  absl::Status status = AgreeOn(mine, training::CheckpointName(found->step));
  if (status.ok()) status = ShareCounters(root);
  if (status.ok()) status = ShareTensors(*found);
  if (status.ok()) status = optimizer_->Restore(optimizer_steps_, moments_);
  if (!status.ok()) return status;
  moments_ = {};
  whole_step_ = saved_step_;
  if (head()) absl::PrintF("resumed from %s\n", training::CheckpointName(saved_step_));
  return absl::OkStatus();
}

// The newest step whose shards are all there and whole.
absl::StatusOr<Trainer::Found> Trainer::FindNewest() {
  std::vector<int64_t> steps;
  if (Exists(folders_.checkpoints)) {
    auto listed = training::CheckpointSteps(folders_.checkpoints);
    if (listed.ok()) steps = *std::move(listed);
  }
  for (int64_t bound = std::numeric_limits<int64_t>::max();;) {
    Found found;
    for (const int64_t step : steps) {
      if (step < bound) found.step = std::max(found.step, step);
    }
    absl::Status status =
        communicator_->AllReduce(&found.step, 1, DataType::kInt64, ReduceOp::kMax);
    if (!status.ok()) return status;
    if (found.step < 0) return found;
    auto whole = ReadShards(&found);
    if (!whole.ok()) return whole.status();
    if (*whole) return found;
    bound = found.step;
  }
}

// Reads this rank's share of a step's shards. Whether all of them were read by somebody.
absl::StatusOr<bool> Trainer::ReadShards(Found* found) {
  auto manifest = training::ReadCheckpointManifest(folders_.checkpoints, found->step);
  found->sees = manifest.ok();
  if (found->sees) found->manifest = *std::move(manifest);
  if (!found->sees && !absl::IsNotFound(manifest.status()) && folders_.local_rank == 0) {
    SayPassedOver(manifest.status());
  }
  // The lowest rank that sees it speaks; 48 bits of its manifest's digest tell one from another.
  uint64_t digest = 0;
  if (found->sees) {
    const bool read = absl::SimpleHexAtoi(found->manifest.sha256.substr(0, 12), &digest);
    digest = read ? digest : 0;
  }
  const int64_t number = static_cast<int64_t>(digest);
  const int64_t count = static_cast<int64_t>(found->manifest.shards.size());
  int64_t least[] = {found->sees ? communicator_->rank() : kNobody, found->sees ? number : kNobody,
                     found->sees ? -number : kNobody, found->sees ? count : kNobody};
  absl::Status status =
      communicator_->AllReduce(least, std::size(least), DataType::kInt64, ReduceOp::kMin);
  if (!status.ok()) return status;
  found->root = least[0];
  if (found->root == kNobody) return false;
  if (least[1] != -least[2]) {
    if (head()) {
      SayPassedOver(absl::DataLossError(
          absl::StrCat(training::CheckpointName(found->step), " is not the same on all nodes")));
    }
    return false;
  }
  found->owners.assign(static_cast<size_t>(least[3]), kNobody);
  for (size_t i = 0; found->sees && i < found->manifest.shards.size(); ++i) {
    if (static_cast<int>(i) % folders_.local_ranks != folders_.local_rank) continue;
    auto shard =
        training::ReadCheckpointShard(folders_.checkpoints, found->step, found->manifest.shards[i]);
    if (!shard.ok() && !absl::IsNotFound(shard.status())) SayPassedOver(shard.status());
    if (!shard.ok()) continue;
    found->owners[i] = communicator_->rank();
    found->mine[i] = *std::move(shard);
  }
  status = communicator_->AllReduce(found->owners.data(), found->owners.size(), DataType::kInt64,
                                    ReduceOp::kMin);
  if (!status.ok()) return status;
  const bool whole = std::count(found->owners.begin(), found->owners.end(), kNobody) == 0;
  if (!whole && head()) {
    SayPassedOver(absl::DataLossError(
        absl::StrCat(training::CheckpointName(found->step), " lacks a shard that is whole")));
  }
  return whole;
}

// The error of whoever has one; the others name that there was one.
absl::Status Trainer::AgreeOn(const absl::Status& mine, const std::string& step) {
  int32_t good = mine.ok() ? 1 : 0;
  absl::Status status = communicator_->AllReduce(&good, 1, DataType::kInt32, ReduceOp::kMin);
  if (!status.ok()) return status;
  if (!mine.ok()) return mine;
  return good != 0 ? absl::OkStatus()
                   : absl::AbortedError(absl::StrCat("another rank could not resume from ", step));
}

// Names all that differs at once. What a checkpoint does not say was not kept by its writer, and is
// taken as the same, but for model and optimiser. Between two epochs the batch may change its size:
// no sample of the next one is taken yet, and a tuner may want it so.
absl::Status Trainer::CheckSameRun(const CheckpointManifest& manifest) const {
  std::vector<std::string> differs;
  const auto samples = manifest.state.find("samples");
  const bool between = samples != manifest.state.end() && samples->second == "0";
  for (const auto& [key, mine] : RunState()) {
    if (key == "batch_size" && between) continue;
    const auto found = manifest.state.find(key);
    const bool must = key == "architecture" || key == "optimizer";
    if (found == manifest.state.end() && !must) continue;
    const std::string theirs = found == manifest.state.end() ? "?" : found->second;
    if (theirs != mine) differs.push_back(absl::StrCat(key, " was ", theirs, ", is ", mine));
  }
  if (differs.empty()) return absl::OkStatus();
  return Unusable(manifest.step, absl::StrJoin(differs, "; "));
}

// Checks that the checkpoint is of this run, and takes its counters.
absl::Status Trainer::Restore(const CheckpointManifest& manifest) {
  if (absl::Status status = CheckSameRun(manifest); !status.ok()) return status;
  // What a measurement chose stays chosen: the run goes on with the same bits.
  const auto precision = manifest.state.find("precision");
  if (options_.precision == "auto" && precision != manifest.state.end()) {
    precision_ = precision->second == "bfloat16" ? "bfloat16" : "float32";
  }
  const std::pair<const char*, int64_t*> numbers[] = {
      {"optimizer_steps", &optimizer_steps_}, {"epoch", &epoch_}, {"best_epoch", &best_.epoch}};
  for (const auto& [key, out] : numbers) {
    auto value = Integer(manifest, key);
    if (!value.ok()) return value.status();
    *out = *value;
  }
  auto samples = Integer(manifest, "samples");
  auto accuracy = Real(manifest, "best_accuracy"), loss = Real(manifest, "best_loss");
  if (!samples.ok()) return samples.status();
  if (!accuracy.ok()) return accuracy.status();
  if (!loss.ok()) return loss.status();
  step_ = static_cast<size_t>(*samples / options_.batch_size);
  best_.validation_accuracy = *accuracy;
  best_.validation_loss = *loss;
  saved_step_ = manifest.step;
  return RestoreLosses(manifest);
}

absl::Status Trainer::RestoreLosses(const CheckpointManifest& manifest) {
  const auto found = manifest.state.find("train_losses");
  if (found == manifest.state.end()) return Unusable(manifest.step, "no train_losses");
  std::vector<double> losses;
  for (const absl::string_view part : absl::StrSplit(found->second, ' ', absl::SkipEmpty())) {
    losses.push_back(std::strtod(std::string(part).c_str(), nullptr));
  }
  const size_t size = static_cast<size_t>(communicator_->size());
  rank_losses_.assign(size, 0.0);
  // With another number of ranks only the sum has a meaning.
  for (size_t i = 0; i < losses.size(); ++i) {
    rank_losses_[losses.size() == size ? i : 0] += losses[i];
  }
  return absl::OkStatus();
}

absl::Status Trainer::ShareCounters(int root) {
  int64_t integers[] = {
      optimizer_steps_, epoch_,      static_cast<int64_t>(step_),
      best_.epoch,      saved_step_, precision_.empty() ? 0 : precision_ == "bfloat16" ? 2 : 1};
  double reals[] = {best_.validation_accuracy, best_.validation_loss};
  rank_losses_.resize(static_cast<size_t>(communicator_->size()));
  const auto share = [this, root](void* data, size_t count, DataType type) {
    return communicator_->Broadcast(data, count, type, root);
  };
  absl::Status status = share(integers, std::size(integers), DataType::kInt64);
  if (status.ok()) status = share(reals, std::size(reals), DataType::kFloat64);
  if (status.ok()) status = share(rank_losses_.data(), rank_losses_.size(), DataType::kFloat64);
  if (!status.ok()) return status;
  optimizer_steps_ = integers[0];
  epoch_ = integers[1];
  step_ = static_cast<size_t>(integers[2]);
  best_.epoch = integers[3];
  saved_step_ = integers[4];
  precision_ = integers[5] == 0 ? "" : integers[5] == 2 ? "bfloat16" : "float32";
  best_.validation_accuracy = reals[0];
  best_.validation_loss = reals[1];
  train_loss_ = rank_losses_[static_cast<size_t>(communicator_->rank())];
  return absl::OkStatus();
}

// The network keeps the address of the parameters.
absl::Status Trainer::ShareTensors(const Found& found) {
  moments_.first.resize(count_);
  if (optimizer_->has_second()) moments_.second.resize(count_);
  if (best_.epoch > 0) best_.parameters.resize(count_);
  const std::pair<const char*, std::vector<float>*> tensors[] = {
      {"parameters", &parameters_},
      {"first_moment", &moments_.first},
      {optimizer_->has_second() ? "second_moment" : nullptr, &moments_.second},
      {best_.epoch > 0 ? "best_parameters" : nullptr, &best_.parameters}};
  const int shards = static_cast<int>(found.owners.size());
  const auto range = [this, shards](size_t shard) {
    return training::ShardedOptimizer::PartOf(count_, static_cast<int>(shard), shards);
  };
  absl::Status mine;
  for (const auto& [shard, file] : found.mine) {
    for (const auto& [name, to] : tensors) {
      if (name == nullptr || !mine.ok()) continue;
      const training::Range part = range(shard);
      mine = file.CopyFloats(name, part.size(), to->data() + part.begin);
      if (!mine.ok()) mine = Unusable(found.step, mine.message());
    }
  }
  absl::Status status = AgreeOn(mine, training::CheckpointName(found.step));
  for (size_t shard = 0; shard < found.owners.size(); ++shard) {
    for (const auto& [name, to] : tensors) {
      if (name == nullptr || !status.ok()) continue;
      const training::Range part = range(shard);
      status = communicator_->Broadcast(to->data() + part.begin, part.size(), DataType::kFloat32,
                                        static_cast<int>(found.owners[shard]));
    }
  }
  return status;
}

}  // namespace trainyard::trainer
