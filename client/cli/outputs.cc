// trainyard outputs: the files a job has published (model, checkpoint, job dir), without fetching
// them.
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/node_view.h"
#include "client/cli/output.h"
#include "client/cli/published.h"
#include "client/sdk/client.h"
#include "common/blob/blob.h"

namespace trainyard::cli {
namespace {

std::string Bytes(int64_t bytes, bool exact) {
  return exact ? absl::StrCat(bytes) : BytesText(bytes);
}

absl::Status Outputs(Context* context, const Arguments& arguments) {
  absl::StatusOr<Published> published = FindPublished(context, arguments);
  if (!published.ok()) return published.status();
  const bool exact = context->format != Format::kTable;
  Table table;
  table.headers = {"KIND", "FILE", "SIZE"};
  table.right = {false, false, true};
  for (const auto& [kind, trees] : published->trees) {
    const auto files = FilesOf(published->store.get(), trees);
    if (!files.ok()) return files.status();
    for (const auto& [path, entry] : *files) {
      table.rows.push_back({kind, path, Bytes(entry.size(), exact)});
      table.names.push_back(absl::StrCat(kind, "/", path));
    }
  }
  Console& console = context->console();
  PrintTable(&console, context->format, table);
  if (context->format == Format::kTable && !context->quiet) {
    const std::string trial =
        published->trial > 0 ? absl::StrCat(" --trial ", published->trial) : "";
    console.ErrLine(
        absl::StrCat("fetch them: trainyard pull ", ShortName(published->job), " DIR", trial));
  }
  return absl::OkStatus();
}

}  // namespace

Command OutputsCommand() {
  Command command;
  command.words = "outputs";
  command.summary = "List the files a job has published: model, checkpoint, job dir.";
  command.examples = {"trainyard outputs iris_1", "trainyard outputs digits --trial 3 -o csv"};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob}};
  command.flags = {{.name = "trial", .value = "N", .help = "this trial; otherwise the best"}};
  command.run = Outputs;
  command.prints = true;
  command.aliases = {"jobs outputs"};
  return command;
}

}  // namespace trainyard::cli
