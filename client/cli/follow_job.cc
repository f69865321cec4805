// See follow_job.h.
#include "client/cli/follow_job.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/job_parts.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/cli/submit.h"
#include "client/cli/trial_view.h"
#include "client/cli/waiting.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"
#include "common/mutex.h"

namespace trainyard::cli {
namespace {

constexpr int kInterruptedExitCode = 130;
constexpr size_t kPendingBytesMax = 1 << 16;
constexpr absl::Duration kLookEvery = absl::Seconds(1);

// Read by the handler; set before it is installed.
char farewell_text[1024];
size_t farewell_bytes = 0;

void OnInterrupt(int) {
  (void)!write(STDERR_FILENO, farewell_text, farewell_bytes);
  _exit(kInterruptedExitCode);
}

// Lines on their way to the two streams: those of one stream that come together are written at
// once.
class LineWriter {
 public:
  // `split`: lines of stderr go there; `aside`: all do, as standard output is for a document.
  LineWriter(Console* console, bool split, bool aside)
      : console_(console), split_(split), aside_(aside) {}
  void Add(const std::string& text, bool is_stderr) {
    const bool to_err = aside_ || (split_ && is_stderr);
    if (to_err != to_err_ || pending_.size() >= kPendingBytesMax) Flush();
    to_err_ = to_err;
    absl::StrAppend(&pending_, text, "\n");
  }
  void Flush() {
    if (pending_.empty()) return;
    if (to_err_) {
      console_->Err(pending_);
    } else {
      console_->Out(pending_);
      console_->Flush();
    }
    pending_.clear();
  }

 private:
  Console* console_;
  bool split_;
  bool aside_;
  bool to_err_ = false;
  std::string pending_;
};

// Looks at the job now and then while its log is followed, and says when it waits again: paused,
// preempted, before its next attempt.
class Lookout {
 public:
  Lookout(client::Client* client, std::string name, absl::FunctionRef<void(absl::string_view)> say)
      : client_(client), name_(std::move(name)), teller_(client, /*patient=*/true, say) {
    thread_ = std::thread([this] { Run(); });
  }
  ~Lookout() {
    {
      MutexLock lock(&mutex_);
      ended_ = true;
      changed_.NotifyAll();
    }
    thread_.join();
  }

 private:
  bool Sleep() {
    MutexLock lock(&mutex_);
    const absl::Time until = absl::Now() + kLookEvery;
    while (!ended_ && absl::Now() < until) changed_.WaitFor(&mutex_, until - absl::Now());
    return !ended_;
  }
  void Run() {
    v1::GetJobRequest request;
    request.set_name(name_);
    while (Sleep()) {
      const absl::StatusOr<v1::Job> job = client_->GetJob(request);
      if (job.ok()) teller_.Look(*job).IgnoreError();
    }
  }

  client::Client* client_;
  const std::string name_;
  WaitingTeller teller_;
  Mutex mutex_;
  CondVar changed_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// The lines of the log until no more can come; `sink` and `flush` are never called while a line
// about the job's waiting is written.
absl::Status PrintLog(Context* context, client::Client* client, const v1::TailLogsRequest& request,
                      absl::FunctionRef<void(const v1::LogLine&)> sink,
                      absl::FunctionRef<void()> flush) {
  Console& console = context->console();
  Mutex mutex;  // of the console
  const auto say = [&](absl::string_view line) {
    MutexLock lock(&mutex);
    if (!context->quiet) console.ErrLine(Styled(line, Style::kDim, console.err_color));
  };
  const Lookout lookout(client, request.name(), say);
  return client::FollowLogs(
      client, request,
      [&](const v1::LogLine& line) {
        MutexLock lock(&mutex);
        sink(line);
        return true;
      },
      [&] {
        MutexLock lock(&mutex);
        flush();
      });
}

// Where the results are, when there are some.
void PointToOutputs(Context* context, client::Client* client, const v1::Job& job) {
  if (context->quiet || IsTuning(job)) return;
  v1::ListOutputsRequest request;
  request.set_name(job.name());
  const absl::StatusOr<v1::ListOutputsResponse> outputs = client->ListOutputs(request);
  if (!outputs.ok() || outputs->outputs().empty()) return;
  const std::string id = ShortName(job.name());
  context->console().ErrLine(
      absl::StrCat("outputs: trainyard outputs ", id, "; fetch them: trainyard pull ", id, " DIR"));
}

}  // namespace

DetachOnInterrupt::DetachOnInterrupt(const std::string& farewell) {
  farewell_bytes = std::min(farewell.size(), sizeof farewell_text);
  std::copy_n(farewell.data(), farewell_bytes, farewell_text);
  signal(SIGINT, OnInterrupt);
}

DetachOnInterrupt::~DetachOnInterrupt() { signal(SIGINT, SIG_DFL); }

LineLabels LabelsFor(const v1::Job& job) { return {IsTuning(job), RanksOf(job.spec()) > 1}; }

std::string FormatLogLine(const v1::LogLine& line, const LineLabels& labels) {
  std::string label;
  if (labels.trial) absl::StrAppend(&label, "trial ", line.trial());
  if (labels.rank) absl::StrAppend(&label, label.empty() ? "" : " ", "rank ", line.rank());
  return label.empty() ? line.text() : absl::StrCat("[", label, "] ", line.text());
}

void TellBest(Context* context, client::Client* client, const v1::Job& job) {
  if (context->quiet) return;
  const absl::StatusOr<std::vector<v1::Trial>> trials = FetchTrials(client, job);
  if (!trials.ok()) return;
  const v1::StudySpec& spec = job.spec().study_spec();
  const v1::Trial* const best = BestOf(*trials, spec);
  if (best == nullptr) return;
  context->console().ErrLine(
      absl::StrCat("best: trial ", best->id(), ", ", ObjectiveOf(spec), "=",
                   absl::StrFormat("%.6g", MetricOf(*best, ObjectiveOf(spec)).value_or(0)), ", ",
                   ParametersText(*best, /*exact=*/false), "; fetch it: trainyard pull ",
                   ShortName(job.name()), " DIR"));
}

absl::Status FollowLog(Context* context, const v1::TailLogsRequest& request,
                       const FollowOptions& options,
                       absl::FunctionRef<void(const v1::LogLine&)> sink,
                       absl::FunctionRef<void()> flush) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const std::string id = ShortName(request.name());
  const DetachOnInterrupt detach(absl::StrCat("\n", id,
                                              " goes on; follow it again: trainyard jobs logs -f ",
                                              id, "; stop it: trainyard jobs cancel ", id, "\n"));
  const absl::StatusOr<v1::Job> begun =
      WaitTelling(context, *client, request.name(), absl::InfiniteFuture(), options.patient,
                  [](const v1::Job& seen) { return seen.state() != v1::QUEUED; });
  if (!begun.ok()) return begun.status();
  const absl::Status logs = PrintLog(context, *client, request, sink, flush);
  if (!logs.ok()) context->console().Note(absl::StrCat("the log broke off: ", logs.message()));
  const absl::StatusOr<v1::Job> last =
      client::WaitForJob(*client, request.name(), absl::InfiniteFuture(),
                         [](const v1::Job& seen) { return client::IsTerminal(seen.state()); });
  if (!last.ok()) return last.status();
  if (last->state() == v1::SUCCEEDED) {
    if (options.say_success && !context->quiet) context->console().ErrLine(id + ": SUCCEEDED");
    if (IsTuning(*last)) TellBest(context, *client, *last);
    PointToOutputs(context, *client, *last);
  }
  return VerdictOf(*last, /*log_shown=*/logs.ok() && options.whole);
}

absl::Status FollowToEnd(Context* context, const v1::Job& job, bool split, bool patient) {
  LineWriter writer(&context->console(), split, /*aside=*/context->format_given);
  const LineLabels labels = LabelsFor(WholeJob(context, job));
  v1::TailLogsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  request.set_all_ranks(true);
  absl::Status verdict = FollowLog(
      context, request, {.patient = patient, .say_success = !split, .whole = true},
      [&](const v1::LogLine& line) { writer.Add(FormatLogLine(line, labels), line.is_stderr()); },
      [&] { writer.Flush(); });
  if (context->format_given) {
    const v1::Job last = WholeJob(context, job);
    PrintOne(&context->console(), context->format, last, last.name(), JobPage(last, absl::Now()),
             JobTable({&last}, absl::Now()));
  }
  return verdict;
}

}  // namespace trainyard::cli
