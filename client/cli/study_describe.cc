// trainyard study describe: one study, its goals, parameters and counts.
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/study_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Describe(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> name = context->StudyNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetStudyRequest request;
  request.set_name(*name);
  const absl::StatusOr<v1::Study> study = (*client)->GetStudy(request);
  if (!study.ok()) return study.status();
  PrintOne(&context->console(), context->format, *study, *name, StudyPage(*study),
           StudyTable({&*study}));
  return absl::OkStatus();
}

}  // namespace

Command StudyDescribeCommand() {
  Command command;
  command.words = "study describe";
  command.summary = "Show one study.";
  command.examples = {"trainyard study describe lr_search",
                      "trainyard study describe lr_search -o yaml"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}};
  command.run = Describe;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
