// trainyard study delete: removes a study and its trials. Only with --yes.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/study_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Delete(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> study = context->StudyNameOf(arguments.Word(0));
  if (!study.ok()) return study.status();
  if (!arguments.Has("yes") && !context->quiet) {
    return UsageError(
        absl::StrCat("this removes ", *study, " and all its trials for good"),
        absl::StrCat("if you mean it: trainyard study delete ", arguments.Word(0), " --yes"));
  }
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::DeleteStudyRequest request;
  request.set_name(*study);
  request.set_request_id(context->request_id);
  const absl::Status status = (*client)->DeleteStudy(request);
  if (status.ok() && !context->quiet) context->console().ErrLine("Deleted.");
  return status;
}

}  // namespace

Command StudyDeleteCommand() {
  Command command;
  command.words = "study delete";
  command.summary = "Delete a study and its trials.";
  command.examples = {"trainyard study delete lr_search --yes"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}};
  command.flags = {{.name = "yes", .help = "do it", .letter = 'y'}};
  command.run = Delete;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
