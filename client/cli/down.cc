// trainyard down: stops the daemons of the embedded cluster in order. Running programs go on under
// their supervisors and are taken up again by the next `up`; --kill cancels them first.
#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/daemon.h"
#include "client/cli/embedded.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"
#include "common/errors.h"
#include "common/mutex.h"

namespace trainyard::cli {
namespace {

constexpr char kEveryProject[] = "projects/-";
constexpr int kPageSize = 1000;
constexpr size_t kCallsAtATime = 64;

absl::StatusOr<std::vector<v1::Job>> LiveJobs(client::Client* client, const std::string& parent) {
  std::vector<v1::Job> live;
  v1::ListJobsRequest request;
  request.set_parent(parent);
  request.set_page_size(kPageSize);
  do {
    const absl::StatusOr<v1::ListJobsResponse> page = client->ListJobs(request);
    if (!page.ok()) return page.status();
    for (const v1::Job& job : page->jobs()) {
      if (!client::IsTerminal(job.state())) live.push_back(job);
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return live;
}

// What became of each job: its row after the cancel. Many calls at a time: each waits for the disk,
// and they share its syncs. Newest first, so that room which becomes free starts no other job.
absl::StatusOr<std::vector<v1::Job>> AskForCancels(client::Client* client,
                                                   const std::vector<v1::Job>& live) {
  std::vector<v1::Job> asked(live.size());
  std::atomic<size_t> next{0};
  Mutex mutex;
  absl::Status first_error;
  const auto work = [&] {
    for (size_t i = 0; (i = next++) < live.size();) {
      v1::CancelJobRequest request;
      request.set_name(live[i].name());
      request.set_reason("trainyard down --kill");
      absl::StatusOr<v1::Job> cancelled = client->CancelJob(request);
      if (cancelled.ok()) {
        asked[i] = *std::move(cancelled);
        continue;
      }
      next = live.size();
      MutexLock lock(&mutex);
      if (first_error.ok()) first_error = cancelled.status();
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < std::min(kCallsAtATime, live.size()); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (!first_error.ok()) return first_error;
  return asked;
}

// Cancels every live job and waits for their ends.
absl::Status CancelAll(Context* context, client::Client* client, const std::vector<v1::Job>& live,
                       absl::Time deadline) {
  const absl::StatusOr<std::vector<v1::Job>> asked = AskForCancels(client, live);
  if (!asked.ok()) return asked.status();
  size_t waiting = 0;  // they have ended with the call
  for (const v1::Job& job : *asked) {
    if (client::IsTerminal(job.state())) {
      ++waiting;
      continue;
    }
    const absl::StatusOr<v1::Job> ended =
        client::WaitForJob(client, job.name(), deadline,
                           [](const v1::Job& seen) { return client::IsTerminal(seen.state()); });
    if (!ended.ok()) return ended.status();
    context->console().ErrLine(
        absl::StrCat(ShortName(job.name()), ": ", v1::JobState_Name(ended->state())));
  }
  if (waiting > 0) {
    context->console().ErrLine(absl::StrCat(
        waiting, waiting == 1 ? " job that had not started was" : " jobs that had not started were",
        " cancelled"));
  }
  return absl::OkStatus();
}

// Says which programs go on, or ends them. A scheduler that does not answer is stopped all the
// same.
absl::Status SettleJobs(Context* context, bool kill, absl::Duration patience) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return absl::OkStatus();
  const absl::StatusOr<std::vector<v1::Job>> live = LiveJobs(*client, kEveryProject);
  if (!live.ok()) return kill ? live.status() : absl::OkStatus();
  if (live->empty()) return absl::OkStatus();
  if (kill) return CancelAll(context, *client, *live, absl::Now() + patience);
  std::string running;
  for (const v1::Job& job : *live) {
    if (job.state() == v1::RUNNING) absl::StrAppend(&running, " ", ShortName(job.name()));
  }
  if (!running.empty()) {
    context->console().Note(absl::StrCat(
        "running programs go on and are taken up by the next \"trainyard up\":", running,
        "; to end them: trainyard down --kill"));
  }
  return absl::OkStatus();
}

absl::Status Down(Context* context, const Arguments& arguments) {
  const absl::StatusOr<absl::Duration> patience = arguments.Duration("timeout", absl::Seconds(30));
  if (!patience.ok()) return patience.status();
  const EmbeddedFolders folders = FoldersOf(client::StateFolder(context->environment()));
  // The embedded cluster alone is meant, whatever endpoint is set.
  context->endpoint_flags() = {};
  context->endpoint_flags().embedded = true;
  if (client::ReadEmbeddedEndpoint(folders.state).ok()) {
    if (LivingPid(folders.scheduler_pid_file) != 0) {
      const absl::Status status = SettleJobs(context, arguments.Has("kill"), *patience);
      if (!status.ok()) return status;
    }
  }
  const absl::StatusOr<bool> any = StopEmbedded(folders, *patience);
  if (!any.ok()) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "TIMED_OUT",
                     std::string(any.status().message()),
                     "wait longer: trainyard down --timeout 2m");
  }
  if (!context->quiet) {
    context->console().ErrLine(*any ? "Stopped. Everything is kept; go on with: trainyard up"
                                    : "Nothing was running.");
  }
  return absl::OkStatus();
}

}  // namespace

Command DownCommand() {
  Command command;
  command.words = "down";
  command.summary = "Stop the cluster of this machine; everything is kept.";
  command.examples = {"trainyard down", "trainyard down --kill"};
  command.flags = {
      {.name = "kill", .help = "cancel all jobs first; otherwise running programs go on"},
      {.name = "timeout", .value = "D", .help = "how long to wait for each; default 30s"}};
  command.run = Down;
  return command;
}

}  // namespace trainyard::cli
