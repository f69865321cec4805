// trainyard pull: brings outputs home: DIR/model, DIR/checkpoint, DIR/job_dir. Of a tuning job the
// best trial's, unless --trial says which. What was there before is replaced only by --force, and
// that is known before the first byte comes.
#include <errno.h>
#include <stdio.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "client/cli/published.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::cli {
namespace {

// Every folder that is in the way, in one answer.
absl::Status CheckFree(const Published& published, const std::string& root) {
  v1::Faults faults;
  for (const auto& [kind, trees] : published.trees) {
    const std::string folder = JoinPath(root, kind);
    if (!Exists(folder)) continue;
    faults.MergeFrom(FaultsOf(MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
                                        absl::StrCat(folder, " is there already"),
                                        "name another folder, or replace it with --force")));
  }
  return MakeError(absl::StatusCode::kAlreadyExists, faults);
}

absl::Status RemoveOld(const std::string& folder) {
  return Exists(folder) ? RemoveTree(folder) : absl::OkStatus();
}

// Beside the folder until it is whole: what was there before goes only then.
absl::Status Fetch(blob::Client* store, const std::vector<v1::OutputTree>& trees,
                   const std::string& root, const std::string& kind) {
  const std::string part = JoinPath(root, absl::StrCat(".", kind, ".part"));
  const std::string old = JoinPath(root, absl::StrCat(".", kind, ".old"));
  const std::string folder = JoinPath(root, kind);
  absl::Status status = RemoveOld(part);
  for (const v1::OutputTree& tree : trees) {
    if (status.ok()) status = store->DownloadFolder(tree.digest(), part);
  }
  if (!status.ok()) {
    RemoveOld(part).IgnoreError();
    return status;
  }
  if (Exists(folder)) {
    status = RemoveOld(old);
    if (status.ok() && rename(folder.c_str(), old.c_str()) != 0) {
      status = ErrnoError(errno, "cannot replace", folder);
    }
    if (!status.ok()) return status;
  }
  if (rename(part.c_str(), folder.c_str()) != 0) return ErrnoError(errno, "cannot make", folder);
  return RemoveOld(old);
}

struct Size {
  int64_t files = 0;
  int64_t bytes = 0;
};

Size SizeOf(blob::Client* store, const std::vector<v1::OutputTree>& trees) {
  Size size;
  const auto files = FilesOf(store, trees);
  if (!files.ok()) return size;
  for (const auto& [path, entry] : *files) {
    ++size.files;
    size.bytes += entry.size();
  }
  return size;
}

absl::Status Pull(Context* context, const Arguments& arguments) {
  absl::StatusOr<Published> published = FindPublished(context, arguments);
  if (!published.ok()) return published.status();
  const std::string root = arguments.Word(1);
  if (!arguments.Has("force")) {
    if (absl::Status status = CheckFree(*published, root); !status.ok()) return status;
  }
  if (absl::Status status = MakeFolders(root); !status.ok()) return status;
  Console& console = context->console();
  if (published->trial > 0 && !context->quiet) {
    console.ErrLine(absl::StrCat("trial ", published->trial));
  }
  Table table;
  table.headers = {"KIND", "FOLDER", "FILES", "BYTES"};
  for (const auto& [kind, trees] : published->trees) {
    const std::string folder = JoinPath(root, kind);
    const absl::Status status = Fetch(published->store.get(), trees, root, kind);
    if (!status.ok()) return status;
    const Size size = SizeOf(published->store.get(), trees);
    table.rows.push_back({kind, folder, absl::StrCat(size.files), absl::StrCat(size.bytes)});
    table.names.push_back(folder);
    if (context->format != Format::kTable) continue;
    console.OutLine(context->quiet
                        ? folder
                        : absl::StrCat(folder, "  ", size.files, " files, ", size.bytes, " bytes"));
  }
  if (context->format != Format::kTable) PrintTable(&console, context->format, table);
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
  command.prints = true;
  command.aliases = {"jobs pull"};
  return command;
}

}  // namespace trainyard::cli
