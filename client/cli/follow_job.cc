// See follow_job.h.
#include "client/cli/follow_job.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"

namespace trainyard::cli {
namespace {

constexpr int kInterruptedExitCode = 130;

// Read by the handler; set before it is installed.
char farewell_text[1024];
size_t farewell_bytes = 0;

void OnInterrupt(int) {
  (void)!write(STDERR_FILENO, farewell_text, farewell_bytes);
  _exit(kInterruptedExitCode);
}

bool IsGang(const v1::JobSpec& spec) {
  int ranks = 0;
  for (const v1::WorkerPool& pool : spec.worker_pools()) ranks += std::max(1, pool.replica_count());
  return ranks * std::max(1, spec.launch().processes_per_replica()) > 1;
}

}  // namespace

DetachOnInterrupt::DetachOnInterrupt(const std::string& farewell) {
  farewell_bytes = std::min(farewell.size(), sizeof farewell_text);
  std::copy_n(farewell.data(), farewell_bytes, farewell_text);
  signal(SIGINT, OnInterrupt);
}

DetachOnInterrupt::~DetachOnInterrupt() { signal(SIGINT, SIG_DFL); }

LineLabels LabelsFor(const v1::Job& job) { return {IsTuning(job), IsGang(job.spec())}; }

std::string FormatLogLine(const v1::LogLine& line, const LineLabels& labels) {
  std::string label;
  if (labels.trial) absl::StrAppend(&label, "trial ", line.trial());
  if (labels.rank) absl::StrAppend(&label, label.empty() ? "" : " ", "rank ", line.rank());
  return label.empty() ? line.text() : absl::StrCat("[", label, "] ", line.text());
}

absl::Status FollowToEnd(Context* context, const v1::Job& job, bool split) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  Console& console = context->console();
  const std::string id = ShortName(job.name());
  const DetachOnInterrupt detach(absl::StrCat("\n", id,
                                              " goes on; follow it again: trainyard jobs logs -f ",
                                              id, "; stop it: trainyard jobs cancel ", id, "\n"));
  v1::TailLogsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  request.set_all_ranks(true);
  const LineLabels labels = LabelsFor(job);
  const absl::Status logs = client::FollowLogs(*client, request, [&](const v1::LogLine& line) {
    const std::string text = FormatLogLine(line, labels) + "\n";
    if (split && line.is_stderr()) {
      console.Err(text);
    } else {
      console.Out(text);
      console.Flush();
    }
    return true;
  });
  if (!logs.ok()) console.Note(absl::StrCat("the log broke off: ", logs.message()));
  const absl::StatusOr<v1::Job> last =
      client::WaitForJob(*client, job.name(), absl::InfiniteFuture(),
                         [](const v1::Job& seen) { return client::IsTerminal(seen.state()); });
  if (!last.ok()) return last.status();
  return VerdictOf(*last);
}

}  // namespace trainyard::cli
