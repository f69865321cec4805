// See trainer.h: the training loop. Checkpoints and resuming are in trainer_state.cc.
#include "worker/trainer/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/errors.h"
#include "worker/trainer/history.h"
#include "worker/training/spare_cores.h"

namespace trainyard::trainer {
namespace {

using training::DataType;
using training::Range;
using training::ReduceOp;

constexpr size_t kEvaluationBatch = 256;
// What travels with the gradients: ranks that are told to stop, ranks whose shard is being written,
// ranks that find the next checkpoint, or the next comparison of speeds, due.
constexpr size_t kStop = 0;
constexpr size_t kUnwritten = 1;
constexpr size_t kDue = 2;
constexpr size_t kCompare = 3;
constexpr size_t kExtras = 4;
constexpr auto kWarnAgain = std::chrono::minutes(10);
constexpr size_t kWarningsMax = 100;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

training::OptimizerOptions OptimizerOptionsOf(const Options& options) {
  training::OptimizerOptions result;
  if (options.optimizer == "adam") result.kind = training::OptimizerKind::kAdam;
  if (options.optimizer == "adamw") result.kind = training::OptimizerKind::kAdamW;
  result.momentum = options.momentum;
  result.weight_decay = options.weight_decay;
  return result;
}

Architecture ArchitectureOf(const Options& options, const Dataset& data) {
  Architecture result = {options.model,
                         static_cast<int64_t>(data.features),
                         static_cast<int64_t>(data.classes.size()),
                         {}};
  if (options.model == "mlp" || options.model == "cnn") result.hidden = options.hidden;
  if (result.image()) result.channels = options.channels;
  if (options.model == "resnet" || result.text()) result.blocks = options.blocks;
  if (result.text()) {
    result.channels = options.width;
    result.heads = options.heads;
  }
  return result;
}

// Copies rows of the data behind each other.
void GatherRows(const Dataset& data, const std::vector<size_t>& rows, Range range,
                std::vector<float>* inputs, std::vector<int64_t>* labels) {
  inputs->resize(range.size() * data.features);
  labels->resize(range.size());
  for (size_t i = 0; i < range.size(); ++i) {
    const size_t row = rows[range.begin + i];
    std::memcpy(inputs->data() + i * data.features, data.Row(row), data.features * sizeof(float));
    (*labels)[i] = data.labels[row];
  }
}

Outcome EvaluateRows(const Dataset& data, const std::vector<size_t>& rows, Range range,
                     Network* network) {
  std::vector<float> inputs;
  std::vector<int64_t> labels;
  Outcome total;
  for (size_t begin = range.begin; begin < range.end; begin += kEvaluationBatch) {
    const Range part = {begin, std::min(begin + kEvaluationBatch, range.end)};
    GatherRows(data, rows, part, &inputs, &labels);
    const Outcome outcome = network->Evaluate(inputs.data(), labels.data(), part.size());
    total.loss_sum += outcome.loss_sum;
    total.correct += outcome.correct;
  }
  return total;
}

}  // namespace

Trainer::Trainer(const Options& options, const Folders& folders,
                 training::Communicator* communicator, training::Reporter* reporter,
                 const volatile std::sig_atomic_t* stop)
    : options_(options),
      folders_(folders),
      communicator_(communicator),
      reporter_(reporter),
      stop_(stop) {}

absl::Status Trainer::Prepare(const Dataset& data, const Split& split,
                              const Normalisation& normalisation) {
  data_ = &data;
  split_ = split;
  best_.architecture = ArchitectureOf(options_, data);
  best_.normalisation = normalisation;
  best_.classes = data.classes;
  best_.label_column = options_.label_column;
  best_.split_seed = options_.split_seed;
  best_.validation_fraction = options_.validation_fraction;
  best_.test_fraction = options_.test_fraction;
  if (absl::Status status = CheckArchitecture(best_.architecture); !status.ok()) return status;
  const uint64_t seed = static_cast<uint64_t>(options_.seed);
  parameters_ = FirstParameters(best_.architecture, seed);
  count_ = parameters_.size();
  sampler_ = std::make_unique<training::Sampler>(split_.train.size(),
                                                 static_cast<size_t>(options_.batch_size), seed);
  optimizer_ = std::make_unique<training::ShardedOptimizer>(
      OptimizerOptionsOf(options_), count_, communicator_, options_.shard_optimizer);
  parameters_.resize(optimizer_->padded_size());
  return PrepareGradients();
}

// Overlap pays where a core is free for the thread that reduces.
absl::Status Trainer::PrepareGradients() {
  training::BucketOptions options;
  options.clip_norm = options_.clip_norm;
  if (options_.wire == "float16") options.wire = DataType::kFloat16;
  if (options_.wire == "bfloat16") options.wire = DataType::kBFloat16;
  options.overlap = options_.overlap == "on";
  if (options_.overlap == "auto" && communicator_->size() > 1) {
    auto spare = training::EveryRankHasSpareCore(training::CoresOfThread(), folders_.local_rank,
                                                 folders_.local_ranks, communicator_);
    if (!spare.ok()) return spare.status();
    options.overlap = *spare;
  }
  std::vector<size_t> sizes;
  for (const Parameter& parameter : ParametersOf(best_.architecture)) {
    sizes.push_back(parameter.size);
  }
  auto gradients = training::GradientBuckets::Create(communicator_, sizes, kExtras, options);
  if (!gradients.ok()) return gradients.status();
  gradients_ = *std::move(gradients);
  network_ = MakeNetwork(best_.architecture, parameters_.data(), gradients_->data());
  if (options.overlap) {
    network_->OnReady([this](size_t parameter) { gradients_->MarkReady(parameter); });
  }
  return absl::OkStatus();
}

// Whether mixed precision pays depends on the processor: the first rank tries both on a batch.
absl::Status Trainer::ChoosePrecision() {
  if (precision_.empty()) precision_ = options_.precision;
  if (precision_ == "auto") {
    const Range range = {0, std::min(sampler_->BatchSize(0), split_.train.size())};
    GatherRows(*data_, split_.train, range, &inputs_, &labels_);
    double best[2] = {0, 0};
    for (int i = 0; head() && i < 8; ++i) {
      network_->SetMixedPrecision(i % 2 == 1);
      const auto start = std::chrono::steady_clock::now();
      network_->Train(inputs_.data(), labels_.data(), range.size(), 1.0);
      const double took = SecondsSince(start);
      // The first of each pays for caches.
      if (i == 2 || i == 3 || (i > 3 && took < best[i % 2])) best[i % 2] = took;
    }
    int32_t mixed = best[1] < 0.95 * best[0] ? 1 : 0;
    absl::Status status = communicator_->Broadcast(&mixed, 1, DataType::kInt32, 0);
    if (!status.ok()) return status;
    precision_ = mixed != 0 ? "bfloat16" : "float32";
    if (head()) {
      absl::PrintF("precision %s: a batch takes %.2f ms in float32, %.2f ms in bfloat16\n",
                   precision_, 1e3 * best[0], 1e3 * best[1]);
    }
  }
  network_->SetMixedPrecision(precision_ == "bfloat16");
  return absl::OkStatus();
}

absl::StatusOr<bool> Trainer::Run() {
  if (absl::Status status = ChoosePrecision(); !status.ok()) return status;
  if (head() && !folders_.history.empty()) Warn(TrimHistory(folders_.history, epoch_));
  saved_at_ = told_at_ = std::chrono::steady_clock::now();
  while (epoch_ < options_.epochs && !stopping_) {
    const auto start = std::chrono::steady_clock::now();
    auto whole = TrainEpoch();
    if (!whole.ok()) return whole.status();
    if (!*whole) break;
    if (absl::Status status = EndEpoch(SecondsSince(start)); !status.ok()) return status;
    auto stop = AgreeToStop();
    if (!stop.ok()) return stop.status();
    stopping_ = *stop;
    due_ = due_ || (options_.checkpoint_every > 0 && epoch_ % options_.checkpoint_every == 0);
    if (due_ || stopping_) {
      if (absl::Status status = Save(); !status.ok()) return status;
    }
  }
  if (absl::Status status = CommitShards(/*wait=*/true); !status.ok()) return status;
  TellWritten(/*wait=*/true);
  return WriteBest();
}

absl::StatusOr<bool> Trainer::TrainEpoch() {
  std::vector<size_t> order = sampler_->Order(static_cast<uint64_t>(epoch_));
  for (size_t& position : order) position = split_.train[position];  // now rows of the data
  for (; step_ < sampler_->steps_per_epoch(); ++step_) {
    if (stopping_ || due_) {
      if (absl::Status status = Save(); !status.ok()) return status;
    }
    if (stopping_) return false;
    if (absl::Status status = TrainStep(step_, order); !status.ok()) return status;
    TellWritten(/*wait=*/false);
  }
  return true;
}

absl::Status Trainer::TrainStep(size_t step, const std::vector<size_t>& order) {
  const auto start = std::chrono::steady_clock::now();
  const Range range = sampler_->Shard(step, communicator_->rank(), communicator_->size());
  gradients_->Begin();
  gradients_->extras()[kStop] = *stop_ != 0 ? 1.0F : 0.0F;
  gradients_->extras()[kUnwritten] = pending_step_ >= 0 && !writer_->shard_done() ? 1.0F : 0.0F;
  gradients_->extras()[kDue] = head() && SaveIsDue() ? 1.0F : 0.0F;
  const bool compare = options_.watch_seconds > 0 && communicator_->size() > 1 &&
                       SecondsSince(told_at_) >= options_.watch_seconds;
  gradients_->extras()[kCompare] = head() && compare ? 1.0F : 0.0F;
  const double scale = 1.0 / static_cast<double>(sampler_->BatchSize(step));
  const int passes = static_cast<int>(options_.accumulate);
  for (int pass = 0; pass < passes; ++pass) {
    Range part = training::ShardOf(range.size(), pass, passes);
    part = {range.begin + part.begin, range.begin + part.end};
    GatherRows(*data_, order, part, &inputs_, &labels_);
    if (pass + 1 == passes) gradients_->BeginLastPass();
    train_loss_ += network_->Train(inputs_.data(), labels_.data(), part.size(), scale).loss_sum;
  }
  absl::Status status = gradients_->Finish();
  if (!status.ok()) return status;
  stopping_ = gradients_->extras()[kStop] > 0;
  due_ = gradients_->extras()[kDue] > 0;
  if (gradients_->extras()[kUnwritten] == 0) status = CommitShards(/*wait=*/false);
  if (!status.ok()) return status;
  const double steps = static_cast<double>(sampler_->steps_per_epoch());
  const double done = static_cast<double>(epoch_) + static_cast<double>(step) / steps;
  if (gradients_->finite()) {
    status = optimizer_->Step(LearningRateAt(options_, done, done + 1 / steps), gradients_->data(),
                              parameters_.data());
  } else if (head()) {
    Warn(absl::OutOfRangeError(options_.wire == "float16"
                                   ? "gradients are infinite or too large for float16 at some "
                                     "steps, which are left out; --wire=bfloat16 holds more"
                                   : "gradients are infinite or not numbers at some steps, which "
                                     "are left out"));
  }
  const double seconds = SecondsSince(start), waited = gradients_->waited_seconds();
  waited_ += waited;
  trained_ += seconds;
  ++told_.steps;
  told_.busy_seconds += seconds - waited;
  told_.wait_seconds += waited;
  if (status.ok() && gradients_->extras()[kCompare] > 0) status = CompareSpeeds();
  return status;
}

// Names whoever holds the others up.
absl::Status Trainer::CompareSpeeds() {
  const double seconds = told_.busy_seconds + told_.wait_seconds;
  absl::Status reported;
  auto slow = training::TellStepTimes(epoch_ + 1, std::exchange(told_, {}), communicator_,
                                      reporter_, &reported);
  if (!slow.ok()) return slow.status();
  told_at_ = std::chrono::steady_clock::now();
  Warn(reported);
  if (head() && slow->rank >= 0) {
    absl::FPrintF(stderr,
                  "warning: rank %d on node %s was %.1f times slower than the others in the last "
                  "%.3g s\n",
                  slow->rank, slow->node, slow->factor, seconds);
  }
  return absl::OkStatus();
}

absl::Status Trainer::EndEpoch(double seconds) {
  const Range mine =
      training::ShardOf(split_.validation.size(), communicator_->rank(), communicator_->size());
  const Outcome outcome = EvaluateRows(*data_, split_.validation, mine, network_.get());
  double sums[] = {train_loss_, outcome.loss_sum, static_cast<double>(outcome.correct)};
  absl::Status status = communicator_->AllReduce(sums, 3, DataType::kFloat64, ReduceOp::kSum);
  if (!status.ok()) return status;
  // Nothing to compare behind a comparison at the last step.
  if (told_.steps > 0) status = CompareSpeeds();
  if (!status.ok()) return status;
  ++epoch_;
  step_ = 0;
  train_loss_ = 0;
  const double rows = static_cast<double>(split_.validation.size());
  const double guesses = rows * static_cast<double>(best_.architecture.guesses());
  const double loss = sums[1] / rows, accuracy = sums[2] / guesses;
  KeepBest(accuracy, loss);
  if (head()) {
    Report(sums[0] / static_cast<double>(split_.train.size()), loss, accuracy, seconds);
  }
  waited_ = trained_ = 0;
  return absl::OkStatus();
}

void Trainer::KeepBest(double accuracy, double loss) {
  const bool better = best_.epoch == 0 || accuracy > best_.validation_accuracy ||
                      (accuracy == best_.validation_accuracy && loss < best_.validation_loss);
  if (!better) return;
  best_.epoch = epoch_;
  best_.validation_accuracy = accuracy;
  best_.validation_loss = loss;
  best_.parameters.assign(parameters_.begin(),
                          parameters_.begin() + static_cast<ptrdiff_t>(count_));
}

void Trainer::Report(double train_loss, double loss, double accuracy, double seconds) {
  const Architecture& architecture = best_.architecture;
  const double read =
      static_cast<double>(split_.train.size()) * static_cast<double>(architecture.guesses());
  absl::PrintF(
      "epoch %d/%d  train_loss %.4f  loss %.4f  accuracy %.4f  %.2f s  %.0f %s/s"
      "  %.0f%% in communication\n",
      epoch_, options_.epochs, train_loss, loss, accuracy, seconds, read / std::max(trained_, 1e-9),
      architecture.text() ? "characters" : "samples", 100 * waited_ / std::max(trained_, 1e-9));
  std::fflush(stdout);
  Warn(reporter_->Report(
      epoch_, {{options_.accuracy, accuracy}, {"loss", loss}, {"train_loss", train_loss}}));
  if (folders_.history.empty()) return;
  Warn(AppendHistory(folders_.history, {epoch_, train_loss, loss, accuracy}));
}

absl::StatusOr<bool> Trainer::AgreeToStop() {
  int32_t stop = *stop_ != 0 || (head() && reporter_->should_stop()) ? 1 : 0;
  absl::Status status = communicator_->AllReduce(&stop, 1, DataType::kInt32, ReduceOp::kMax);
  if (!status.ok()) return status;
  return stop != 0;
}

// One text once in a while: what happens at each step would fill the log.
void Trainer::Warn(const absl::Status& status) {
  if (status.ok()) return;
  if (warned_.size() > kWarningsMax) warned_.clear();
  const auto now = std::chrono::steady_clock::now();
  const auto [said, first] = warned_.try_emplace(std::string(status.message()), now);
  if (!first && now - said->second < kWarnAgain) return;
  said->second = now;
  absl::FPrintF(stderr, "warning: %s; the training goes on\n", status.message());
}

absl::StatusOr<bool> Trainer::WriteBest() {
  if (!head() || folders_.model.empty() || best_.epoch == 0) return false;
  if (absl::Status status = WriteModel(folders_.model, best_); !status.ok()) return status;
  return true;
}

double LearningRateAt(const Options& options, double done, double then) {
  const double warmup = options.warmup_epochs, epochs = static_cast<double>(options.epochs);
  if (done < warmup) return options.learning_rate * std::min(1.0, then / warmup);
  const double share = epochs > warmup ? (done - warmup) / (epochs - warmup) : 1;
  double factor = 1;
  if (options.schedule == "cosine") factor = 0.5 * (1 + std::cos(std::numbers::pi * share));
  if (options.schedule == "linear") factor = 1 - share;
  if (options.schedule == "step") factor = share < 0.5 ? 1 : share < 0.75 ? 0.1 : 0.01;
  return options.learning_rate * factor;
}

absl::StatusOr<Dataset> LoadData(const std::string& path, const Architecture& architecture,
                                 const std::string& label_column) {
  if (architecture.text()) return LoadText(path, architecture.guesses());
  return LoadCsv(path, label_column);
}

absl::StatusOr<double> TestAccuracy(const SavedModel& model, const Dataset& data) {
  if (static_cast<int64_t>(data.features) != model.architecture.features ||
      data.classes != model.classes) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "BAD_VALUE",
        absl::StrCat("the data has ", data.features, " features and ", data.classes.size(),
                     " classes; the model was trained on ", model.architecture.features, " and ",
                     model.classes.size(), ", or on other classes"),
        "give --data the file that the model was trained on");
  }
  auto split = SplitRows(data.count, static_cast<uint64_t>(model.split_seed),
                         model.validation_fraction, model.test_fraction);
  if (!split.ok()) return split.status();
  Dataset normalised = data;
  model.normalisation.Apply(&normalised);
  std::vector<float> parameters = model.parameters;
  const auto network = MakeNetwork(model.architecture, parameters.data(), nullptr);
  const Outcome outcome =
      EvaluateRows(normalised, split->test, {0, split->test.size()}, network.get());
  const double guesses = static_cast<double>(model.architecture.guesses());
  const double share =
      static_cast<double>(outcome.correct) / (static_cast<double>(split->test.size()) * guesses);
  return std::round(share * 1e4) / 1e4;
}

}  // namespace trainyard::trainer
