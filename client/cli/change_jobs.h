// One change made to every job named on the command line: cancel, pause, resume, hold, release. One
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
// What a job is after the change, for people.
using JobOutcome = absl::FunctionRef<std::string(const v1::Job& job)>;
std::string StateOutcome(const v1::Job& job);

// Tries every job named, each with a request id of its own, and says what it is then: on stderr as
// a line, or on stdout in the format asked for. A job that has ended is left alone: then there is
// nothing to `verb`, FAILED_PRECONDITION, unless it is as `done` says. All errors in one answer.
struct JobVerb {
  absl::string_view verb;                         // "cancel"
  v1::JobState done = v1::JOB_STATE_UNSPECIFIED;  // the end that is as good as the change
};
absl::Status ChangeJobs(Context* context, const Arguments& arguments, const JobVerb& verb,
                        JobChange change, JobOutcome outcome = StateOutcome);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_CHANGE_JOBS_H_
