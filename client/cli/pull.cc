// trainyard pull: brings outputs home: DIR/model, DIR/checkpoint, DIR/job_dir. Of a tuning job the
// best trial's, unless --trial says which. What was there before is replaced only by --force.
#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"
#include "common/blob/blob.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/sha256.h"

namespace trainyard::cli {
namespace {

constexpr int64_t kTreeBytesMax = int64_t{64} << 20;

// The newest tree of each kind: of the highest epoch, then step.
std::map<std::string, v1::OutputTree> Newest(const v1::ListOutputsResponse& response) {
  std::map<std::string, v1::OutputTree> newest;
  for (const v1::OutputTree& output : response.outputs()) {
    v1::OutputTree& kept = newest[output.kind()];
    const bool newer = kept.digest().empty() || std::make_pair(output.epoch(), output.step()) >
                                                    std::make_pair(kept.epoch(), kept.step());
    if (newer) kept = output;
  }
  return newest;
}

absl::StatusOr<v1::ListOutputsResponse> FindOutputs(client::Client* client, const std::string& name,
                                                    const Arguments& arguments) {
  const absl::StatusOr<int64_t> trial = arguments.Int("trial", 0, 1, INT32_MAX);
  if (!trial.ok()) return trial.status();
  v1::ListOutputsRequest request;
  request.set_name(name);
  request.set_trial(static_cast<int32_t>(*trial));
  request.set_best(*trial == 0);
  absl::StatusOr<v1::ListOutputsResponse> outputs = client->ListOutputs(request);
  if (outputs.ok() && outputs->outputs().empty()) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat(name, " has published nothing",
                                  *trial > 0 ? absl::StrCat(" in trial ", *trial) : ""),
                     "a program publishes what it writes to AIP_MODEL_DIR, AIP_CHECKPOINT_DIR and "
                     "its --job-dir");
  }
  return outputs;
}

absl::Status Fetch(blob::Client* store, const v1::OutputTree& output, const std::string& folder,
                   bool force) {
  if (Exists(folder)) {
    if (!force) {
      return MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
                       absl::StrCat(folder, " is there already"),
                       "name another folder, or replace it with --force");
    }
    if (absl::Status status = RemoveTree(folder); !status.ok()) return status;
  }
  return store->DownloadFolder(output.digest(), folder);
}

struct Size {
  int64_t files = 0;
  int64_t bytes = 0;
};

Size SizeOf(blob::Client* store, const std::string& digest) {
  Size size;
  v1::Tree tree;
  const absl::StatusOr<std::string> bytes = store->DownloadBytes(digest, kTreeBytesMax);
  if (!bytes.ok() || !tree.ParseFromString(*bytes)) return size;
  for (const v1::TreeEntry& entry : tree.entries()) {
    ++size.files;
    size.bytes += entry.size();
  }
  return size;
}

absl::Status Pull(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ListOutputsResponse> outputs = FindOutputs(*client, *name, arguments);
  if (!outputs.ok()) return outputs.status();
  v1::GetDownloadGrantRequest request;
  request.set_parent(name->substr(0, name->find("/jobs/")));
  const absl::StatusOr<v1::Grant> grant = (*client)->GetDownloadGrant(request);
  if (!grant.ok()) return grant.status();
  const std::unique_ptr<blob::Client> store =
      blob::Client::Make(grant->http_address(), grant->token(), (*client)->endpoint().ca_file);
  const std::string root = arguments.Word(1);
  if (absl::Status status = MakeFolders(root); !status.ok()) return status;
  Console& console = context->console();
  if (outputs->trial() > 0 && !context->quiet) {
    console.ErrLine(absl::StrCat("trial ", outputs->trial()));
  }
  for (const auto& [kind, output] : Newest(*outputs)) {
    if (absl::Status status = CheckRelativePath(kind); !status.ok()) return status;
    const std::string folder = JoinPath(root, kind);
    const absl::Status status = Fetch(store.get(), output, folder, arguments.Has("force"));
    if (!status.ok()) return status;
    const Size size = SizeOf(store.get(), output.digest());
    console.OutLine(context->quiet
                        ? folder
                        : absl::StrCat(folder, "  ", size.files, " files, ", size.bytes, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

Command PullCommand() {
  Command command;
  command.words = "pull";
  command.summary = "Download a job's model, checkpoint and outputs.";
  command.examples = {"trainyard pull digits ./best", "trainyard pull digits ./third --trial 3",
                      "trainyard pull iris_1 ./out --force"};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob},
                         {.name = "DIR", .complete = Complete::kFolder}};
  command.flags = {{.name = "trial", .value = "N", .help = "this trial; otherwise the best"},
                   {.name = "force", .help = "replace folders that are there"}};
  command.run = Pull;
  return command;
}

}  // namespace trainyard::cli
