// See run_machine.h; placing is in place.cc.
#include "scheduler/core/run_machine.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "scheduler/core/attempt_machine.h"
#include "scheduler/core/deadline.h"
#include "scheduler/core/job_machine.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/study_machine.h"
#include "scheduler/core/trial_machine.h"
#include "scheduler/core/verdict.h"

namespace trainyard::core {
namespace {

v1::ExitRecord RecordOf(v1::ExitCause cause, absl::string_view message) {
  v1::ExitRecord exit;
  exit.set_cause(cause);
  exit.set_message(std::string(message));
  exit.set_rank(-1);
  return exit;
}

void EndWithoutAttempt(uint64_t run_uid, const v1::ExitRecord& exit, Draft* draft) {
  records::Event event;
  event.mutable_run_ended()->set_run_uid(run_uid);
  *event.mutable_run_ended()->mutable_exit() = exit;
  draft->Emit(std::move(event));
}

// Waited longer than the spec allows: the only way to EXPIRED.
void Expire(const records::RunRow& run, Draft* draft) {
  const SpecPtr spec = draft->Spec(run.job_uid());
  const JobPtr job = draft->Job(run.job_uid());
  const int64_t limit = spec == nullptr || job == nullptr ? 0 : MaxWaitUs(*job, *spec);
  const v1::ExitRecord exit =
      RecordOf(v1::TIMED_OUT, absl::StrCat("waited longer than scheduling.maxWait (",
                                           absl::FormatDuration(absl::Microseconds(limit)),
                                           ") for a place to run"));
  EndWithoutAttempt(run.uid(), exit, draft);
  if (job == nullptr) return;
  if (run.trial() == 0) return EndJob(job->uid(), v1::EXPIRED, &exit, draft);
  // A tuning job none of whose trials was ever placed expires as a whole.
  if (job->state() == v1::QUEUED && job->start_us() == 0) {
    EndJob(job->uid(), v1::EXPIRED, &exit, draft);
    EndStudy(job->study_uid(), exit.message(), Rest::kIsCancelled, draft);
  }
  EndTrialWithoutRun(run, exit, draft);
}

void NotPrepared(const records::RunRow& run, Draft* draft) {
  std::string waited_for;
  std::string node;
  for (const records::MemberRow& member : run.attempt().members()) {
    if (member.prepared() || member.running() || member.exited()) continue;
    if (node.empty()) node = member.node_id();
    absl::StrAppend(&waited_for, waited_for.empty() ? "" : ", ", member.node_id());
  }
  const bool staged = waited_for.empty();
  v1::ExitRecord exit = RecordOf(
      staged ? v1::LAUNCH : v1::STAGING,
      staged ? std::string("the processes did not start in time after all nodes were prepared")
             : absl::StrCat("node ", waited_for, " did not prepare the job in time"));
  exit.set_node(node);
  StopAttempt(run.uid(), wire::STOP_PEER_FAILED, &exit, draft);
}

// Members that did not turn up again are gone; what they held is free with the agent's word that it
// does not have them.
void DropMissing(const records::RunRow& run, Draft* draft) {
  const records::AttemptRow& attempt = run.attempt();
  for (const records::MemberRow& member : attempt.members()) {
    if (member.missing_us() == 0 || member.exited() || member.released()) continue;
    records::Event event;
    records::MemberFact* fact = event.mutable_member_fact();
    fact->set_node_id(member.node_id());
    wire::MemberKey* key = fact->mutable_fact()->mutable_key();
    key->set_run_uid(run.uid());
    key->set_epoch(attempt.epoch());
    key->set_member(member.member());
    fact->mutable_fact()->mutable_released();
    draft->Emit(std::move(event));
  }
  AdvanceAttempt(run.uid(), draft);
}

}  // namespace

void StopRun(uint64_t run_uid, wire::StopReason reason, v1::ExitCause cause,
             absl::string_view message, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  if (run == nullptr || run->state() == records::R_DONE) return;
  if (run->state() == records::R_ACTIVE) {
    StopAttempt(run_uid, reason, nullptr, draft, message);
    return;
  }
  const v1::ExitRecord exit = RecordOf(cause, message);
  EndWithoutAttempt(run_uid, exit, draft);
  if (run->trial() > 0) {
    EndTrialWithoutRun(*run, exit, draft);
  } else {
    EndJob(run->job_uid(), cause == v1::CANCELLED_CAUSE ? v1::CANCELLED : v1::FAILED, &exit, draft);
  }
}

void PauseRun(uint64_t run_uid, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  if (run == nullptr) return;
  if (run->state() == records::R_ACTIVE) {
    StopAttempt(run_uid, wire::STOP_PAUSE, nullptr, draft);
  } else if (run->state() == records::R_WAITING || run->state() == records::R_BACKING_OFF) {
    records::Event event;
    event.mutable_run_paused()->set_run_uid(run_uid);
    draft->Emit(std::move(event));
  }
}

void ResumeRun(uint64_t run_uid, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  if (run == nullptr || run->state() != records::R_PAUSED) return;
  records::Event event;
  event.mutable_run_ready()->set_run_uid(run_uid);
  draft->Emit(std::move(event));
}

void RunIsDue(uint64_t run_uid, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  if (run == nullptr) return;
  const Deadline deadline = DeadlineOf(*draft, *run);
  if (deadline.time_us > draft->now_us()) return;
  switch (deadline.due) {
    case Due::kNothing:
      return;
    case Due::kMaxWait:
      return Expire(*run, draft);
    case Due::kReady: {
      records::Event event;
      event.mutable_run_ready()->set_run_uid(run_uid);
      return draft->Emit(std::move(event));
    }
    case Due::kMissing:
      return DropMissing(*run, draft);
    case Due::kNotPrepared:
      return NotPrepared(*run, draft);
    case Due::kTimeLimit:
      return StopAttempt(run_uid, wire::STOP_TIMEOUT, nullptr, draft);
    case Due::kNotStopped:
      return EndAttempt(run_uid, draft);
    case Due::kSettled:
      return EndTrialOfRun(run_uid, draft);
  }
}

void PlanSettling(const records::RunRow& run, Draft* draft, records::AttemptEnded* ended) {
  if (run.trial() == 0 || ended->next() != records::R_DONE) return;
  const bool judged_by_metric =
      ended->state() == records::A_SUCCEEDED || ended->exit().cause() == v1::STOPPED_EARLY;
  if (!judged_by_metric) return;
  const int64_t wait = SettleUs(run, *draft);
  if (wait > 0) ended->set_settle_us(draft->now_us() + wait);
}

void RunIsDone(uint64_t run_uid, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  if (run == nullptr || run->state() != records::R_DONE) return;
  if (run->trial() > 0) {
    if (run->settle_us() == 0) EndTrialOfRun(run_uid, draft);
    return;
  }
  const records::AttemptRow& attempt = run->attempt();
  switch (attempt.state()) {
    case records::A_SUCCEEDED:
      return EndJob(run->job_uid(), v1::SUCCEEDED, nullptr, draft);
    case records::A_CANCELLED:
      return EndJob(run->job_uid(), v1::CANCELLED, &attempt.exit(), draft);
    default:
      return EndJob(run->job_uid(), v1::FAILED, &attempt.exit(), draft);
  }
}

}  // namespace trainyard::core
