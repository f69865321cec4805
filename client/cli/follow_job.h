// Following a job from the terminal: its log as it grows, Ctrl-C leaves the job running, and the
// verdict at the end. One thread (and a signal handler).
#ifndef TRAINYARD_CLIENT_CLI_FOLLOW_JOB_H_
#define TRAINYARD_CLIENT_CLI_FOLLOW_JOB_H_

#include <string>

#include "absl/status/status.h"
#include "client/cli/context.h"
#include "trainyard/v1/job.pb.h"

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

// Prints the job's log until it ends, then waits for the end of the job: VerdictOf(job). The
// program's stderr goes to Err when `split`.
absl::Status FollowToEnd(Context* context, const v1::Job& job, bool split);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_FOLLOW_JOB_H_
