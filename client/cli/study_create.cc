// trainyard study create: a study that anyone may ask and tell, from a studySpec file.
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/study_file.h"
#include "client/cli/study_words.h"
#include "client/sdk/client.h"
#include "common/errors.h"
#include "common/spec/spec.h"

namespace trainyard::cli {
namespace {

absl::Status Create(Context* context, const Arguments& arguments) {
  if (!arguments.Has("config")) {
    return UsageError("--config is missing",
                      "give the file with the studySpec: --config study.yaml");
  }
  const std::string file = arguments.Get("config");
  const absl::StatusOr<std::string> text = spec::LoadSpecText(file);
  if (!text.ok()) return text.status();
  const spec::StudyParseResult parsed = spec::ParseStudySpec(*text, file);
  if (!parsed.ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, FaultsOfStudy(*text, file));
  }
  if (const std::string notes = FormatFaults(parsed.faults); !notes.empty()) {
    context->console().ErrLine(notes);
  }
  const absl::StatusOr<std::string> parent = context->Parent();
  if (!parent.ok()) return parent.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::CreateStudyRequest request;
  request.set_parent(*parent);
  request.set_study_id(arguments.Word(0));
  *request.mutable_spec() = parsed.spec;
  request.set_request_id(context->request_id);
  const absl::StatusOr<v1::Study> study = (*client)->CreateStudy(request);
  if (!study.ok()) return study.status();
  PrintOne(&context->console(), context->format, *study, study->name(), StudyPage(*study),
           StudyTable({&*study}));
  return absl::OkStatus();
}

}  // namespace

Command StudyCreateCommand() {
  Command command;
  command.words = "study create";
  command.summary = "Create a study from a studySpec.";
  command.examples = {"trainyard study create lr_search --config study.yaml"};
  command.positionals = {{.name = "STUDY"}};
  command.flags = {{.name = "config",
                    .value = "FILE",
                    .help = "YAML or JSON of the studySpec",
                    .complete = Complete::kFile}};
  command.run = Create;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
