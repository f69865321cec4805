// Folds about runs between attempts, and their checkpoints.
#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/core/fold.h"
#include "scheduler/core/timeline.h"

namespace trainyard::core {
namespace {

void FoldCreate(const records::Event& event, Rows* rows) {
  const records::RunCreated& created = event.run_created();
  records::ServerRow server = rows->Server();
  server.set_next_uid(std::max(server.next_uid(), created.run_uid() + 1));
  rows->PutServer(server);
  auto run = std::make_shared<records::RunRow>();
  run->set_uid(created.run_uid());
  run->set_job_uid(created.job_uid());
  run->set_trial(created.trial());
  run->set_state(records::R_WAITING);
  run->set_queued_us(event.time_us());
  *run->mutable_parameters() = created.parameters();
  if (created.has_checkpoint()) *run->mutable_checkpoint() = created.checkpoint();
  run->set_revision(event.sequence());
  rows->PutRun(std::move(run));
  FoldIntoJob(event, created.run_uid(), "queued", "", rows);
}

void FoldReady(const records::Event& event, Rows* rows) {
  const uint64_t uid = event.run_ready().run_uid();
  EditRun(rows, uid, event.sequence(), [&](records::RunRow* run) {
    if (run->state() == records::R_PAUSED) run->set_queued_us(event.time_us());
    run->set_state(records::R_WAITING);
    run->clear_not_before_us();
  });
  FoldRunIntoTrial(event, uid, rows);
  FoldIntoJob(event, uid, "", "", rows);
}

void FoldCheckpoint(const records::Event& event, Rows* rows) {
  const records::CheckpointCommitted& committed = event.checkpoint_committed();
  EditRun(rows, committed.run_uid(), event.sequence(), [&](records::RunRow* run) {
    records::Checkpoint* checkpoint = run->mutable_checkpoint();
    checkpoint->Clear();
    checkpoint->set_step(committed.step());
    *checkpoint->mutable_trees() = committed.trees();
    checkpoint->set_epoch(committed.epoch());
    checkpoint->set_commit_us(event.time_us());
    auto* parts = run->mutable_pending_parts();
    parts->erase(std::remove_if(parts->begin(), parts->end(),
                                [&](const records::Checkpoint& part) {
                                  return part.step() <= committed.step();
                                }),
                 parts->end());
  });
  FoldIntoJob(event, committed.run_uid(), "checkpoint", absl::StrCat("step ", committed.step()),
              rows);
}

}  // namespace

void FoldRun(const records::Event& event, Rows* rows) {
  if (event.has_run_created()) {
    FoldCreate(event, rows);
  } else if (event.has_run_ended()) {
    EditRun(rows, event.run_ended().run_uid(), event.sequence(), [&](records::RunRow* run) {
      run->set_state(records::R_DONE);
      run->clear_not_before_us();
    });
    FoldIntoJob(event, event.run_ended().run_uid(), "", "", rows);
  } else if (event.has_run_ready()) {
    FoldReady(event, rows);
  } else if (event.has_run_paused()) {
    EditRun(rows, event.run_paused().run_uid(), event.sequence(), [&](records::RunRow* run) {
      run->set_state(records::R_PAUSED);
      run->clear_not_before_us();
    });
    FoldRunIntoTrial(event, event.run_paused().run_uid(), rows);
    FoldIntoJob(event, event.run_paused().run_uid(), "paused", "", rows);
  } else if (event.has_checkpoint_committed()) {
    FoldCheckpoint(event, rows);
  }
}

}  // namespace trainyard::core
