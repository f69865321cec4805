// Commands about studies: made, removed, suggested to, stopped. See study_machine.h.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/random.h"
#include "scheduler/core/core.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/study_machine.h"
#include "scheduler/core/trial_machine.h"

namespace trainyard::core {
namespace {

constexpr size_t kSuggestionsMax = 1000;  // in one command

// Trials that were held and are not worth going on with, once nothing else is left to do.
void StopHeld(uint64_t study_uid, Draft* draft) {
  const StudyPtr study = draft->Study(study_uid);
  if (study == nullptr || study->state() != v1::Study::ACTIVE_STUDY) return;
  const v1::TrialCounts& counts = study->counts();
  if (counts.active() + counts.stopping() > 0 || counts.requested() > counts.held()) return;
  for (const int32_t id : draft->OpenTrials(study_uid)) {
    StopTrial({study_uid, id}, "it was held, and others did better", draft);
  }
}

// A trial of a job whose point was measured already ends at once with that measurement.
void Reuse(TrialKey key, int32_t same_as, Draft* draft) {
  const TrialPtr known = draft->Trial({key.first, same_as});
  if (known == nullptr || known->state() != v1::TRIAL_SUCCEEDED || known->stopped_early()) return;
  records::Event event;
  records::TrialEnded* ended = event.mutable_trial_ended();
  ended->set_study_uid(key.first);
  ended->set_trial(key.second);
  ended->set_state(v1::TRIAL_SUCCEEDED);
  *ended->mutable_final_measurement() = known->final_measurement();
  draft->Emit(std::move(event));
}

absl::Status CheckSystem(const Draft& draft) {
  if (draft.principal().is_system) return absl::OkStatus();
  return CheckAccess(draft.principal(), Action::kAdminister, "", "");
}

}  // namespace

records::StudyRow NewStudy(uint64_t uid, absl::string_view project, absl::string_view study_id,
                           const v1::StudySpec& spec, const EarlierStudies& earlier,
                           const Draft& draft) {
  records::StudyRow study;
  study.set_uid(uid);
  study.set_project(std::string(project));
  study.set_study_id(std::string(study_id));
  *study.mutable_spec() = spec;
  study.set_state(v1::Study::ACTIVE_STUDY);
  study.set_create_us(draft.now_us());
  study.set_next_trial(1);
  study.set_seed(spec.seed() != 0 ? spec.seed() : MixSeed(draft.command().random, uid));
  study.set_max_trials(spec.study_stopping().max_trials());
  study.set_parallel_trials(1);
  study.mutable_earlier()->Add(earlier.uids.begin(), earlier.uids.end());
  if (!earlier.uids.empty()) study.set_earlier_revision(earlier.revision);
  return study;
}

absl::StatusOr<StudyPtr> FindStudy(absl::string_view project, absl::string_view study_id,
                                   const Draft& draft) {
  const auto it = draft.state().study_by_name.find(NameKey(project, study_id));
  if (it != draft.state().study_by_name.end()) return draft.Study(it->second);
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("there is no study ", FormatStudy(project, study_id)),
                   "list the studies of the project to see their names");
}

absl::StatusOr<Reply> MakeStudy(const CreateStudy& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kSubmit, command.project, "");
  if (status.ok()) status = CheckId("study", command.study_id);
  if (!status.ok()) return status;
  const State& state = draft->state();
  if (state.projects.count(command.project) == 0) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no project ", command.project),
                     "use project default, or ask an administrator to create it");
  }
  if (state.study_by_name.contains(NameKey(command.project, command.study_id))) {
    return MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
                     absl::StrCat("there is already a study ", command.study_id),
                     "choose another name, or delete that study first");
  }
  const uint64_t uid = draft->NextUid();
  records::Event event;
  *event.mutable_study_created()->mutable_study() =
      NewStudy(uid, command.project, command.study_id, command.spec, command.earlier, *draft);
  draft->EmitUnread(std::move(event));
  Reply reply;
  reply.uid = uid;
  reply.name = FormatStudy(command.project, command.study_id);
  return reply;
}

absl::StatusOr<Reply> RemoveStudy(const DeleteStudy& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kChange, command.project, "");
  if (!status.ok()) return status;
  const auto study = FindStudy(command.project, command.study_id, *draft);
  if (!study.ok()) return study.status();
  if ((*study)->job_uid() != 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     "the study belongs to a tuning job and stays as long as the job",
                     "nothing is to be done once the job has ended; cancel it if it still runs");
  }
  records::Event event;
  event.mutable_study_ended()->set_study_uid((*study)->uid());
  event.mutable_study_ended()->set_reason("deleted");
  event.mutable_study_ended()->set_deleted(true);
  draft->EmitUnread(std::move(event));
  Reply reply;
  reply.uid = (*study)->uid();
  reply.name = FormatStudy(command.project, command.study_id);
  return reply;
}

absl::StatusOr<Reply> TakeSuggestions(const ApplySuggestions& command, Draft* draft) {
  if (absl::Status status = CheckSystem(*draft); !status.ok()) return status;
  const StudyPtr study = draft->Study(command.study_uid);
  Reply reply;
  reply.uid = command.study_uid;
  if (study == nullptr || study->state() != v1::Study::ACTIVE_STUDY || study->exhausted() ||
      command.first_trial != study->next_trial()) {
    return reply;  // made for a study as it was; the planner looks again
  }
  size_t count = std::min(command.suggestions.size(), kSuggestionsMax);
  if (study->max_trials() > 0) {
    const int64_t left = study->max_trials() - (study->next_trial() - 1);
    count = std::min<size_t>(count, static_cast<size_t>(std::max<int64_t>(left, 0)));
  }
  if (count == 0 && !command.exhausted) return reply;
  records::Event event;
  records::TrialsSuggested* suggested = event.mutable_trials_suggested();
  suggested->set_study_uid(study->uid());
  suggested->set_exhausted(command.exhausted);
  for (size_t i = 0; i < count; ++i) {
    auto* suggestion = suggested->add_suggestions();
    *suggestion = command.suggestions[i];
    suggestion->set_trial(study->next_trial() + static_cast<int32_t>(i));
  }
  draft->Emit(std::move(event));
  for (size_t i = 0; i < count && study->job_uid() != 0; ++i) {
    if (const int32_t same_as = command.suggestions[i].same_as(); same_as > 0) {
      Reuse({study->uid(), study->next_trial() + static_cast<int32_t>(i)}, same_as, draft);
    }
  }
  AdvanceStudy(study->uid(), draft);
  return reply;
}

absl::StatusOr<Reply> TakeStops(const ApplyStops& command, Draft* draft) {
  if (absl::Status status = CheckSystem(*draft); !status.ok()) return status;
  for (const auto& [trial, reason] : command.stops) {
    StopTrial({command.study_uid, trial}, reason, draft);
  }
  for (const auto& [trial, reason] : command.holds) {
    HoldTrial({command.study_uid, trial}, reason, draft);
  }
  for (const int32_t trial : command.resumes) ReleaseTrial({command.study_uid, trial}, draft);
  if (command.stop_held) StopHeld(command.study_uid, draft);
  if (!command.resumes.empty()) AdvanceStudy(command.study_uid, draft);
  Reply reply;
  reply.uid = command.study_uid;
  return reply;
}

absl::StatusOr<Reply> TakeStudyStop(const ApplyStudyStop& command, Draft* draft) {
  if (absl::Status status = CheckSystem(*draft); !status.ok()) return status;
  Reply reply;
  reply.uid = command.study_uid;
  const StudyPtr study = draft->Study(command.study_uid);
  if (study == nullptr || study->state() != v1::Study::ACTIVE_STUDY) return reply;
  // Stopped trials are judged by what they measured so far, as if each had been stopped early.
  const bool at_once = study->spec().study_stopping().should_stop_asap();
  EndStudy(study->uid(), command.reason, at_once ? Rest::kStopsEarly : Rest::kGoesOn, draft);
  return reply;
}

}  // namespace trainyard::core
