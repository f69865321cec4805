// Ask and tell: trials handed to clients instead of runs. See trial_machine.h.
#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "scheduler/core/core.h"
#include "scheduler/core/measurements.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/study_machine.h"
#include "scheduler/core/trial_machine.h"

namespace trainyard::core {
namespace {

constexpr int kAskMax = 1000;

absl::Status OwnedByJob() {
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                   "the study belongs to a tuning job, whose runs report for its trials",
                   "create a study of its own to ask and tell");
}

// The open ask/tell trial a command names, with access checked.
absl::StatusOr<TrialPtr> FindTrial(absl::string_view project, absl::string_view study_id,
                                   int32_t id, const Draft& draft) {
  const auto study = FindStudy(project, study_id, draft);
  if (!study.ok()) return study.status();
  if ((*study)->job_uid() != 0) return OwnedByJob();
  TrialPtr trial = draft.Trial({(*study)->uid(), id});
  if (trial == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no trial ", FormatTrial(project, study_id, id)),
                     absl::StrCat("the study has trials 1 to ", (*study)->next_trial() - 1));
  }
  if (IsTerminal(trial->state())) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TRIAL_TERMINAL",
                     absl::StrCat("trial ", id, " has ended"), "ask for another trial");
  }
  if (trial->state() == v1::REQUESTED) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     absl::StrCat("trial ", id, " was not handed to anybody yet"),
                     "ask for trials first");
  }
  return trial;
}

// At least one of the study's metrics, and none twice; what else was measured is left out.
absl::Status CheckMeasurement(const records::StudyRow& study, const v1::Measurement& measurement) {
  std::set<std::string> seen;
  for (const v1::MetricValue& metric : measurement.metrics()) {
    if (seen.insert(metric.metric_id()).second) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("metric \"", metric.metric_id(), "\" is told twice"),
                     "tell it once", "measurement.metrics");
  }
  if (OnlyStudyMetrics(study.spec(), measurement).has_value()) return absl::OkStatus();
  std::string named;
  for (const v1::StudySpec::Metric& metric : study.spec().metrics()) {
    absl::StrAppend(&named, named.empty() ? "" : ", ", metric.metric_id());
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "METRIC_MISSING",
                   "the measurement has none of the study's metrics",
                   absl::StrCat("report ", named), "measurement.metrics");
}

// Trials that the client has already, at most `most`. Read before the command changes anything.
std::vector<int32_t> TrialsOf(uint64_t study_uid, const std::string& client_id, size_t most,
                              const State& state) {
  std::vector<int32_t> mine;
  const auto found = state.trials_of_client.find({study_uid, client_id});
  if (found == state.trials_of_client.end()) return mine;
  for (const int32_t id : found->second) {
    if (mine.size() < most) mine.push_back(id);
  }
  return mine;
}

void HandOver(const records::StudyRow& study, int32_t id, const std::string& client_id,
              Draft* draft) {
  records::Event event;
  event.mutable_trial_activated()->set_study_uid(study.uid());
  event.mutable_trial_activated()->set_trial(id);
  event.mutable_trial_activated()->set_client_id(client_id);
  draft->EmitUnread(std::move(event));
}

absl::Status NoMore(const records::StudyRow& study) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "STUDY_COMPLETE",
      absl::StrCat("the study takes no further trials", study.inactive_reason().empty() ? "" : ": ",
                   study.inactive_reason()),
      "look at its best trials, or create a new study");
}

int64_t Left(const records::StudyRow& study) {
  if (study.state() != v1::Study::ACTIVE_STUDY || study.exhausted()) return 0;
  if (study.max_trials() == 0) return kAskMax;
  return std::max<int64_t>(0, study.max_trials() - (study.next_trial() - 1));
}

}  // namespace

absl::StatusOr<Reply> AskForTrials(const AskTrials& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kSubmit, command.project, "");
  if (!status.ok()) return status;
  const auto found = FindStudy(command.project, command.study_id, *draft);
  if (!found.ok()) return found.status();
  const records::StudyRow& study = **found;
  if (study.job_uid() != 0) return OwnedByJob();
  if (command.count < 1 || command.count > kAskMax) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     absl::StrCat("asked for ", command.count, " trials"),
                     absl::StrCat("ask for 1 to ", kAskMax), "count");
  }
  const size_t wanted = static_cast<size_t>(command.count);
  Reply reply;
  reply.uid = study.uid();
  reply.name = FormatStudy(command.project, command.study_id);
  const State& state = draft->state();
  reply.trials = TrialsOf(study.uid(), command.client_id, wanted, state);
  for (auto it = state.requested_trials.lower_bound({study.uid(), 0});
       it != state.requested_trials.end() && it->first == study.uid(); ++it) {
    if (reply.trials.size() >= wanted) break;
    HandOver(study, it->second, command.client_id, draft);
    reply.trials.push_back(it->second);
  }
  const int64_t missing = static_cast<int64_t>(wanted - reply.trials.size());
  reply.short_by = static_cast<int32_t>(std::min(missing, Left(study)));
  if (reply.trials.empty() && reply.short_by == 0) return NoMore(study);
  return reply;
}

absl::StatusOr<Reply> TellMeasurement(const AddMeasurement& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kSubmit, command.project, "");
  if (!status.ok()) return status;
  const auto trial = FindTrial(command.project, command.study_id, command.trial, *draft);
  if (!trial.ok()) return trial.status();
  const StudyPtr study = draft->Study((*trial)->study_uid());
  status = CheckMeasurement(*study, command.measurement);
  if (!status.ok()) return status;
  v1::Measurement kept = *OnlyStudyMetrics(study->spec(), command.measurement);
  if (!kept.has_step()) {
    const auto& curve = (*trial)->measurements();
    kept.set_step(curve.empty() ? 1 : curve.rbegin()->step() + 1);
  }
  if (!HasMeasurement(**trial, kept)) {
    records::Event event;
    event.mutable_trial_measured()->set_study_uid(study->uid());
    event.mutable_trial_measured()->set_trial(command.trial);
    *event.mutable_trial_measured()->add_measurements() = kept;
    draft->EmitUnread(std::move(event));
  }
  Reply reply;
  reply.uid = study->uid();
  reply.name = FormatStudy(command.project, command.study_id);
  reply.should_stop = (*trial)->state() == v1::STOPPING;
  reply.look_first = !reply.should_stop && study->state() == v1::Study::ACTIVE_STUDY &&
                     study->spec().stopping().kind() > v1::StudySpec::NONE;
  return reply;
}

absl::StatusOr<Reply> TellCompletion(const CompleteTrial& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kSubmit, command.project, "");
  if (!status.ok()) return status;
  const auto trial = FindTrial(command.project, command.study_id, command.trial, *draft);
  if (!trial.ok()) return trial.status();
  const StudyPtr study = draft->Study((*trial)->study_uid());
  records::Event event;
  records::TrialEnded* ended = event.mutable_trial_ended();
  ended->set_study_uid(study->uid());
  ended->set_trial(command.trial);
  ended->set_stopped_early((*trial)->state() == v1::STOPPING);
  ended->set_state(v1::TRIAL_SUCCEEDED);
  if (command.infeasible) {
    ended->set_state(v1::INFEASIBLE);
    ended->set_infeasible_reason(command.reason.empty() ? "said by the client" : command.reason);
    ended->set_stopped_early(false);
  } else {
    records::TrialRow judged = **trial;
    if (command.has_measurement) {
      status = CheckMeasurement(*study, command.measurement);
      if (!status.ok()) return status;
      judged.clear_measurements();
      judged.clear_best_measurement();
      *judged.add_measurements() = command.measurement;
      // Who names no step means the last one.
      if (!command.measurement.has_step() && !(*trial)->measurements().empty()) {
        judged.mutable_measurements(0)->set_step((*trial)->measurements().rbegin()->step());
      }
    }
    std::vector<std::string> missing;
    *ended->mutable_final_measurement() = FinalMeasurement(study->spec(), judged, &missing);
    if (!missing.empty()) return CheckMeasurement(*study, v1::Measurement());
    // As a trial of a job that diverged.
    if (const std::string name = NotANumber(ended->final_measurement()); !name.empty()) {
      ended->clear_final_measurement();
      ended->set_stopped_early(false);
      ended->set_state(v1::INFEASIBLE);
      ended->set_infeasible_reason(absl::StrCat(name, " is not a finite number"));
    }
  }
  draft->Emit(std::move(event));
  AdvanceStudy(study->uid(), draft);
  Reply reply;
  reply.uid = study->uid();
  reply.name = FormatStudy(command.project, command.study_id);
  return reply;
}

}  // namespace trainyard::core
