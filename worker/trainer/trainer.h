// One data-parallel training run: epochs over the training split with one gradient all-reduce a
// step, validation after every epoch, checkpoints, and at the end the best model by validation.
//  - Same seed and global batch: 1, 2 or more ranks do the same within float rounding; a run
//    resumed from a checkpoint with as many ranks goes on bit for bit.
//  - Ranks stop together: a wish to stop travels with the gradients.
//  - Ranks compare their speed after every epoch, and inside it by rank 0's clock.
//  - Rank 0 alone reports (but for each rank's step times), prints and writes the model.
//  - Checkpoints are shared out: each rank writes a slice of parameters, moments and best model,
//    one rank of those that see a folder commits and declares them.
// One thread.
#ifndef TRAINYARD_WORKER_TRAINER_TRAINER_H_
#define TRAINYARD_WORKER_TRAINER_TRAINER_H_

#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/trainer/dataset.h"
#include "worker/trainer/network.h"
#include "worker/trainer/options.h"
#include "worker/trainer/saved_model.h"
#include "worker/training/checkpoint_writer.h"
#include "worker/training/communicator.h"
#include "worker/training/folder_place.h"
#include "worker/training/gradient_buckets.h"
#include "worker/training/reporter.h"
#include "worker/training/sampler.h"
#include "worker/training/sharded_optimizer.h"
#include "worker/training/step_times.h"

namespace trainyard::trainer {

// Where a run leaves what it makes; empty: nowhere.
struct Folders {
  std::string model;
  std::string checkpoints;
  std::string history;  // history.jsonl goes here
  // This rank's place among those that see the same checkpoint folder.
  int local_rank = 0;
  int local_ranks = 1;
};

class Trainer {
 public:
  // All arguments outlive the trainer. `stop` is set by a signal handler.
  Trainer(const Options& options, const Folders& folders, training::Communicator* communicator,
          training::Reporter* reporter, const volatile std::sig_atomic_t* stop);

  // Data already split and normalised; `data` outlives the trainer.
  absl::Status Prepare(const Dataset& data, const Split& split, const Normalisation& normalisation);
  // Goes on from the newest checkpoint in folders.checkpoints, if there is one.
  absl::Status Resume();
  // To the last epoch, or until told to stop; writes the model. Whether a model was written.
  absl::StatusOr<bool> Run();
  int64_t epoch() const { return epoch_; }  // epochs finished

 private:
  bool head() const { return communicator_->rank() == 0; }
  absl::StatusOr<bool> TrainEpoch();  // false: stopped in the middle
  absl::Status TrainStep(size_t step, const std::vector<size_t>& order);
  absl::Status PrepareGradients();
  absl::Status EndEpoch(double seconds);
  absl::Status CompareSpeeds();
  absl::Status ChoosePrecision();
  void KeepBest(double accuracy, double loss);
  void Report(double train_loss, double loss, double accuracy, double seconds);
  absl::StatusOr<bool> AgreeToStop();
  bool SaveIsDue() const;  // by the clock
  absl::Status Save();
  absl::Status CommitShards(bool wait);
  std::vector<training::TensorView> PartOfState() const;
  absl::StatusOr<training::CheckpointState> State();
  // Of resuming, in trainer_resume.cc.
  struct Found;
  absl::StatusOr<Found> FindNewest();
  absl::StatusOr<bool> ReadShards(Found* found);
  absl::Status AgreeOn(const absl::Status& mine, const std::string& step);
  absl::Status Restore(const training::CheckpointManifest& manifest);
  absl::Status CheckSameRun(const training::CheckpointManifest& manifest) const;
  training::CheckpointState RunState() const;
  absl::Status RestoreLosses(const training::CheckpointManifest& manifest);
  absl::Status ShareCounters(int root);
  absl::Status ShareTensors(const Found& found);
  void TellWritten(bool wait);
  absl::StatusOr<bool> WriteBest();
  void Warn(const absl::Status& status);
  void WarnOfCheckpoint(int64_t step, const absl::Status& status);

  const Options options_;
  const Folders folders_;
  training::Communicator* const communicator_;
  training::Reporter* const reporter_;
  const volatile std::sig_atomic_t* const stop_;

  const Dataset* data_ = nullptr;
  Split split_;
  SavedModel best_;  // epoch 0: none yet
  std::unique_ptr<training::Sampler> sampler_;
  std::unique_ptr<training::ShardedOptimizer> optimizer_;
  std::unique_ptr<Network> network_;
  size_t count_ = 0;                                      // parameters
  std::vector<float> parameters_;                         // padded behind count_
  std::unique_ptr<training::GradientBuckets> gradients_;  // extras: kStop and on
  int64_t epoch_ = 0;                                     // epochs finished
  size_t step_ = 0;                                       // steps done in the epoch under way
  double train_loss_ = 0;                                 // of this rank in the epoch under way
  double waited_ = 0;                                     // seconds for gradients, likewise
  double trained_ = 0;                                    // seconds in steps, likewise
  training::StepTimes told_;                              // of this rank, since it was told
  std::chrono::steady_clock::time_point told_at_;
  training::CheckpointState pending_state_;  // of shards that are being written
  int64_t pending_step_ = -1;                // theirs, -1 without any
  training::FolderPlace place_;              // of the checkpoint folder
  int64_t attempted_step_ = -1;              // being committed, or by some node in vain
  int64_t whole_step_ = -1;                  // the last that all nodes committed
  int64_t failed_checkpoints_ = 0;
  std::vector<double> rank_losses_;  // of all ranks, while resuming
  training::Moments moments_;        // likewise
  int64_t optimizer_steps_ = 0;      // likewise
  int64_t saved_step_ = -1;
  std::unique_ptr<training::CheckpointWriter> writer_;
  std::string precision_;  // float32 or bfloat16, once chosen
  bool stopping_ = false;
  bool due_ = false;  // the next checkpoint is
  std::chrono::steady_clock::time_point saved_at_;
  std::map<std::string, std::chrono::steady_clock::time_point> warned_;  // by the text
  std::vector<float> inputs_;                                            // of one batch
  std::vector<int64_t> labels_;
};

// The size of the step that takes training from `done` epochs to `then`, by the options' schedule
// and warm-up. Pure.
double LearningRateAt(const Options& options, double done, double then);

// The data as the architecture's kind reads it; a text in samples of its `features`.
absl::StatusOr<Dataset> LoadData(const std::string& path, const Architecture& architecture,
                                 const std::string& label_column);

// Accuracy of `model` on the test split of `data` (raw, as loaded): a share of 1, rounded to 4
// decimals, so that all who print it print the same. INVALID_ARGUMENT when they do not fit.
absl::StatusOr<double> TestAccuracy(const SavedModel& model, const Dataset& data);

}  // namespace trainyard::trainer

#endif  // TRAINYARD_WORKER_TRAINER_TRAINER_H_
