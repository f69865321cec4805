// trainyard validate: every fault of a spec at once, with its place and how to mend it. Offline.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/check_program.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "client/cli/study_file.h"
#include "client/cli/submit.h"
#include "common/errors.h"
#include "common/spec/spec.h"

namespace trainyard::cli {
namespace {

// The packages the spec names, as a submit would take them.
absl::Status CheckPackages(const spec::ParseResult& result) {
  Submission submission;
  submission.spec = result.spec;
  submission.config = result;
  absl::Status status = PlanPackages("", {}, &submission);
  if (!status.ok()) return status;
  return NamedFaults(submission,
                     CheckBrought(submission, "name its package: packageUris or packagePath"));
}

// Faults and notes of one file; a fault of its packages comes after those of the text.
v1::Faults FaultsOfFile(const std::string& file, bool is_study) {
  const absl::StatusOr<std::string> text = spec::LoadSpecText(file);
  if (!text.ok()) return FaultsOf(text.status());
  if (is_study) return FaultsOfStudy(*text, file);
  if (IsStudyAlone(*text, file)) return FaultsOf(StudyAlone(file));
  spec::ParseResult result = spec::ValidateJobSpec(*text, file, spec::DefaultTiers());
  if (result.ok()) {
    if (const absl::Status packages = CheckPackages(result); !packages.ok()) {
      result.faults.MergeFrom(FaultsOf(packages));
    }
  }
  return result.faults;
}

absl::Status Validate(Context* context, const Arguments& arguments) {
  v1::Faults all;
  int bad = 0;
  Console& console = context->console();
  const bool json = context->format == Format::kJson || context->format == Format::kJsonLines;
  for (const std::string& file : arguments.words()) {
    const v1::Faults faults = FaultsOfFile(file, arguments.Has("study"));
    int real = 0;
    for (const v1::Fault& fault : faults.faults()) real += fault.is_note() ? 0 : 1;
    bad += real;
    all.MergeFrom(faults);
    if (json || context->format == Format::kYaml || context->quiet) continue;
    if (faults.faults_size() > 0) console.OutLine(FormatFaults(faults));
    if (real == 0) console.OutLine(absl::StrCat(file, ": valid"));
  }
  if (json) {
    console.OutLine(JsonOf(all, context->format == Format::kJson));
  } else if (context->format == Format::kYaml) {
    console.Out(YamlOfJson(JsonOf(all, /*indented=*/false)));
  }
  if (bad == 0) return absl::OkStatus();
  console.Flush();
  return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT",
                   absl::StrCat(bad, bad == 1 ? " fault" : " faults"), "mend what is listed above");
}

}  // namespace

Command ValidateCommand() {
  Command command;
  command.words = "validate";
  command.summary = "Check job specs offline: all faults at once, each with its fix.";
  command.examples = {"trainyard validate job.yaml", "trainyard validate a.yaml b.yaml -o json",
                      "trainyard validate --study study.yaml"};
  command.positionals = {{.name = "FILE", .repeated = true, .complete = Complete::kFile}};
  command.flags = {{.name = "study", .help = "the files are bare studySpecs"}};
  command.run = Validate;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
