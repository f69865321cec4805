// See published.h.
#include "client/cli/published.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/job_parts.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"
#include "client/sdk/open_store.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::cli {
namespace {

constexpr int64_t kTreeBytesMax = int64_t{64} << 20;

// Of each kind the trees of the newest attempt, each member's newest one; the gang's head last.
std::map<std::string, std::vector<v1::OutputTree>> Newest(const v1::ListOutputsResponse& response) {
  std::map<std::string, uint64_t> epochs;
  for (const v1::OutputTree& output : response.outputs()) {
    epochs[output.kind()] = std::max(epochs[output.kind()], output.epoch());
  }
  std::map<std::string, std::vector<v1::OutputTree>> newest;
  for (const auto& [kind, epoch] : epochs) {
    std::map<int32_t, v1::OutputTree, std::greater<>> members;
    for (const v1::OutputTree& output : response.outputs()) {
      if (output.kind() != kind || output.epoch() != epoch) continue;
      const auto [kept, is_new] = members.try_emplace(output.member(), output);
      if (!is_new && output.step() > kept->second.step()) kept->second = output;
    }
    for (const auto& [member, output] : members) newest[kind].push_back(output);
  }
  return newest;
}

// The answer for a job without outputs depends on what it is and on whether more may come.
absl::Status NothingPublished(client::Client* client, const std::string& name, int64_t trial) {
  v1::GetJobRequest request;
  request.set_name(name);
  const absl::StatusOr<v1::Job> job = client->GetJob(request);
  if (job.ok()) {
    if (absl::Status status = CheckTrial(client, *job, trial); !status.ok()) return status;
    if (trial == 0 && IsTuning(*job) && job->trials().succeeded() == 0) return NoBest(*job);
  }
  const bool ended = job.ok() && client::IsTerminal(job->state());
  const std::string of_trial = trial > 0 ? absl::StrCat(" in trial ", trial) : "";
  return MakeError(
      absl::StatusCode::kNotFound, "NOT_FOUND",
      absl::StrCat(ShortName(name), " has published nothing", ended ? "" : " yet", of_trial),
      ended
          ? "a program publishes what it writes to AIP_MODEL_DIR, AIP_CHECKPOINT_DIR and its "
            "--job-dir; what it printed: trainyard jobs logs " +
                ShortName(name)
          : "outputs are published when the program ends: trainyard jobs wait " + ShortName(name));
}

}  // namespace

absl::StatusOr<Published> FindPublished(Context* context, const Arguments& arguments) {
  const absl::StatusOr<int64_t> trial = arguments.Int("trial", 0, 1, INT32_MAX);
  if (!trial.ok()) return trial.status();
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  if (*trial > 0) {
    v1::GetJobRequest get;
    get.set_name(*name);
    const absl::StatusOr<v1::Job> job = (*client)->GetJob(get);
    if (!job.ok()) return job.status();
    if (absl::Status status = CheckTrial(*client, *job, *trial); !status.ok()) return status;
  }
  v1::ListOutputsRequest request;
  request.set_name(*name);
  request.set_trial(static_cast<int32_t>(*trial));
  request.set_best(*trial == 0);
  const absl::StatusOr<v1::ListOutputsResponse> outputs = (*client)->ListOutputs(request);
  // No trial is the best: whether one may still be depends on the job.
  const bool no_best = *trial == 0 && absl::IsFailedPrecondition(outputs.status());
  if (!outputs.ok() && !no_best) return outputs.status();
  if (no_best || outputs->outputs().empty()) return NothingPublished(*client, *name, *trial);
  Published published;
  published.job = *name;
  published.trial = outputs->trial();
  published.trees = Newest(*outputs);
  for (const auto& [kind, outputs_of_it] : published.trees) {
    if (absl::Status status = CheckRelativePath(kind); !status.ok()) return status;
  }
  auto store = client::OpenStore(*client, name->substr(0, name->find("/jobs/")),
                                 client::StoreUse::kDownload);
  if (!store.ok()) return store.status();
  published.store = *std::move(store);
  return published;
}

absl::StatusOr<std::map<std::string, v1::TreeEntry>> FilesOf(
    blob::Client* store, const std::vector<v1::OutputTree>& trees) {
  std::map<std::string, v1::TreeEntry> files;
  for (const v1::OutputTree& output : trees) {
    const absl::StatusOr<std::string> bytes = store->DownloadBytes(output.digest(), kTreeBytesMax);
    if (!bytes.ok()) return bytes.status();
    v1::Tree tree;
    if (!tree.ParseFromString(*bytes)) {
      return MakeError(absl::StatusCode::kDataLoss, "STORE_CORRUPT",
                       "the list of an output's files is damaged", "look at the store's disk");
    }
    for (const v1::TreeEntry& entry : tree.entries()) files[entry.path()] = entry;
  }
  return files;
}

}  // namespace trainyard::cli
