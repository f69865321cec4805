// trainyard jobs why: why a job waits, what is ahead of it and what would start it now.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/queue_flags.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Why(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::ExplainJobRequest request;
  request.set_name(*name);
  const absl::StatusOr<v1::ExplainJobResponse> answer = (*client)->ExplainJob(request);
  if (!answer.ok()) return answer.status();
  Table table;
  table.headers = {"JOB", "REASON", "PLACE", "MESSAGE"};
  table.rows = {{ShortName(*name), answer->reason(), absl::StrCat(answer->queue_position()),
                 answer->message()}};
  PrintOne(&context->console(), context->format, *answer, *name, ExplanationText(*answer), table);
  return absl::OkStatus();
}

}  // namespace

Command JobsWhyCommand() {
  Command command;
  command.words = "jobs why";
  command.summary = "Say why a job waits and what would start it.";
  command.examples = {"trainyard jobs why iris_1"};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob}};
  command.run = Why;
  command.aliases = {"why"};
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
