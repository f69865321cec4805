// One change made to every job named on the command line: cancel, pause, resume, delete. One
// thread.
#ifndef TRAINYARD_CLIENT_CLI_CHANGE_JOBS_H_
#define TRAINYARD_CLIENT_CLI_CHANGE_JOBS_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::client {
class Client;
}

namespace trainyard::cli {

// The change of one job, by its full name; `request_id` is empty when none was given.
using JobChange = absl::FunctionRef<absl::StatusOr<v1::Job>(
    client::Client* client, const std::string& name, const std::string& request_id)>;

// Tries every job named, each with a request id of its own, and says what state it is in then (or
// `outcome`): on stderr as a line, or on stdout in the format asked for. All errors in one answer.
absl::Status ChangeJobs(Context* context, const Arguments& arguments, JobChange change,
                        absl::string_view outcome = "");

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_CHANGE_JOBS_H_
