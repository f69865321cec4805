// trainyard-train: trains a classifier on a CSV file or a language model on a text, alone or as one
// rank of a gang, or evaluates or exports a saved model. Exit codes: 0 done (also when told to
// stop), 1 failed, 2 wrong command line.
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/errors.h"
#include "common/file.h"
#include "worker/trainer/options.h"
#include "worker/trainer/torchscript.h"
#include "worker/trainer/trainer.h"
#include "worker/training/rank_context.h"

namespace trainyard::trainer {
namespace {

using training::RankContext;

volatile std::sig_atomic_t g_stop = 0;

void OnTerminate(int) { g_stop = 1; }

// Ends with the exit code; only the first rank speaks, all of them would say the same.
int Fail(const absl::Status& status, int rank, int code) {
  if (rank == 0) {
    absl::FPrintF(stderr, "error: %s\n", FormatFaults(FaultsOf(status)));
  }
  return code;
}

// In the shortest form that reads back as the same number.
std::string AccuracyText(double accuracy) { return absl::StrCat(accuracy); }

Folders FoldersOf(const Options& options, const RankContext& context) {
  const auto choose = [&options](const std::string& given, const char* name) {
    if (!given.empty() || options.job_dir.empty()) return given;
    return JoinPath(options.job_dir, name);
  };
  return {choose(context.model_dir, "model"), choose(context.checkpoint_dir, "checkpoints"),
          options.job_dir, context.local_rank, context.local_world_size};
}

// Prints the accuracy of exactly what lies in `folder`, and reports it.
absl::Status Test(const std::string& folder, const Dataset& data, int64_t step,
                  training::Reporter* reporter) {
  auto model = ReadModel(folder);
  if (!model.ok()) return model.status();
  auto accuracy = TestAccuracy(*model, data);
  if (!accuracy.ok()) return accuracy.status();
  absl::PrintF("test accuracy %s\n", AccuracyText(*accuracy));
  std::fflush(stdout);
  if (reporter == nullptr) return absl::OkStatus();
  const absl::Status status = reporter->Report(step, {{"test_accuracy", *accuracy}});
  if (!status.ok()) absl::FPrintF(stderr, "warning: %s\n", status.message());
  return absl::OkStatus();
}

absl::Status Export(const Options& options, const SavedModel& model) {
  if (options.export_file.empty()) return absl::OkStatus();
  absl::Status status = ExportTorchScript(model, options.export_file);
  if (status.ok()) absl::PrintF("exported %s\n", options.export_file);
  return status;
}

absl::Status ExportFrom(const Options& options, const std::string& folder) {
  if (options.export_file.empty()) return absl::OkStatus();
  auto model = ReadModel(folder);
  return model.ok() ? Export(options, *model) : model.status();
}

absl::Status Evaluate(const Options& options) {
  auto model = ReadModel(options.evaluate);
  if (!model.ok()) return model.status();
  if (absl::Status status = Export(options, *model); !status.ok()) return status;
  auto data = LoadData(options.data, model->architecture, model->label_column);
  if (!data.ok()) return data.status();
  return Test(options.evaluate, *data, 0, nullptr);
}

absl::Status MakeWritableFolders(const Folders& folders) {
  for (const std::string& folder : {folders.model, folders.checkpoints, folders.history}) {
    if (folder.empty()) continue;
    if (absl::Status status = MakeFolders(folder); !status.ok()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "OUTPUT_NOT_WRITABLE",
                       status.message(), "give folders that this user may write");
    }
  }
  return absl::OkStatus();
}

absl::Status Train(const Options& options, const RankContext& context) {
  auto data = LoadData(options.data, {options.model, options.context + 1}, options.label_column);
  if (!data.ok()) return data.status();
  auto split = SplitRows(data->count, static_cast<uint64_t>(options.split_seed),
                         options.validation_fraction, options.test_fraction);
  if (!split.ok()) return split.status();
  std::string kind = options.normalize;
  const bool image = options.model == "cnn" || options.model == "resnet";
  if (kind.empty()) kind = image ? "global" : "feature";
  if (options.model == "transformer") kind = "none";
  const Normalisation normalisation = MeasureNormalisation(*data, split->train, kind);
  Dataset normalised = *data;
  normalisation.Apply(&normalised);

  const Folders folders = FoldersOf(options, context);
  if (context.rank == 0) {
    if (absl::Status status = MakeWritableFolders(folders); !status.ok()) return status;
  }
  auto communicator = training::CreateCommunicator(context);
  if (!communicator.ok()) return communicator.status();
  // Every rank tells its step times, the first of each node its node's checkpoints, the rest is
  // said by rank 0 alone.
  training::Reporter reporter(context.socket, context.rank);
  Trainer trainer(options, folders, communicator->get(), &reporter, &g_stop);
  absl::Status status = trainer.Prepare(normalised, *split, normalisation);
  if (status.ok()) status = trainer.Resume();
  if (!status.ok()) return status;
  auto written = trainer.Run();
  if (!written.ok()) return written.status();
  if (!*written) return absl::OkStatus();
  if (status = ExportFrom(options, folders.model); !status.ok()) return status;
  return Test(folders.model, *data, trainer.epoch(), &reporter);
}

int Main(const std::vector<std::string>& arguments) {
  auto context = training::RankContextFromEnvironment();
  if (!context.ok()) return Fail(context.status(), 0, 2);
  auto options = ParseOptions(arguments);
  if (!options.ok()) return Fail(options.status(), context->rank, 2);
  if (options->help) {
    absl::PrintF("%s", HelpText());
    return 0;
  }
  if (!options->evaluate.empty()) {
    const absl::Status status = context->rank == 0 ? Evaluate(*options) : absl::OkStatus();
    return status.ok() ? 0 : Fail(status, 0, 1);
  }
  struct sigaction action = {};
  action.sa_handler = OnTerminate;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  const absl::Status status = Train(*options, *context);
  return status.ok() ? 0 : Fail(status, context->rank, 1);
}

}  // namespace
}  // namespace trainyard::trainer

int main(int count, char** arguments) {
  return trainyard::trainer::Main(std::vector<std::string>(arguments + 1, arguments + count));
}
