// See job_machine.h.
#include "scheduler/core/job_machine.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "scheduler/core/core.h"
#include "scheduler/core/queue_machine.h"
#include "scheduler/core/ranks.h"
#include "scheduler/core/run_machine.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/study_machine.h"

namespace trainyard::core {
namespace {

constexpr int64_t kTrialsMax = 1'000'000;
constexpr int64_t kParallelMax = 10'000;
constexpr int64_t kFailedAtLeast = 3;

Reply ReplyFor(const records::JobRow& job) {
  Reply reply;
  reply.uid = job.uid();
  reply.name = FormatJob(job.project(), job.job_id());
  return reply;
}

absl::StatusOr<JobPtr> FindJob(absl::string_view project, absl::string_view job_id,
                               const Draft& draft) {
  const State& state = draft.state();
  const auto it = state.job_by_name.find(NameKey(project, job_id));
  if (it != state.job_by_name.end()) {
    return draft.Job(it->second);
  }
  if (state.old_names.contains(NameHash(absl::StrCat(project, "/", job_id)))) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     absl::StrCat(FormatJob(project, job_id), " ended long ago and is kept only ",
                                  "for reading"),
                     "");
  }
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("there is no job ", FormatJob(project, job_id)),
                   "list the jobs of the project to see their names");
}

absl::Status CheckProject(const State& state, const std::string& project) {
  if (state.projects.count(project) > 0) return absl::OkStatus();
  std::vector<std::string> names;
  for (const auto& [name, row] : state.projects) names.push_back(name);
  const std::string near = NearestName(project, names);
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("there is no project ", project),
                   near.empty() ? "use project default, or ask an administrator to create it"
                                : absl::StrCat("did you mean ", near, "?"));
}

absl::Status OutOfRange(absl::string_view field, int64_t value, int64_t most) {
  return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                   absl::StrCat(value, " is outside 0 to ", most),
                   absl::StrCat("choose at most ", most), field);
}

absl::Status CheckSpec(const v1::JobSpec& spec) {
  if (absl::Status status = CheckRanks(spec); !status.ok()) return status;
  if (spec.max_trial_count() < 0 || spec.max_trial_count() > kTrialsMax) {
    return OutOfRange("spec.maxTrialCount", spec.max_trial_count(), kTrialsMax);
  }
  if (spec.parallel_trial_count() < 0 || spec.parallel_trial_count() > kParallelMax) {
    return OutOfRange("spec.parallelTrialCount", spec.parallel_trial_count(), kParallelMax);
  }
  if (spec.max_failed_trial_count() < 0) {
    return OutOfRange("spec.maxFailedTrialCount", spec.max_failed_trial_count(), kTrialsMax);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> NameFor(const SubmitJob& command, uint64_t uid, const Draft& draft) {
  const State& state = draft.state();
  if (command.job_id.empty()) return MadeUpName(command.project, command.spec, uid, state);
  if (absl::Status status = CheckId("job", command.job_id); !status.ok()) return status;
  if (!IsNameTaken(command.project, command.job_id, state)) return command.job_id;
  return MakeError(
      absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
      absl::StrCat("there is already a job ", command.job_id, " in project ", command.project),
      absl::StrCat("choose another name, for example ",
                   FreeNameLike(command.project, command.job_id, uid, state)),
      "job_id");
}

records::StudyRow StudyOf(const SubmitJob& command, uint64_t uid, uint64_t job_uid,
                          absl::string_view name, const Draft& draft) {
  const v1::JobSpec& spec = command.spec;
  records::StudyRow study =
      NewStudy(uid, command.project, name, spec.study_spec(), command.earlier, draft);
  study.set_job_uid(job_uid);
  study.set_max_trials(std::max<int64_t>(spec.max_trial_count(), 1));
  study.set_parallel_trials(
      std::clamp<int64_t>(spec.parallel_trial_count(), 1, study.max_trials()));
  study.set_max_failed(spec.max_failed_trial_count() > 0
                           ? spec.max_failed_trial_count()
                           : std::max(kFailedAtLeast, study.max_trials() / 2));
  return study;
}

}  // namespace

absl::StatusOr<JobPtr> FindToChange(absl::string_view project, absl::string_view job_id,
                                    const Draft& draft) {
  // Whoever may not even read learns nothing about which jobs exist.
  absl::Status status = CheckAccess(draft.principal(), Action::kRead, project, "");
  if (!status.ok()) return status;
  absl::StatusOr<JobPtr> job = FindJob(project, job_id, draft);
  if (!job.ok()) return job;
  status = CheckAccess(draft.principal(), Action::kChange, project, (*job)->principal());
  if (!status.ok()) return status;
  return job;
}

absl::StatusOr<Reply> Submit(const SubmitJob& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kSubmit, command.project, "");
  if (status.ok()) status = CheckProject(draft->state(), command.project);
  if (status.ok()) status = CheckSpec(command.spec);
  v1::JobSpec spec = command.spec;
  if (status.ok()) status = CheckQueue(command.project, *draft, &spec);
  if (!status.ok()) return status;
  const absl::StatusOr<std::vector<records::WaitsFor>> waits_for =
      FindDependencies(command, *draft);
  if (!waits_for.ok()) return waits_for.status();
  if (draft->state().jobs.size() >= kJobsMax) {
    return MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                     absl::StrCat("the scheduler holds its ", kJobsMax, " jobs"),
                     "wait until some have ended, then submit again");
  }
  const uint64_t job_uid = draft->NextUid();
  const absl::StatusOr<std::string> name = NameFor(command, job_uid, *draft);
  if (!name.ok()) return name.status();
  Reply reply;
  reply.name = FormatJob(command.project, *name);
  if (command.validate_only) return reply;
  reply.uid = job_uid;

  const bool tuning = command.spec.has_study_spec();
  const uint64_t part_uid = draft->NextUid();
  records::Event event;
  records::JobCreated* created = event.mutable_job_created();
  created->set_job_uid(job_uid);
  created->set_project(command.project);
  created->set_job_id(*name);
  *created->mutable_spec() = std::move(spec);
  for (const records::WaitsFor& wait : *waits_for) *created->add_waits_for() = wait;
  if (tuning) {
    created->set_study_uid(part_uid);
  } else {
    created->set_run_uid(part_uid);
  }
  draft->EmitUnread(std::move(event));
  if (tuning) {
    records::Event study;
    *study.mutable_study_created()->mutable_study() =
        StudyOf(command, part_uid, job_uid, *name, *draft);
    draft->EmitUnread(std::move(study));
  }
  return reply;
}

absl::StatusOr<Reply> Cancel(const CancelJob& command, Draft* draft) {
  const absl::StatusOr<JobPtr> job = FindToChange(command.project, command.job_id, *draft);
  if (!job.ok()) return job.status();
  if (IsTerminal((*job)->state()) || (*job)->cancel_requested()) return ReplyFor(**job);
  CancelForGood(**job, command.reason, draft);
  return ReplyFor(**job);
}

void CancelForGood(const records::JobRow& job, const std::string& reason, Draft* draft) {
  if (IsTerminal(job.state()) || job.cancel_requested()) return;
  records::Event event;
  event.mutable_job_cancel_requested()->set_job_uid(job.uid());
  event.mutable_job_cancel_requested()->set_reason(reason);
  draft->Emit(std::move(event));
  if (job.study_uid() != 0) {
    EndStudy(job.study_uid(), "the job was cancelled", Rest::kIsCancelled, draft);
  } else {
    StopRun(job.run_uid(), wire::STOP_CANCEL, v1::CANCELLED_CAUSE,
            reason.empty() ? "cancelled" : absl::StrCat("cancelled: ", reason), draft);
  }
}

absl::StatusOr<Reply> SetLabels(const SetJobLabels& command, Draft* draft) {
  const absl::StatusOr<JobPtr> job = FindToChange(command.project, command.job_id, *draft);
  if (!job.ok()) return job.status();
  if (command.etag != 0 && command.etag != (*job)->revision()) {
    return MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                     "the job changed since it was read", "read it again and repeat the change",
                     "etag");
  }
  records::Event event;
  event.mutable_job_labels_set()->set_job_uid((*job)->uid());
  for (const auto& [name, value] : command.labels) {
    (*event.mutable_job_labels_set()->mutable_labels())[name] = value;
  }
  draft->EmitUnread(std::move(event));
  return ReplyFor(**job);
}

absl::StatusOr<Reply> Pause(const PauseJob& command, Draft* draft) {
  const absl::StatusOr<JobPtr> found = FindToChange(command.project, command.job_id, *draft);
  if (!found.ok()) return found.status();
  const records::JobRow& job = **found;
  if (IsTerminal(job.state()) || job.cancel_requested()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     absl::StrCat("the job is ", v1::JobState_Name(job.state())),
                     "submit it again instead");
  }
  if (job.paused() != command.resume) return ReplyFor(job);  // it is as wished
  records::Event event;
  event.mutable_job_paused()->set_job_uid(job.uid());
  event.mutable_job_paused()->set_undo(command.resume);
  draft->Emit(std::move(event));
  const auto change = [&](uint64_t run_uid) {
    command.resume ? ResumeRun(run_uid, draft) : PauseRun(run_uid, draft);
  };
  if (job.study_uid() == 0) {
    change(job.run_uid());
  } else {
    const StudyPtr study = draft->Study(job.study_uid());
    int64_t room = std::max<int64_t>(study->parallel_trials(), 1) - study->counts().active() -
                   study->counts().stopping();
    for (const int32_t id : draft->OpenTrials(job.study_uid())) {
      const TrialPtr trial = draft->Trial({job.study_uid(), id});
      if (trial->run_uid() == 0) continue;
      if (command.resume && (trial->held() || (trial->state() == v1::REQUESTED && room-- <= 0))) {
        continue;  // its turn comes later
      }
      change(trial->run_uid());
    }
    AdvanceStudy(job.study_uid(), draft);
  }
  return ReplyFor(job);
}

void EndJob(uint64_t job_uid, v1::JobState state, const v1::ExitRecord* error, Draft* draft) {
  const JobPtr job = draft->Job(job_uid);
  if (job == nullptr || IsTerminal(job->state())) return;
  records::Event event;
  event.mutable_job_ended()->set_job_uid(job_uid);
  event.mutable_job_ended()->set_state(state);
  if (error != nullptr) *event.mutable_job_ended()->mutable_error() = *error;
  draft->Emit(std::move(event));
  TellDependents(*job, state, draft);
}

}  // namespace trainyard::core
