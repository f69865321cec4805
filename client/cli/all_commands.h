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
Command JobsCancelCommand();
Command JobsUpdateCommand();
Command HpTuningJobsListCommand();
Command HpTuningJobsDescribeCommand();
Command HpTuningJobsCancelCommand();
Command CustomJobsListCommand();
Command CustomJobsDescribeCommand();
Command CustomJobsCancelCommand();
Command LogsCommand();

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_ALL_COMMANDS_H_
