// See trainer.h: what a checkpoint holds and how it is committed.
//  - Parameters, moments and the best model are as long as each other; each rank's shard has its
//    share of all of them (ShardedOptimizer::part()).
//  - Shards are written beside the training. Each step's gradients tell whether all are durable;
//    then the ranks tell each other their digests, and one rank of those that see a folder commits.
//    Whether it could is told with the digests of the next checkpoint.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/trainer/trainer.h"

namespace trainyard::trainer {
namespace {

using training::CheckpointState;
using training::DataType;
using training::TensorView;

// Hexadecimal floats: the text has every bit.
std::string Exact(double value) { return absl::StrFormat("%a", value); }

// What a rank tells the others of its shard, and of its commit of the checkpoint before.
struct Card {
  int64_t written = 0;
  int64_t committed = 0;
  uint64_t bytes = 0;
  char sha256[32] = {};
};
static_assert(sizeof(Card) % sizeof(int64_t) == 0);

}  // namespace

absl::StatusOr<CheckpointState> Trainer::State() {
  // Each rank's own sum of the epoch under way: adding them up would change the last bit later.
  std::vector<double> losses(static_cast<size_t>(communicator_->size()));
  absl::Status status =
      communicator_->AllGather(&train_loss_, losses.data(), 1, DataType::kFloat64);
  if (!status.ok()) return status;
  std::vector<std::string> texts;
  for (const double loss : losses) texts.push_back(Exact(loss));
  CheckpointState state = RunState();
  state.insert({{"precision", precision_},
                {"optimizer_steps", absl::StrCat(optimizer_->steps())},
                {"epoch", absl::StrCat(epoch_)},
                {"samples", absl::StrCat(step_ * static_cast<size_t>(options_.batch_size))},
                {"train_losses", absl::StrJoin(texts, " ")},
                {"best_epoch", absl::StrCat(best_.epoch)},
                {"best_accuracy", Exact(best_.validation_accuracy)},
                {"best_loss", Exact(best_.validation_loss)}});
  return state;
}

// What must be the same in a run that goes on from a checkpoint: otherwise its samples come in
// another order, or training rows become test rows. The number of ranks may change.
CheckpointState Trainer::RunState() const {
  return {{"architecture", best_.architecture.Text()},
          {"optimizer", options_.optimizer},
          {"batch_size", absl::StrCat(options_.batch_size)},
          {"seed", absl::StrCat(options_.seed)},
          {"split_seed", absl::StrCat(options_.split_seed)},
          {"validation_fraction", absl::StrCat(options_.validation_fraction)},
          {"test_fraction", absl::StrCat(options_.test_fraction)},
          {"rows", absl::StrCat(data_->count)}};
}

std::vector<TensorView> Trainer::PartOfState() const {
  const training::Range part = optimizer_->part();
  const std::vector<int64_t> shape = {static_cast<int64_t>(part.size())};
  std::vector<TensorView> tensors = {
      {"parameters", DataType::kFloat32, shape, parameters_.data() + part.begin},
      {"first_moment", DataType::kFloat32, shape, optimizer_->first_of_part()}};
  if (optimizer_->has_second()) {
    tensors.push_back({"second_moment", DataType::kFloat32, shape, optimizer_->second_of_part()});
  }
  if (best_.epoch > 0) {
    tensors.push_back(
        {"best_parameters", DataType::kFloat32, shape, best_.parameters.data() + part.begin});
  }
  return tensors;
}

bool Trainer::SaveIsDue() const {
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - saved_at_;
  return options_.checkpoint_minutes > 0 && since.count() >= 60 * options_.checkpoint_minutes;
}

absl::Status Trainer::Save() {
  due_ = false;
  if (folders_.checkpoints.empty() || optimizer_->steps() == saved_step_ ||
      (options_.checkpoint_every == 0 && options_.checkpoint_minutes == 0)) {
    return absl::OkStatus();
  }
  saved_at_ = std::chrono::steady_clock::now();
  if (absl::Status status = CommitShards(/*wait=*/true); !status.ok()) return status;
  auto state = State();
  if (!state.ok()) return state.status();
  saved_step_ = optimizer_->steps();
  if (writer_ == nullptr) {
    writer_ = std::make_unique<training::CheckpointWriter>(
        folders_.checkpoints, static_cast<size_t>(options_.checkpoint_keep),
        /*alone=*/place_.everybody);
  }
  if (communicator_->size() == 1) {
    writer_->Start(saved_step_, 1, PartOfState(), *state);
    return absl::OkStatus();
  }
  pending_step_ = saved_step_;
  pending_state_ = *std::move(state);
  writer_->StartShard(pending_step_, communicator_->rank(), PartOfState());
  return absl::OkStatus();
}

// All ranks call it at the same step; `wait`: also for shards that are not durable yet. A shard
// that could not be written costs this checkpoint, no more.
absl::Status Trainer::CommitShards(bool wait) {
  if (pending_step_ < 0) return absl::OkStatus();
  if (wait) writer_->Wait();
  Card mine;
  const absl::StatusOr<training::ShardEntry>& shard = writer_->shard();
  if (!shard.ok()) WarnOfCheckpoint(pending_step_, shard.status());
  mine.committed = writer_->committed() ? 1 : 0;
  if (shard.ok()) {
    mine.written = 1;
    mine.bytes = shard->bytes;
    std::memcpy(mine.sha256, shard->sha256.data(), sizeof(mine.sha256));
  }
  std::vector<Card> cards(static_cast<size_t>(communicator_->size()));
  absl::Status status = communicator_->AllGather(&mine, cards.data(),
                                                 sizeof(Card) / sizeof(int64_t), DataType::kInt64);
  if (!status.ok()) return status;
  const int64_t step = std::exchange(pending_step_, -1);
  const auto committed = [](const Card& card) { return card.committed != 0; };
  if (attempted_step_ >= 0 && std::all_of(cards.begin(), cards.end(), committed)) {
    whole_step_ = std::exchange(attempted_step_, -1);
  }
  const auto written = [](const Card& card) { return card.written != 0; };
  if (!std::all_of(cards.begin(), cards.end(), written)) return absl::OkStatus();
  attempted_step_ = step;
  if (folders_.local_rank != 0 || place_.first != communicator_->rank()) return absl::OkStatus();
  std::vector<training::ShardEntry> shards;
  for (size_t rank = 0; rank < cards.size(); ++rank) {
    shards.push_back({training::ShardName(static_cast<int>(rank)), cards[rank].bytes,
                      std::string(cards[rank].sha256, sizeof(cards[rank].sha256))});
  }
  writer_->Commit(step, communicator_->size(), pending_state_, shards, whole_step_);
  return absl::OkStatus();
}

// Each of them: who reads only the first does not learn that there has been none since.
void Trainer::WarnOfCheckpoint(int64_t step, const absl::Status& status) {
  ++failed_checkpoints_;
  Warn(absl::Status(status.code(), absl::StrCat(training::CheckpointName(step),
                                                " was not committed: ", status.message())));
  Warn(reporter_->Report(epoch_,
                         {{"failed_checkpoints", static_cast<double>(failed_checkpoints_)}}));
}

// A full disk must not end a training that can still finish.
void Trainer::TellWritten(bool wait) {
  if (writer_ == nullptr) return;
  if (wait) writer_->Wait();
  for (const auto& written : writer_->Take()) {
    if (!written.status.ok()) {
      WarnOfCheckpoint(written.step, written.status);
      continue;
    }
    Warn(reporter_->Checkpoint(written.step, training::CheckpointName(written.step)));
  }
}

}  // namespace trainyard::trainer
