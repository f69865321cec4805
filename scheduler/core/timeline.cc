// See timeline.h.
#include "scheduler/core/timeline.h"

#include <string>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

constexpr int kFirstKept = 10;
constexpr absl::string_view kLeftOut = "left out";

// Room for one line more: the oldest line after the first few goes, and a line in its place says
// how many went, with the time of the last of them.
void LeaveOut(google::protobuf::RepeatedPtrField<v1::TimelineEvent>* timeline) {
  v1::TimelineEvent* const mark = timeline->Mutable(kFirstKept);
  int64_t gone = 0;
  if (mark->what() == kLeftOut) {
    std::ignore = absl::SimpleAtoi(mark->detail().substr(0, mark->detail().find(' ')), &gone);
  } else {
    gone = 1;
  }
  *mark->mutable_time() = timeline->Get(kFirstKept + 1).time();
  mark->set_what(std::string(kLeftOut));
  mark->set_detail(absl::StrCat(gone + 1, " lines"));
  timeline->DeleteSubrange(kFirstKept + 1, 1);
}

v1::JobState OfRun(const records::RunRow& run) {
  switch (run.state()) {
    case records::R_WAITING:
    case records::R_BACKING_OFF:
      return v1::QUEUED;
    case records::R_PAUSED:
      return v1::PAUSED;
    case records::R_ACTIVE:
      return run.attempt().running_us() > 0 ? v1::RUNNING : v1::PREPARING;
    default:
      return v1::JOB_STATE_UNSPECIFIED;
  }
}

bool AnyTrialRuns(const records::JobRow& job, const Rows& rows) {
  for (const int32_t id : rows.OpenTrials(job.study_uid())) {
    const TrialPtr trial = rows.Trial({job.study_uid(), id});
    const RunPtr run = trial == nullptr ? nullptr : rows.Run(trial->run_uid());
    if (run != nullptr && run->state() == records::R_ACTIVE) return true;
  }
  return false;
}

// A tuning job runs from its first rank to its end, also in the moments between two trials. But one
// that is paused or kept from starting trials says so as soon as nothing of it runs any more, and
// is RUNNING again only with the next run that is placed.
v1::JobState OfTrialRun(const records::JobRow& job, const records::RunRow* run, const Rows& rows) {
  const bool active = run != nullptr && run->state() == records::R_ACTIVE;
  const v1::JobState running = job.start_us() > 0 ? v1::RUNNING : v1::PREPARING;
  if (active) return running;
  const SpecPtr spec = rows.Spec(job.uid());
  const bool blocked = spec != nullptr && IsBlocked(job, *spec);
  // While it says QUEUED nothing of it runs: what is placed changes that.
  if (job.state() == v1::QUEUED && !job.paused()) return v1::QUEUED;
  if (job.paused() || blocked || job.state() == v1::PAUSED) {
    if (AnyTrialRuns(job, rows)) return running;
    return job.paused() ? v1::PAUSED : v1::QUEUED;
  }
  return job.start_us() > 0 || job.state() == v1::PREPARING ? running : v1::QUEUED;
}

}  // namespace

void AddTimeline(int64_t time_us, absl::string_view what, absl::string_view detail,
                 records::JobRow* job) {
  auto* timeline = job->mutable_timeline();
  if (timeline->empty()) {
    v1::TimelineEvent* queued = timeline->Add();
    SetTimestamp(job->create_us(), queued->mutable_time());
    queued->set_what("queued");
  }
  if (timeline->size() >= kTimelineMax) LeaveOut(timeline);
  v1::TimelineEvent* line = timeline->Add();
  SetTimestamp(time_us, line->mutable_time());
  line->set_what(std::string(what));
  line->set_detail(std::string(detail));
}

v1::JobState DeriveState(const records::JobRow& job, const records::RunRow* run, const Rows& rows) {
  if (job.cancel_requested()) return v1::CANCELLING;
  if (job.study_uid() != 0) return OfTrialRun(job, run, rows);
  const v1::JobState state = run == nullptr ? v1::QUEUED : OfRun(*run);
  // A run that is done leaves the job's last state to JobEnded.
  return state == v1::JOB_STATE_UNSPECIFIED ? job.state() : state;
}

void FoldIntoJob(const records::Event& event, uint64_t run_uid, absl::string_view what,
                 absl::string_view detail, Rows* rows) {
  const RunPtr run = rows->Run(run_uid);
  if (run == nullptr) return;
  const JobPtr job = rows->Job(run->job_uid());
  if (job == nullptr || IsTerminal(job->state())) return;
  const bool starts = job->start_us() == 0 && run->attempt().running_us() > 0;
  if (what.empty() && !starts && DeriveState(*job, run.get(), *rows) == job->state()) return;
  EditJob(rows, job->uid(), event.sequence(), [&](records::JobRow* row) {
    if (starts) row->set_start_us(run->attempt().running_us());
    row->set_state(DeriveState(*row, run.get(), *rows));
    if (what.empty()) return;
    const std::string prefix = run->trial() > 0 ? absl::StrCat("trial ", run->trial(), " ") : "";
    AddTimeline(event.time_us(), absl::StrCat(prefix, what), detail, row);
  });
}

}  // namespace trainyard::core
