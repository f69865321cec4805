// The command line of trainyard-train. Every flag is written --name=value or --name value. Pure.
#ifndef TRAINYARD_WORKER_TRAINER_OPTIONS_H_
#define TRAINYARD_WORKER_TRAINER_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace trainyard::trainer {

struct Options {
  std::string data;
  std::string evaluate;  // a saved model's folder: only evaluate it
  std::string model = "mlp";
  std::vector<int64_t> hidden = {64};
  int64_t channels = 16;
  int64_t blocks = 2;
  int64_t width = 128;
  int64_t heads = 4;
  int64_t context = 64;
  std::string normalize;  // empty: by the model
  std::string label_column = "last";
  double learning_rate = 0.05;
  std::string schedule = "constant";
  double warmup_epochs = 0;
  std::string precision = "float32";
  double momentum = 0.9;
  double weight_decay = 0.0;
  std::string optimizer = "sgd";
  int64_t batch_size = 64;
  int64_t epochs = 30;
  int64_t seed = 1;
  int64_t split_seed = 1;
  double validation_fraction = 0.2;
  double test_fraction = 0.2;
  std::string accuracy = "accuracy";  // name of the metric
  int64_t checkpoint_every = 5;
  double checkpoint_minutes = 0;  // 0: not by the clock
  int64_t checkpoint_keep = 3;
  double watch_seconds = 60;     // between comparisons of the ranks inside an epoch; 0: none
  double clip_norm = 0;          // 0: any
  int64_t accumulate = 1;        // passes a step
  std::string wire = "float32";  // what gradients travel as
  std::string overlap = "auto";
  bool shard_optimizer = false;
  std::string job_dir;
  std::string export_file;  // empty: none
  bool help = false;
  // Names given on the command line, for --evaluate: the rest comes from the saved model.
  std::vector<std::string> given;
};

// INVALID_ARGUMENT with one fault a wrong argument, all at once: reason ARGUMENT_REFUSED for an
// unknown flag, with the nearest name; BAD_VALUE or OUT_OF_RANGE for a value.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments);

// Help text, under 60 lines, examples first.
std::string HelpText();

}  // namespace trainyard::trainer

#endif  // TRAINYARD_WORKER_TRAINER_OPTIONS_H_
