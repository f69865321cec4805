// Warns of a job that publishes where something is already, or where another job will publish.
// One thread.
#ifndef TRAINYARD_CLIENT_CLI_SHARED_OUTPUT_H_
#define TRAINYARD_CLIENT_CLI_SHARED_OUTPUT_H_

#include "client/cli/context.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::cli {

// A note on stderr for each: objects below the spec's job dir, and jobs that have not ended and
// publish there (looked for among the project's newest 200). Says nothing for a job dir that is no
// bucket's, and when the scheduler cannot be asked.
void SaySharedOutput(Context* context, const v1::JobSpec& spec);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_SHARED_OUTPUT_H_
