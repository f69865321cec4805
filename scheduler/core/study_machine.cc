// See study_machine.h: how a study goes on; commands about it are in study_commands.cc.
#include "scheduler/core/study_machine.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/core/job_machine.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/run_machine.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/trial_machine.h"

namespace trainyard::core {
namespace {

int64_t Ended(const records::StudyRow& study) {
  return study.counts().succeeded() + study.counts().infeasible();
}
int64_t Running(const records::StudyRow& study) {
  return study.counts().active() + study.counts().stopping();
}
bool TooManyFailed(const records::StudyRow& study) {
  return study.job_uid() != 0 && study.max_failed() > 0 &&
         study.counts().infeasible() >= study.max_failed();
}

std::string FailureReason(const records::StudyRow& study, const Draft& draft) {
  const SpecPtr spec = draft.Spec(study.job_uid());
  const bool by_default = spec != nullptr && spec->max_failed_trial_count() == 0;
  return absl::StrCat(study.counts().infeasible(), " trials failed, the limit is ",
                      study.max_failed(),
                      by_default ? " (half of the trials but at least 3, because "
                                   "maxFailedTrialCount is 0)"
                                 : " (maxFailedTrialCount)");
}

void ActivateTrial(const records::StudyRow& study, const records::TrialRow& trial, Draft* draft) {
  const uint64_t run_uid = draft->NextUid();
  records::Event activated;
  activated.mutable_trial_activated()->set_study_uid(study.uid());
  activated.mutable_trial_activated()->set_trial(trial.id());
  activated.mutable_trial_activated()->set_run_uid(run_uid);
  draft->Emit(std::move(activated));
  records::Event created;
  records::RunCreated* run = created.mutable_run_created();
  run->set_run_uid(run_uid);
  run->set_job_uid(study.job_uid());
  run->set_trial(trial.id());
  *run->mutable_parameters() = trial.parameters();
  if (trial.origin() > 0) {
    const TrialPtr origin = draft->Trial({study.uid(), trial.origin()});
    const RunPtr from = origin == nullptr ? nullptr : draft->Run(origin->run_uid());
    if (from != nullptr && from->has_checkpoint()) {
      *run->mutable_checkpoint() = from->checkpoint();
      run->mutable_checkpoint()->clear_epoch();  // no attempt of the new run wrote it
    }
  }
  draft->Emit(std::move(created));
}

// Starts requested trials while there is room; those that ran before go on.
void FillUp(const records::StudyRow& study, const records::JobRow& job, Draft* draft) {
  if (job.paused() || job.cancel_requested() || study.counts().requested() == 0) return;
  if (IsBlocked(job, *draft->Spec(job.uid()))) return;
  int64_t room = std::max<int64_t>(study.parallel_trials(), 1) - Running(study);
  if (room <= 0) return;
  for (const int32_t id : draft->OpenTrials(study.uid())) {
    if (room <= 0) return;
    const TrialPtr trial = draft->Trial({study.uid(), id});
    if (trial->state() != v1::REQUESTED || trial->held()) continue;
    if (trial->run_uid() == 0) {
      ActivateTrial(study, *trial, draft);
    } else {
      ResumeRun(trial->run_uid(), draft);
    }
    --room;
  }
}

// Why an active study is over now, "" when it goes on.
std::string OverBecause(const records::StudyRow& study, const Draft& draft) {
  if (TooManyFailed(study)) return FailureReason(study, draft);
  if (study.max_trials() > 0 && Ended(study) >= study.max_trials()) return "all trials have ended";
  if (study.exhausted() && study.counts().requested() == 0 && Running(study) == 0) {
    return "the search space has no further point";
  }
  return "";
}

// The error of a tuning job none of whose trials succeeded: that of the first one that failed.
v1::ExitRecord FirstError(const records::StudyRow& study, const Draft& draft) {
  v1::ExitRecord error;
  error.set_cause(v1::USER_ERROR);
  error.set_rank(-1);
  for (int32_t id = 1; id < study.next_trial(); ++id) {
    const TrialPtr trial = draft.Trial({study.uid(), id});
    if (trial == nullptr || trial->state() != v1::INFEASIBLE) continue;
    if (const RunPtr run = draft.Run(trial->run_uid());
        run != nullptr && run->attempt().has_exit()) {
      error = run->attempt().exit();
    }
    error.set_message(absl::StrCat("trial ", id, ": ", trial->infeasible_reason()));
    return error;
  }
  error.set_message(absl::StrCat("no trial was run: ", study.inactive_reason()));
  return error;
}

void EndItsJob(const records::StudyRow& study, Draft* draft) {
  const JobPtr job = draft->Job(study.job_uid());
  if (job == nullptr || IsTerminal(job->state())) return;
  if (job->cancel_requested()) {
    v1::ExitRecord error;
    error.set_cause(v1::CANCELLED_CAUSE);
    error.set_rank(-1);
    error.set_message(job->cancel_reason().empty()
                          ? "cancelled"
                          : absl::StrCat("cancelled: ", job->cancel_reason()));
    return EndJob(job->uid(), v1::CANCELLED, &error, draft);
  }
  if (study.failed()) {
    v1::ExitRecord error = FirstError(study, *draft);
    error.set_message(absl::StrCat(study.inactive_reason(), "; ", error.message()));
    return EndJob(job->uid(), v1::FAILED, &error, draft);
  }
  if (study.counts().succeeded() > 0) return EndJob(job->uid(), v1::SUCCEEDED, nullptr, draft);
  const v1::ExitRecord error = FirstError(study, *draft);
  EndJob(job->uid(), v1::FAILED, &error, draft);
}

}  // namespace

void AdvanceStudy(uint64_t study_uid, Draft* draft) {
  StudyPtr study = draft->Study(study_uid);
  if (study == nullptr || draft->study_ending == study_uid) return;
  const JobPtr job = draft->Job(study->job_uid());
  if (study->state() == v1::Study::ACTIVE_STUDY) {
    const std::string over = OverBecause(*study, *draft);
    if (!over.empty()) {
      EndStudy(study_uid, over, TooManyFailed(*study) ? Rest::kIsCancelled : Rest::kGoesOn, draft);
    } else if (job != nullptr) {
      FillUp(*study, *job, draft);
    }
    study = draft->Study(study_uid);
  }
  if (study->state() == v1::Study::COMPLETED_STUDY && job != nullptr) EndItsJob(*study, draft);
}

void EndStudy(uint64_t study_uid, const std::string& reason, Rest rest, Draft* draft) {
  const StudyPtr study = draft->Study(study_uid);
  if (study == nullptr) return;
  const std::vector<int32_t> open = draft->OpenTrials(study_uid);
  if (study->state() == v1::Study::ACTIVE_STUDY) {
    records::Event event;
    event.mutable_study_ended()->set_study_uid(study_uid);
    event.mutable_study_ended()->set_reason(reason);
    event.mutable_study_ended()->set_failed(TooManyFailed(*study));
    draft->Emit(std::move(event));
  }
  draft->study_ending = study_uid;  // it goes on when all of it is told
  for (const int32_t id : open) {
    const TrialPtr trial = draft->Trial({study_uid, id});
    const bool requested = trial->state() == v1::REQUESTED;
    if (requested && trial->run_uid() == 0) {
      DropTrial({study_uid, id}, absl::StrCat("was never started: ", reason), draft);
    } else if (rest == Rest::kIsCancelled) {
      StopRun(trial->run_uid(), wire::STOP_CANCEL, v1::CANCELLED_CAUSE,
              absl::StrCat("cancelled: ", reason), draft);
    } else if (rest == Rest::kStopsEarly || requested || trial->held()) {
      // One that was paused or is held is judged by what it measured so far, too.
      StopTrial({study_uid, id}, reason, draft);
    }
  }
  draft->study_ending = 0;
  AdvanceStudy(study_uid, draft);
}

}  // namespace trainyard::core
