// Every command's table entry; commands.cc puts them in order.
#ifndef TRAINYARD_CLIENT_CLI_ALL_COMMANDS_H_
#define TRAINYARD_CLIENT_CLI_ALL_COMMANDS_H_

#include "client/cli/command.h"

namespace trainyard::cli {

Command UpCommand();
Command DownCommand();
Command RunCommand();
Command JobsSubmitTrainingCommand();
Command JobsListCommand();
Command JobsDescribeCommand();
Command JobsLogsCommand();
Command JobsStreamLogsCommand();
Command JobsWaitCommand();
Command JobsWhyCommand();
Command JobsPauseCommand();
Command JobsResumeCommand();
Command JobsCancelCommand();
Command JobsUpdateCommand();
Command JobsHoldCommand();
Command JobsReleaseCommand();
Command HpTuningJobsCreateCommand();
Command HpTuningJobsListCommand();
Command HpTuningJobsDescribeCommand();
Command HpTuningJobsCancelCommand();
Command CustomJobsCreateCommand();
Command CustomJobsListCommand();
Command CustomJobsDescribeCommand();
Command CustomJobsCancelCommand();
Command LocalTrainCommand();
Command LogsCommand();
Command TrialsCommand();
Command BestCommand();
Command MetricsCommand();
Command OutputsCommand();
Command PullCommand();
Command StudyCreateCommand();
Command StudyListCommand();
Command StudyDescribeCommand();
Command StudyAskCommand();
Command StudyTellCommand();
Command StudyCompleteCommand();
Command StudyShouldStopCommand();
Command StudyBestCommand();
Command StudyTrialsCommand();
Command StudyImportanceCommand();
Command StudyStreamCommand();
Command StudyExportCommand();
Command StudyDeleteCommand();
Command NodesCommand();
Command DrainCommand();
Command RevokeNodeCommand();
Command TiersListCommand();
Command TiersSetCommand();
Command ProjectsListCommand();
Command ProjectsCreateCommand();
Command StoreLsCommand();
Command StoreCpCommand();
Command QueuesListCommand();
Command QueuesDescribeCommand();
Command QueuesSetCommand();
Command QueuesDeleteCommand();
Command QuotaSetCommand();
Command QuotaListCommand();
Command QuotaDescribeCommand();
Command QuotaDeleteCommand();
Command ProjectsUpdateCommand();
Command ReservationsCreateCommand();
Command ReservationsListCommand();
Command ReservationsDeleteCommand();
Command UsageCommand();
Command HistoryCommand();
Command ValidateCommand();
Command DoctorCommand();
Command VersionCommand();
Command TokenCreateCommand();
Command TokenListCommand();
Command TokenRevokeCommand();
Command JoinTokenCommand();
Command CompletionCommand();
Command CompleteWordsCommand();
Command ConfigListCommand();
Command ConfigGetCommand();
Command ConfigSetCommand();
Command ConfigUnsetCommand();

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_ALL_COMMANDS_H_
