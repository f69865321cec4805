// Following a job from the terminal: its log as it grows, Ctrl-C leaves the job running, and the
// verdict at the end. One thread (and a signal handler).
#ifndef TRAINYARD_CLIENT_CLI_FOLLOW_JOB_H_
#define TRAINYARD_CLIENT_CLI_FOLLOW_JOB_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "client/cli/context.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::client {
class Client;
}

namespace trainyard::cli {

// While this lives, Ctrl-C prints `farewell` and ends the process with code 130.
class DetachOnInterrupt {
 public:
  explicit DetachOnInterrupt(const std::string& farewell);
  ~DetachOnInterrupt();
};

// How a line shows whose it is: nothing for a plain single rank.
struct LineLabels {
  bool trial = false;
  bool rank = false;
};
LineLabels LabelsFor(const v1::Job& job);
std::string FormatLogLine(const v1::LogLine& line, const LineLabels& labels);

// The best trial of a tuning job that has ended, as a line on stderr with how to fetch it.
void TellBest(Context* context, client::Client* client, const v1::Job& job);

struct FollowOptions {
  bool patient = false;      // also for a job that no node could ever run
  bool say_success = false;  // a line on stderr also when all went well
  bool whole = false;        // the log is shown whole, its end is not repeated in the verdict
};
// Says why the job waits, hands the lines of its log to `sink` until it ends, then waits for the
// end of the job: VerdictOf(job). `flush` is called after lines that came together.
absl::Status FollowLog(Context* context, const v1::TailLogsRequest& request,
                       const FollowOptions& options,
                       absl::FunctionRef<void(const v1::LogLine&)> sink,
                       absl::FunctionRef<void()> flush);

// Prints the job's log with FollowLog. The program's stderr goes to Err when `split`;
// `patient` as in FollowOptions.
absl::Status FollowToEnd(Context* context, const v1::Job& job, bool split, bool patient);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_FOLLOW_JOB_H_
