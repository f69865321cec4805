// The table of all commands in the order of the help, and the flags they share.
#include <utility>

#include "client/cli/all_commands.h"
#include "client/cli/command.h"
#include "client/cli/output.h"

namespace trainyard::cli {

namespace {

// Jobs, studies, nodes and what belongs to them.
std::vector<Command> FirstCommands() {
  return {
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
      JobsHoldCommand(),
      JobsReleaseCommand(),
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
      RevokeNodeCommand(),
      TiersListCommand(),
      TiersSetCommand(),
      ProjectsListCommand(),
      ProjectsCreateCommand(),
      ProjectsUpdateCommand(),
      StoreLsCommand(),
      StoreCpCommand(),
  };
}

// What governs the queue.
std::vector<Command> QueueCommands() {
  return {
      QueuesListCommand(),
      QueuesDescribeCommand(),
      QueuesSetCommand(),
      QueuesDeleteCommand(),
      QuotaListCommand(),
      QuotaDescribeCommand(),
      QuotaSetCommand(),
      QuotaDeleteCommand(),
      ReservationsListCommand(),
      ReservationsCreateCommand(),
      ReservationsDeleteCommand(),
      UsageCommand(),
      HistoryCommand(),
  };
}

// What is asked for rarely.
std::vector<Command> LastCommands() {
  return {
      ValidateCommand(),      DoctorCommand(),      VersionCommand(),   TokenCreateCommand(),
      TokenListCommand(),     TokenRevokeCommand(), JoinTokenCommand(), CompletionCommand(),
      CompleteWordsCommand(), ConfigListCommand(),  ConfigGetCommand(), ConfigSetCommand(),
      ConfigUnsetCommand(),
  };
}

}  // namespace

const std::vector<Command>& Commands() {
  static const auto* const commands = [] {
    auto* all = new std::vector<Command>(FirstCommands());
    for (auto* more : {&QueueCommands, &LastCommands}) {
      std::vector<Command> commands_of = (*more)();
      for (Command& command : commands_of) all->push_back(std::move(command));
    }
    return all;
  }();
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
