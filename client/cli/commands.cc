// The table of all commands in the order of the help, and the flags they share.
#include "client/cli/all_commands.h"
#include "client/cli/command.h"
#include "client/cli/output.h"

namespace trainyard::cli {

const std::vector<Command>& Commands() {
  static const auto* const commands = new std::vector<Command>{
      UpCommand(),
      DownCommand(),
      RunCommand(),
      JobsSubmitTrainingCommand(),
      JobsListCommand(),
      JobsDescribeCommand(),
      JobsLogsCommand(),
      JobsStreamLogsCommand(),
      JobsWaitCommand(),
      JobsWhyCommand(),
      JobsPauseCommand(),
      JobsResumeCommand(),
      JobsCancelCommand(),
      JobsUpdateCommand(),
      HpTuningJobsCreateCommand(),
      HpTuningJobsListCommand(),
      HpTuningJobsDescribeCommand(),
      HpTuningJobsCancelCommand(),
      CustomJobsCreateCommand(),
      CustomJobsListCommand(),
      CustomJobsDescribeCommand(),
      CustomJobsCancelCommand(),
      LocalTrainCommand(),
      LogsCommand(),
      TrialsCommand(),
      BestCommand(),
      MetricsCommand(),
      OutputsCommand(),
      PullCommand(),
      StudyCreateCommand(),
      StudyListCommand(),
      StudyDescribeCommand(),
      StudyAskCommand(),
      StudyTellCommand(),
      StudyCompleteCommand(),
      StudyShouldStopCommand(),
      StudyBestCommand(),
      StudyTrialsCommand(),
      StudyImportanceCommand(),
      StudyStreamCommand(),
      StudyExportCommand(),
      StudyDeleteCommand(),
      NodesCommand(),
      DrainCommand(),
      TiersListCommand(),
      TiersSetCommand(),
      ProjectsListCommand(),
      ProjectsCreateCommand(),
      StoreLsCommand(),
      StoreCpCommand(),
      ValidateCommand(),
      DoctorCommand(),
      VersionCommand(),
      TokenCreateCommand(),
      TokenListCommand(),
      TokenRevokeCommand(),
      JoinTokenCommand(),
      CompletionCommand(),
      CompleteWordsCommand(),
      ConfigListCommand(),
      ConfigGetCommand(),
      ConfigSetCommand(),
      ConfigUnsetCommand(),
  };
  return *commands;
}

const std::vector<Flag>& GlobalFlags() {
  static const auto* const flags = new std::vector<Flag>{
      {.name = "endpoint", .value = "ADDRESS"},
      {.name = "token", .value = "TOKEN"},
      {.name = "project", .value = "P"},
      {.name = "ca-file", .value = "FILE", .complete = Complete::kFile},
      {.name = "quiet", .letter = 'q'},
      {.name = "help", .letter = 'h'},
      {.name = "verbosity", .value = "LEVEL", .quiet = true},
      {.name = "account", .value = "NAME", .quiet = true},
      {.name = "configuration", .value = "NAME", .quiet = true},
  };
  return *flags;
}

std::vector<Flag> AllFlagsOf(const Command& command) {
  std::vector<Flag> flags = command.flags;
  if (command.prints) {
    flags.push_back(
        {.name = "output", .value = "FORMAT", .letter = 'o', .choices = kFormatChoices});
    flags.push_back(
        {.name = "format", .value = "FORMAT", .choices = kFormatChoices, .hidden = true});
  }
  if (command.writes) {
    flags.push_back({.name = "request-id",
                     .value = "ID",
                     .help = "the same id again gives the first answer, not a second effect"});
  }
  flags.insert(flags.end(), GlobalFlags().begin(), GlobalFlags().end());
  return flags;
}

}  // namespace trainyard::cli
