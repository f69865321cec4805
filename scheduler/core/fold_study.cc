// Folds about studies and trials. The counts of a study follow the states of its trials.
#include <algorithm>
#include <memory>
#include <utility>

#include "scheduler/core/fold.h"
#include "scheduler/core/measurements.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

void Count(v1::TrialState state, int by, v1::TrialCounts* counts) {
  switch (state) {
    case v1::REQUESTED:
      counts->set_requested(counts->requested() + by);
      break;
    case v1::ACTIVE:
      counts->set_active(counts->active() + by);
      break;
    case v1::STOPPING:
      counts->set_stopping(counts->stopping() + by);
      break;
    case v1::TRIAL_SUCCEEDED:
      counts->set_succeeded(counts->succeeded() + by);
      break;
    case v1::INFEASIBLE:
      counts->set_infeasible(counts->infeasible() + by);
      break;
    default:
      break;
  }
}

bool IsHeld(const records::TrialRow& trial) {
  return trial.held() && trial.state() == v1::REQUESTED;
}

bool Busy(const records::StudyRow& study) {
  return study.counts().active() + study.counts().stopping() > 0;
}

// Edits a trial and moves the study's counts along. The last trial of a study that takes no more
// completes it.
template <class Change>
void MoveTrial(const records::Event& event, TrialKey key, Rows* rows, Change&& change) {
  const TrialPtr old = rows->Trial(key);
  if (old == nullptr) return;
  EditTrial(rows, key, event.sequence(), change);
  const TrialPtr now = rows->Trial(key);
  if (now->state() == old->state() && IsHeld(*now) == IsHeld(*old)) return;
  EditStudy(rows, key.first, event.sequence(), [&](records::StudyRow* study) {
    Count(old->state(), -1, study->mutable_counts());
    Count(now->state(), +1, study->mutable_counts());
    const int held = (IsHeld(*now) ? 1 : 0) - (IsHeld(*old) ? 1 : 0);
    study->mutable_counts()->set_held(study->counts().held() + held);
    if (IsTerminal(now->state()) && !IsTerminal(old->state()) && now->stopped_early()) {
      study->mutable_counts()->set_stopped_early(study->counts().stopped_early() + 1);
    }
    if (study->state() == v1::Study::INACTIVE_STUDY && !Busy(*study)) {
      study->set_state(v1::Study::COMPLETED_STUDY);
    }
  });
}

void FoldCreated(const records::Event& event, Rows* rows) {
  auto study = std::make_shared<records::StudyRow>(event.study_created().study());
  study->set_revision(event.sequence());
  study->set_next_trial(std::max(study->next_trial(), 1));
  records::ServerRow server = rows->Server();
  server.set_next_uid(std::max(server.next_uid(), study->uid() + 1));
  rows->PutServer(server);
  rows->PutStudy(std::move(study));
}

void FoldSuggested(const records::Event& event, Rows* rows) {
  const records::TrialsSuggested& suggested = event.trials_suggested();
  for (const auto& suggestion : suggested.suggestions()) {
    auto trial = std::make_shared<records::TrialRow>();
    trial->set_study_uid(suggested.study_uid());
    trial->set_id(suggestion.trial());
    trial->set_state(v1::REQUESTED);
    *trial->mutable_parameters() = suggestion.parameters();
    trial->set_request_us(event.time_us());
    trial->set_client_id(suggestion.client_id());
    trial->set_seed(suggestion.seed());
    trial->set_origin(suggestion.origin());
    trial->set_same_as(suggestion.same_as());
    trial->set_revision(event.sequence());
    rows->PutTrial(std::move(trial));
  }
  EditStudy(rows, suggested.study_uid(), event.sequence(), [&](records::StudyRow* study) {
    Count(v1::REQUESTED, suggested.suggestions_size(), study->mutable_counts());
    for (const auto& suggestion : suggested.suggestions()) {
      study->set_next_trial(std::max(study->next_trial(), suggestion.trial() + 1));
    }
    study->set_exhausted(suggested.exhausted());
  });
}

void FoldMeasured(const records::Event& event, Rows* rows) {
  const records::TrialMeasured& measured = event.trial_measured();
  const StudyPtr study = rows->Study(measured.study_uid());
  if (study == nullptr) return;
  EditTrial(rows, {measured.study_uid(), measured.trial()}, event.sequence(),
            [&](records::TrialRow* trial) {
              for (const v1::Measurement& point : measured.measurements()) {
                AddMeasurementTo(study->spec(), point, trial);
              }
            });
}

void FoldTrialHeld(const records::Event& event, Rows* rows) {
  const records::TrialHeld& held = event.trial_held();
  MoveTrial(event, {held.study_uid(), held.trial()}, rows, [&](records::TrialRow* trial) {
    trial->set_held(!held.undo());
    trial->set_stop_reason(held.reason());
    if (!held.undo() || trial->measurements().empty()) return;
    trial->set_resumed_step(trial->measurements().rbegin()->step());
  });
}

void FoldTrialEnded(const records::Event& event, Rows* rows) {
  const records::TrialEnded& ended = event.trial_ended();
  const TrialKey key(ended.study_uid(), ended.trial());
  MoveTrial(event, key, rows, [&](records::TrialRow* trial) {
    trial->set_state(ended.state());
    trial->set_end_us(event.time_us());
    trial->set_infeasible_reason(ended.infeasible_reason());
    trial->set_stopped_early(ended.stopped_early());
    if (ended.has_final_measurement()) {
      *trial->mutable_final_measurement() = ended.final_measurement();
    }
  });
  const TrialPtr trial = rows->Trial(key);
  if (trial == nullptr || trial->run_uid() == 0) return;
  const RunPtr run = rows->Run(trial->run_uid());
  if (run == nullptr || run->settle_us() == 0) return;
  EditRun(rows, run->uid(), event.sequence(), [](records::RunRow* row) { row->clear_settle_us(); });
}

void FoldStudyEnded(const records::Event& event, Rows* rows) {
  const records::StudyEnded& ended = event.study_ended();
  EditStudy(rows, ended.study_uid(), event.sequence(), [&](records::StudyRow* study) {
    if (study->state() == v1::Study::ACTIVE_STUDY) study->set_inactive_reason(ended.reason());
    if (study->state() != v1::Study::COMPLETED_STUDY) {
      study->set_state(Busy(*study) ? v1::Study::INACTIVE_STUDY : v1::Study::COMPLETED_STUDY);
    }
    if (ended.deleted()) study->set_deleted(true);
    if (ended.failed()) study->set_failed(true);
  });
}

}  // namespace

// The study of a pause that came when it took no more trials keeps them active: it waits for them.
void FoldRunIntoTrial(const records::Event& event, uint64_t run_uid, Rows* rows) {
  const RunPtr run = rows->Run(run_uid);
  const JobPtr job = run == nullptr ? nullptr : rows->Job(run->job_uid());
  if (job == nullptr || run->trial() == 0) return;
  const StudyPtr study = rows->Study(job->study_uid());
  const TrialPtr trial = rows->Trial({job->study_uid(), run->trial()});
  if (study == nullptr || trial == nullptr || study->state() != v1::Study::ACTIVE_STUDY) return;
  const bool paused = run->state() == records::R_PAUSED;
  if (trial->state() != (paused ? v1::ACTIVE : v1::REQUESTED)) return;
  MoveTrial(event, {study->uid(), trial->id()}, rows,
            [&](records::TrialRow* row) { row->set_state(paused ? v1::REQUESTED : v1::ACTIVE); });
}

void FoldStudy(const records::Event& event, Rows* rows) {
  if (event.has_study_created()) {
    FoldCreated(event, rows);
  } else if (event.has_trials_suggested()) {
    FoldSuggested(event, rows);
  } else if (event.has_trial_activated()) {
    const records::TrialActivated& activated = event.trial_activated();
    MoveTrial(event, {activated.study_uid(), activated.trial()}, rows,
              [&](records::TrialRow* trial) {
                trial->set_state(v1::ACTIVE);
                trial->set_start_us(event.time_us());
                trial->set_run_uid(activated.run_uid());
                trial->set_client_id(activated.client_id());
              });
  } else if (event.has_trial_measured()) {
    FoldMeasured(event, rows);
  } else if (event.has_trial_stop_requested()) {
    const records::TrialStopRequested& stop = event.trial_stop_requested();
    MoveTrial(event, {stop.study_uid(), stop.trial()}, rows, [&](records::TrialRow* trial) {
      trial->set_state(v1::STOPPING);
      trial->set_stop_reason(stop.reason());
    });
  } else if (event.has_trial_held()) {
    FoldTrialHeld(event, rows);
  } else if (event.has_trial_ended()) {
    FoldTrialEnded(event, rows);
  } else if (event.has_study_ended()) {
    FoldStudyEnded(event, rows);
  }
}

}  // namespace trainyard::core
