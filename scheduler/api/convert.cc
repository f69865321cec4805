// See convert.h.
#include "scheduler/api/convert.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/names.h"
#include "scheduler/api/explain.h"
#include "scheduler/core/queueing.h"

namespace trainyard::api {
namespace {

constexpr int kTrialsLookedAt = 1000;

void AddAttempts(const journal::v1::RunRow& run,
                 google::protobuf::RepeatedPtrField<v1::AttemptSummary>* attempts) {
  for (const v1::AttemptSummary& past : run.past_attempts()) {
    if (past.epoch() != run.attempt().epoch()) *attempts->Add() = past;
  }
  if (run.attempt().epoch() != 0) *attempts->Add() = SummaryOf(run);
}

}  // namespace

void SetTime(int64_t micros, google::protobuf::Timestamp* out) {
  out->set_seconds(micros / 1'000'000);
  out->set_nanos(static_cast<int32_t>(micros % 1'000'000) * 1000);
}

bool IsTerminal(v1::JobState state) {
  return state == v1::SUCCEEDED || state == v1::FAILED || state == v1::CANCELLED ||
         state == v1::EXPIRED;
}

v1::AttemptSummary SummaryOf(const journal::v1::RunRow& run) {
  const journal::v1::AttemptRow& attempt = run.attempt();
  v1::AttemptSummary summary;
  summary.set_epoch(attempt.epoch());
  summary.set_state(
      std::string(absl::StripPrefix(journal::v1::AttemptState_Name(attempt.state()), "A_")));
  if (attempt.running_us() != 0 || attempt.placed_us() != 0) {
    SetTime(attempt.running_us() != 0 ? attempt.running_us() : attempt.placed_us(),
            summary.mutable_start_time());
  }
  if (attempt.end_us() != 0) SetTime(attempt.end_us(), summary.mutable_end_time());
  for (const journal::v1::MemberRow& member : attempt.members()) {
    summary.add_nodes(member.node_id());
  }
  if (attempt.has_exit()) *summary.mutable_exit() = attempt.exit();
  const bool has_checkpoint = run.has_checkpoint() && run.checkpoint().epoch() == attempt.epoch();
  summary.set_checkpoint_step(has_checkpoint ? run.checkpoint().step() : -1);
  return summary;
}

core::RunPtr WaitingRun(const runtime::View& view, const journal::v1::JobRow& job) {
  if (job.study_uid() == 0) return view.Run(job.run_uid());
  core::RunPtr first;
  for (const core::TrialPtr& trial : view.Trials(job.study_uid(), 0, kTrialsLookedAt)) {
    if (trial->run_uid() == 0 || trial->state() != v1::ACTIVE) continue;
    core::RunPtr run = view.Run(trial->run_uid());
    if (run == nullptr) continue;
    const bool waits =
        run->state() == journal::v1::R_WAITING || run->state() == journal::v1::R_BACKING_OFF;
    if (waits) return run;
    if (first == nullptr) first = run;
  }
  return first;
}

v1::Job JobOf(const runtime::View& view, const journal::v1::JobRow& row, v1::JobView detail) {
  v1::Job job;
  job.set_name(FormatJob(row.project(), row.job_id()));
  job.set_uid(row.uid());
  job.set_state(row.state());
  SetTime(row.create_us(), job.mutable_create_time());
  if (row.start_us() != 0) SetTime(row.start_us(), job.mutable_start_time());
  if (row.end_us() != 0) SetTime(row.end_us(), job.mutable_end_time());
  if (row.has_error()) *job.mutable_error() = row.error();
  job.set_principal(row.principal());
  job.set_etag(absl::StrCat(row.revision()));
  job.set_revision(row.revision());
  for (const journal::v1::Label& label : row.labels()) {
    (*job.mutable_labels())[label.key()] = label.value();
  }
  const core::SpecPtr spec = view.Spec(row.uid());
  if (spec != nullptr) {
    job.set_priority(core::PriorityOf(row, *spec));
    job.set_on_hold(!IsTerminal(row.state()) && core::IsOnHold(row, *spec));
    job.set_queue(core::QueueOf(row, *spec));
    if (detail == v1::FULL_VIEW) {
      *job.mutable_spec() = *spec;
    } else {
      job.mutable_spec()->set_display_name(spec->display_name());
      job.mutable_spec()->set_max_trial_count(spec->max_trial_count());
    }
    job.set_output_uri(spec->job_dir());
  }
  if (row.study_uid() != 0) {
    job.set_study(FormatStudy(row.project(), row.job_id()));
    if (const core::StudyPtr study = view.Study(row.study_uid()); study != nullptr) {
      *job.mutable_trials() = study->counts();
      // A tuning job changes whenever one of its trials does.
      job.set_revision(std::max(job.revision(), study->revision()));
    }
  } else if (const core::RunPtr run = view.Run(row.run_uid());
             run != nullptr && detail == v1::FULL_VIEW) {
    AddAttempts(*run, job.mutable_attempts());
    job.set_revision(std::max(job.revision(), run->revision()));
  }
  for (const journal::v1::WaitsFor& wait : row.queue().waits_for()) {
    job.add_waits_for(FormatJob(row.project(), wait.name()));
  }
  job.set_device_us(row.used().device_us());
  job.set_cpu_us(row.used().cpu_us());
  if (detail == v1::FULL_VIEW) *job.mutable_timeline() = row.timeline();
  if (row.state() == v1::QUEUED) {
    const v1::ExplainJobResponse why = ExplainRow(view, row);
    job.set_waiting_reason(why.message());
    job.set_queue_position(why.queue_position());
  }
  return job;
}

v1::Study StudyOf(const runtime::View& view, const journal::v1::StudyRow& row) {
  v1::Study study;
  study.set_name(FormatStudy(row.project(), row.study_id()));
  study.set_uid(row.uid());
  *study.mutable_spec() = row.spec();
  study.set_state(row.state());
  SetTime(row.create_us(), study.mutable_create_time());
  study.set_inactive_reason(row.inactive_reason());
  *study.mutable_trials() = row.counts();
  study.set_revision(row.revision());
  if (const core::JobPtr job = view.Job(row.job_uid()); job != nullptr) {
    study.set_job(FormatJob(job->project(), job->job_id()));
  }
  return study;
}

v1::Trial TrialOf(const runtime::View& view, const journal::v1::StudyRow& study,
                  const journal::v1::TrialRow& row, bool with_measurements) {
  v1::Trial trial;
  trial.set_name(FormatTrial(study.project(), study.study_id(), row.id()));
  trial.set_id(row.id());
  trial.set_state(row.state());
  *trial.mutable_parameters() = row.parameters();
  if (row.has_final_measurement()) *trial.mutable_final_measurement() = row.final_measurement();
  if (with_measurements) *trial.mutable_measurements() = row.measurements();
  if (row.start_us() != 0) SetTime(row.start_us(), trial.mutable_start_time());
  if (row.end_us() != 0) SetTime(row.end_us(), trial.mutable_end_time());
  trial.set_client_id(row.client_id());
  trial.set_infeasible_reason(row.infeasible_reason());
  trial.set_stopped_early(row.stopped_early());
  trial.set_stop_reason(row.stop_reason());
  trial.set_run_uid(row.run_uid());
  trial.set_origin(row.origin());
  trial.set_same_as(row.same_as());
  trial.set_held(row.held() && row.state() == v1::REQUESTED);
  if (!row.measurements().empty()) trial.set_last_step(row.measurements().rbegin()->step());
  if (const core::RunPtr run = view.Run(row.run_uid()); run != nullptr) {
    AddAttempts(*run, trial.mutable_attempts());
  }
  return trial;
}

}  // namespace trainyard::api
