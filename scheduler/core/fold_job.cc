// Folds about jobs as a whole.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "scheduler/core/fold.h"
#include "scheduler/core/timeline.h"

namespace trainyard::core {
namespace {

void SetLabels(const google::protobuf::Map<std::string, std::string>& labels,
               records::JobRow* job) {
  job->clear_labels();
  for (const auto& [key, value] : std::map(labels.begin(), labels.end())) {
    records::Label* label = job->add_labels();
    label->set_key(key);
    label->set_value(value);
  }
}

void FoldCreate(const records::Event& event, Rows* rows) {
  const records::JobCreated& created = event.job_created();
  records::ServerRow server = rows->Server();
  server.set_next_uid(std::max(
      {server.next_uid(), created.job_uid() + 1, created.run_uid() + 1, created.study_uid() + 1}));
  rows->PutServer(server);

  rows->PutSpec(created.job_uid(), created.spec());
  auto job = std::make_shared<records::JobRow>();
  job->set_uid(created.job_uid());
  job->set_project(created.project());
  job->set_job_id(created.job_id());
  job->set_state(v1::QUEUED);
  job->set_create_us(event.time_us());
  job->set_principal(event.principal());
  SetLabels(created.spec().labels(), job.get());
  job->set_run_uid(created.run_uid());
  job->set_study_uid(created.study_uid());
  job->set_revision(event.sequence());
  if (!created.waits_for().empty())
    *job->mutable_queue()->mutable_waits_for() = created.waits_for();
  rows->PutJob(std::move(job));

  if (created.run_uid() == 0) return;
  auto run = std::make_shared<records::RunRow>();
  run->set_uid(created.run_uid());
  run->set_job_uid(created.job_uid());
  run->set_state(records::R_WAITING);
  run->set_queued_us(event.time_us());
  run->set_revision(event.sequence());
  rows->PutRun(std::move(run));
}

void FoldCancel(const records::Event& event, Rows* rows) {
  const records::JobCancelRequested& cancel = event.job_cancel_requested();
  EditJob(rows, cancel.job_uid(), event.sequence(), [&](records::JobRow* job) {
    job->set_cancel_requested(true);
    job->set_cancel_reason(cancel.reason());
    job->set_state(v1::CANCELLING);
    AddTimeline(event.time_us(), "cancel asked for",
                absl::StrCat("by ", event.principal(), cancel.reason().empty() ? "" : ": ",
                             cancel.reason()),
                job);
  });
}

void FoldPause(const records::Event& event, Rows* rows) {
  const records::JobPaused& paused = event.job_paused();
  EditJob(rows, paused.job_uid(), event.sequence(), [&](records::JobRow* job) {
    job->set_paused(!paused.undo());
    const RunPtr run = rows->Run(job->run_uid());
    job->set_state(DeriveState(*job, run.get(), *rows));
    AddTimeline(event.time_us(), paused.undo() ? "resume asked for" : "pause asked for",
                absl::StrCat("by ", event.principal()), job);
  });
}

void FoldEnd(const records::Event& event, Rows* rows) {
  const records::JobEnded& ended = event.job_ended();
  EditJob(rows, ended.job_uid(), event.sequence(), [&](records::JobRow* job) {
    job->set_state(ended.state());
    job->set_end_us(event.time_us());
    if (ended.has_error()) *job->mutable_error() = ended.error();
    AddTimeline(event.time_us(), absl::AsciiStrToLower(v1::JobState_Name(ended.state())),
                ended.error().message(), job);
  });
}

}  // namespace

void FoldJob(const records::Event& event, Rows* rows) {
  if (event.has_job_created()) {
    FoldCreate(event, rows);
  } else if (event.has_job_cancel_requested()) {
    FoldCancel(event, rows);
  } else if (event.has_job_labels_set()) {
    EditJob(rows, event.job_labels_set().job_uid(), event.sequence(),
            [&](records::JobRow* job) { SetLabels(event.job_labels_set().labels(), job); });
  } else if (event.has_job_paused()) {
    FoldPause(event, rows);
  } else if (event.has_job_ended()) {
    FoldEnd(event, rows);
  }
}

}  // namespace trainyard::core
