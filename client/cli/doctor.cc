// trainyard doctor: looks at machine, programs, state, scheduler and nodes; for whatever is wrong
// it prints the command that mends it.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/checks.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

const char* Word(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kWarning:
      return "warning";
    case Health::kFailure:
      return "failure";
  }
  return "";
}

Style StyleOf(Health health) {
  switch (health) {
    case Health::kOk:
      return Style::kGreen;
    case Health::kWarning:
      return Style::kYellow;
    case Health::kFailure:
      return Style::kRed;
  }
  return Style::kPlain;
}

void PrintText(const std::vector<Check>& checks, Console* console) {
  for (const Check& check : checks) {
    std::string word = Word(check.health);
    word.resize(8, ' ');
    std::string name = check.name;
    name.resize(std::max<size_t>(18, name.size() + 1), ' ');
    console->OutLine(
        absl::StrCat(Styled(word, StyleOf(check.health), console->out_color), name, check.detail));
    if (!check.fix.empty()) console->OutLine(absl::StrCat("        fix: ", check.fix));
  }
}

absl::Status Doctor(Context* context, const Arguments&) {
  std::vector<Check> checks = MachineChecks(context->environment());
  for (const std::vector<Check>& more :
       {ProgramChecks(context->environment(), context->binary_folder),
        StateChecks(context->environment()), ClusterChecks(context)}) {
    checks.insert(checks.end(), more.begin(), more.end());
  }
  Table table;
  table.headers = {"CHECK", "HEALTH", "DETAIL", "FIX"};
  int failures = 0;
  for (const Check& check : checks) {
    table.rows.push_back({check.name, Word(check.health), check.detail, check.fix});
    table.names.push_back(check.name);
    failures += check.health == Health::kFailure ? 1 : 0;
  }
  if (context->format == Format::kTable) {
    PrintText(checks, &context->console());
  } else {
    PrintTable(&context->console(), context->format, table);
  }
  if (failures == 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                   absl::StrCat(failures, failures == 1 ? " check" : " checks", " failed"),
                   "do what stands behind each fix above, then: trainyard doctor");
}

}  // namespace

Command DoctorCommand() {
  Command command;
  command.words = "doctor";
  command.summary = "Check this machine and the cluster; print what mends each fault.";
  command.examples = {"trainyard doctor", "trainyard doctor -o json"};
  command.run = Doctor;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
