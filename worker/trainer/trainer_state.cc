// See trainer.h: what a checkpoint holds, how it is committed and how all ranks go on from it.
// One shard, written by rank 0: parameters, moments and the best model are the same on all ranks.
#include <algorithm>
#include <cstdint>
#include <limits>
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

using training::Checkpoint;
using training::CheckpointState;
using training::DataType;
using training::TensorView;

// Hexadecimal floats: the text has every bit.
std::string Exact(double value) { return absl::StrFormat("%a", value); }

absl::Status Unusable(const Checkpoint& checkpoint, absl::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                   absl::StrCat("checkpoint ", training::CheckpointName(checkpoint.step),
                                " does not fit this run: ", what),
                   "give the run the options it was started with, or an empty checkpoint folder");
}

absl::StatusOr<int64_t> Integer(const Checkpoint& checkpoint, const std::string& key) {
  const auto found = checkpoint.state.find(key);
  int64_t value = 0;
  if (found == checkpoint.state.end() || !absl::SimpleAtoi(found->second, &value) || value < 0) {
    return Unusable(checkpoint, absl::StrCat("no number ", key));
  }
  return value;
}

absl::StatusOr<double> Real(const Checkpoint& checkpoint, const std::string& key) {
  const auto found = checkpoint.state.find(key);
  if (found == checkpoint.state.end()) return Unusable(checkpoint, absl::StrCat("no ", key));
  char* end = nullptr;
  const double value = std::strtod(found->second.c_str(), &end);
  if (end == found->second.c_str() || *end != '\0') {
    return Unusable(checkpoint, absl::StrCat("no number ", key));
  }
  return value;
}

}  // namespace

absl::StatusOr<CheckpointState> Trainer::State() {
  // Each rank's own sum of the epoch under way: adding them up would change the last bit later.
  std::vector<double> losses(static_cast<size_t>(communicator_->size()));
  absl::Status status =
      communicator_->AllGather(&train_loss_, losses.data(), 1, DataType::kFloat64);
  if (!status.ok()) return status;
  std::vector<std::string> texts;
  for (const double loss : losses) texts.push_back(Exact(loss));
  return CheckpointState{
      {"architecture", best_.architecture.Text()},
      {"optimizer", options_.optimizer},
      {"precision", precision_},
      {"optimizer_steps", absl::StrCat(optimizer_->steps())},
      {"epoch", absl::StrCat(epoch_)},
      {"samples", absl::StrCat(step_ * static_cast<size_t>(options_.batch_size))},
      {"train_losses", absl::StrJoin(texts, " ")},
      {"best_epoch", absl::StrCat(best_.epoch)},
      {"best_accuracy", Exact(best_.validation_accuracy)},
      {"best_loss", Exact(best_.validation_loss)}};
}

absl::Status Trainer::Save() {
  if (folders_.checkpoints.empty() || options_.checkpoint_every == 0 ||
      optimizer_->steps() == saved_step_) {
    return absl::OkStatus();
  }
  auto state = State();
  if (!state.ok()) return state.status();
  auto moments = optimizer_->Collect();
  if (!moments.ok()) return moments.status();
  saved_step_ = optimizer_->steps();
  if (!head()) return absl::OkStatus();
  const std::vector<int64_t> shape = {static_cast<int64_t>(count_)};
  std::vector<TensorView> tensors = {
      {"parameters", DataType::kFloat32, shape, parameters_.data()},
      {"first_moment", DataType::kFloat32, shape, moments->first.data()}};
  if (optimizer_->has_second()) {
    tensors.push_back({"second_moment", DataType::kFloat32, shape, moments->second.data()});
  }
  if (best_.epoch > 0) {
    tensors.push_back({"best_parameters", DataType::kFloat32, shape, best_.parameters.data()});
  }
  if (writer_ == nullptr) {
    writer_ = std::make_unique<training::CheckpointWriter>(
        folders_.checkpoints, static_cast<size_t>(options_.checkpoint_keep));
  }
  writer_->Start(saved_step_, communicator_->size(), tensors, *state);
  return absl::OkStatus();
}

// A full disk must not end a training that can still finish.
void Trainer::TellWritten(bool wait) {
  if (writer_ == nullptr) return;
  if (wait) writer_->Wait();
  for (const auto& written : writer_->Take()) {
    Warn(written.status);
    if (!written.status.ok()) continue;
    Warn(reporter_->Checkpoint(written.step, training::CheckpointName(written.step)));
  }
}

absl::Status Trainer::Resume() {
  // 0: nothing to resume, 1: rank 0 has read it, -1: rank 0 cannot.
  int32_t answer = 0;
  absl::Status result;
  if (head() && !folders_.checkpoints.empty() && Exists(folders_.checkpoints)) {
    std::vector<std::string> skipped;
    auto checkpoint = training::ReadNewestCheckpoint(folders_.checkpoints, &skipped);
    for (const std::string& what : skipped) {
      absl::FPrintF(stderr, "warning: a damaged checkpoint is passed over: %s\n", what);
    }
    if (checkpoint.ok()) {
      result = Restore(*checkpoint);
      answer = result.ok() ? 1 : -1;
    }
  }
  absl::Status status = communicator_->Broadcast(&answer, 1, DataType::kInt32, 0);
  if (!status.ok()) return status;
  if (answer < 0) {
    return result.ok() ? absl::AbortedError("rank 0 could not resume from its checkpoint") : result;
  }
  return answer == 0 ? absl::OkStatus() : ShareState();
}

absl::Status Trainer::Restore(const Checkpoint& checkpoint) {
  const auto text = checkpoint.state.find("architecture");
  if (text == checkpoint.state.end() || text->second != best_.architecture.Text()) {
    return Unusable(checkpoint, absl::StrCat("it holds the model ",
                                             text == checkpoint.state.end() ? "?" : text->second,
                                             ", not ", best_.architecture.Text()));
  }
  const auto optimizer = checkpoint.state.find("optimizer");
  if (optimizer == checkpoint.state.end() || optimizer->second != options_.optimizer ||
      checkpoint.shards.size() != 1) {
    return Unusable(checkpoint, "it is of another optimizer or layout");
  }
  // What a measurement chose stays chosen: the run goes on with the same bits.
  const auto precision = checkpoint.state.find("precision");
  if (options_.precision == "auto" && precision != checkpoint.state.end()) {
    precision_ = precision->second == "bfloat16" ? "bfloat16" : "float32";
  }
  const std::pair<const char*, int64_t*> numbers[] = {
      {"optimizer_steps", &optimizer_steps_}, {"epoch", &epoch_}, {"best_epoch", &best_.epoch}};
  for (const auto& [key, out] : numbers) {
    auto value = Integer(checkpoint, key);
    if (!value.ok()) return value.status();
    *out = *value;
  }
  auto samples = Integer(checkpoint, "samples");
  auto accuracy = Real(checkpoint, "best_accuracy"), loss = Real(checkpoint, "best_loss");
  if (!samples.ok()) return samples.status();
  if (!accuracy.ok()) return accuracy.status();
  if (!loss.ok()) return loss.status();
  step_ = static_cast<size_t>(*samples / options_.batch_size);
  best_.validation_accuracy = *accuracy;
  best_.validation_loss = *loss;
  saved_step_ = checkpoint.step;
  std::pair<const char*, std::vector<float>*> tensors[] = {
      {"parameters", &parameters_},
      {"first_moment", &moments_.first},
      {optimizer_->has_second() ? "second_moment" : nullptr, &moments_.second},
      {best_.epoch == 0 ? nullptr : "best_parameters", &best_.parameters}};
  for (auto& [name, out] : tensors) {
    if (name == nullptr) continue;
    auto values = checkpoint.shards[0].Floats(name, count_);
    if (!values.ok()) return Unusable(checkpoint, values.status().message());
    out->resize(std::max(count_, out->size()));
    std::copy(values->begin(), values->end(), out->begin());  // the network keeps the address
  }
  return RestoreLosses(checkpoint);
}

absl::Status Trainer::RestoreLosses(const Checkpoint& checkpoint) {
  const auto found = checkpoint.state.find("train_losses");
  if (found == checkpoint.state.end()) return Unusable(checkpoint, "no train_losses");
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

absl::Status Trainer::ShareState() {
  int64_t integers[] = {
      optimizer_steps_, epoch_,      static_cast<int64_t>(step_),
      best_.epoch,      saved_step_, precision_.empty() ? 0 : precision_ == "bfloat16" ? 2 : 1};
  double reals[] = {best_.validation_accuracy, best_.validation_loss};
  rank_losses_.resize(static_cast<size_t>(communicator_->size()));
  const auto share = [this](void* data, size_t count, DataType type) {
    return communicator_->Broadcast(data, count, type, 0);
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
  moments_.first.resize(count_);
  if (optimizer_->has_second()) moments_.second.resize(count_);
  if (best_.epoch > 0) best_.parameters.resize(count_);
  for (std::vector<float>* values :
       {&parameters_, &moments_.first, &moments_.second, &best_.parameters}) {
    status = share(values->data(), values->size(), DataType::kFloat32);
    if (!status.ok()) return status;
  }
  status = optimizer_->Restore(optimizer_steps_, moments_);
  if (!status.ok()) return status;
  moments_ = {};
  if (head()) absl::PrintF("resumed from %s\n", training::CheckpointName(saved_step_));
  return absl::OkStatus();
}

}  // namespace trainyard::trainer
