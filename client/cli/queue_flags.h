// Flags about a job's place in the queue that every command which submits has, and the look at what
// would become of it (--plan). One thread.
#ifndef TRAINYARD_CLIENT_CLI_QUEUE_FLAGS_H_
#define TRAINYARD_CLIENT_CLI_QUEUE_FLAGS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/arguments.h"
#include "client/cli/command.h"
#include "client/cli/context.h"
#include "client/cli/submit.h"

namespace trainyard::cli {

std::vector<Flag> QueueFlags();
absl::Status ReadQueueFlags(const Arguments& arguments, v1::JobSpec* spec);
// Which fields of the spec those flags said, as in Submission::flags.
void NameQueueFlags(const Arguments& arguments, std::map<std::string, std::string>* flags);

// Asks what would become of the job and prints it; nothing is submitted and nothing uploaded.
// NO_CAPACITY when no node could ever run it.
absl::Status ShowPlan(Context* context, const Submission& submission);

// A time as "18:00" (the next one), "2026-12-01T18:00", or "+2h" from now.
absl::StatusOr<absl::Time> ReadTime(const Arguments& arguments, const std::string& flag);

// What `why` and --plan print.
std::string ExplanationText(const v1::ExplainJobResponse& answer);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_QUEUE_FLAGS_H_
