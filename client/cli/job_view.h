// How jobs look: the columns of lists, the page of describe, the account of a failure, and the
// states and times in it. Pure; one thread.
#ifndef TRAINYARD_CLIENT_CLI_JOB_VIEW_H_
#define TRAINYARD_CLIENT_CLI_JOB_VIEW_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/output.h"
#include "google/protobuf/timestamp.pb.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::cli {

// The last component of a resource name.
std::string ShortName(absl::string_view name);
absl::Time TimeOf(const google::protobuf::Timestamp& time);
// "2024-05-01 12:30:05" in local time, "" when unset.
std::string ShortTime(const google::protobuf::Timestamp& time);
// "4s", "2m05s", "3h07m", "5d02h".
std::string ShortDuration(absl::Duration duration);
// What a job is: "training" or "tuning".
bool IsTuning(const v1::Job& job);

// `now` gives the age of running jobs.
Table JobTable(const std::vector<const v1::Job*>& jobs, absl::Time now);
// A page about one job, its timeline included.
std::string JobPage(const v1::Job& job, absl::Time now);

// OK for SUCCEEDED; EXPIRED for that state; otherwise ABORTED with the job's own reason or
// JOB_FAILED: cause, rank, node, the tail of stderr and where to look.
// `log_shown`: the program's output was seen, its end is not repeated.
absl::Status VerdictOf(const v1::Job& job, bool log_shown = false);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_JOB_VIEW_H_
