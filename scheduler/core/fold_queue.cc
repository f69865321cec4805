// Folds about the queue: a job's place in it, what it waits for, and what administrators set.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "scheduler/core/fold.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/timeline.h"

namespace trainyard::core {
namespace {

// What became different, for the timeline; "" when nothing that people see did.
std::string Difference(const records::JobRow& before, const records::JobRow& after,
                       const v1::JobSpec& spec) {
  std::vector<std::string> changes;
  if (IsOnHold(before, spec) != IsOnHold(after, spec)) {
    changes.push_back(IsOnHold(after, spec) ? "on hold" : "released");
  }
  if (PriorityOf(before, spec) != PriorityOf(after, spec)) {
    changes.push_back(absl::StrCat("priority ", PriorityOf(after, spec)));
  }
  if (QueueOf(before, spec) != QueueOf(after, spec)) {
    const std::string& queue = QueueOf(after, spec);
    changes.push_back(queue.empty() ? "default queue" : absl::StrCat("queue ", queue));
  }
  if (TimeLimitUs(before, spec) != TimeLimitUs(after, spec)) {
    changes.push_back(absl::StrCat("time limit ", TimeLimitUs(after, spec) / kSecondUs, " s"));
  }
  if (MaxWaitUs(before, spec) != MaxWaitUs(after, spec)) {
    changes.push_back(absl::StrCat("max wait ", MaxWaitUs(after, spec) / kSecondUs, " s"));
  }
  return absl::StrJoin(changes, ", ");
}

// A job that was kept from waiting begins to wait now.
void BeginToWait(const records::Event& event, const records::JobRow& job, Rows* rows) {
  const RunPtr run = rows->Run(job.run_uid());
  if (run == nullptr || run->state() != records::R_WAITING) return;
  EditRun(rows, run->uid(), event.sequence(),
          [&](records::RunRow* row) { row->set_queued_us(event.time_us()); });
}

void FoldQueueing(const records::Event& event, Rows* rows) {
  const records::JobQueueingSet& body = event.job_queueing_set();
  const JobPtr before = rows->Job(body.job_uid());
  const SpecPtr spec = rows->Spec(body.job_uid());
  if (before == nullptr || spec == nullptr) return;
  EditJob(rows, body.job_uid(), event.sequence(), [&](records::JobRow* job) {
    *job->mutable_queue()->mutable_queueing() = body.queueing();
    if (job->study_uid() != 0) job->set_state(DeriveState(*job, nullptr, *rows));
    const std::string change = Difference(*before, *job, *spec);
    if (!change.empty()) {
      AddTimeline(event.time_us(), change, absl::StrCat("by ", event.principal()), job);
    }
  });
  const JobPtr after = rows->Job(body.job_uid());
  if (IsBlocked(*before, *spec) && !IsBlocked(*after, *spec)) BeginToWait(event, *after, rows);
}

void FoldDependency(const records::Event& event, Rows* rows) {
  const records::DependencyEnded& body = event.dependency_ended();
  const SpecPtr spec = rows->Spec(body.job_uid());
  if (spec == nullptr) return;
  EditJob(rows, body.job_uid(), event.sequence(), [&](records::JobRow* job) {
    auto* waits = job->mutable_queue()->mutable_waits_for();
    std::string name;
    for (const records::WaitsFor& wait : *waits) {
      if (wait.job_uid() == body.ended_uid()) name = wait.name();
    }
    waits->erase(std::remove_if(waits->begin(), waits->end(),
                                [&](const records::WaitsFor& wait) {
                                  return wait.job_uid() == body.ended_uid();
                                }),
                 waits->end());
    if (!body.broken().empty()) job->mutable_queue()->set_broken(body.broken());
    AddTimeline(event.time_us(), absl::StrCat("job ", name, " has ended"), body.broken(), job);
  });
  const JobPtr job = rows->Job(body.job_uid());
  if (job != nullptr && !IsBlocked(*job, *spec)) BeginToWait(event, *job, rows);
}

}  // namespace

void FoldQueue(const records::Event& event, Rows* rows) {
  if (event.has_job_queueing_set()) {
    FoldQueueing(event, rows);
  } else if (event.has_dependency_ended()) {
    FoldDependency(event, rows);
  } else if (event.has_setting_set()) {
    rows->PutSetting(std::make_shared<records::SettingRow>(event.setting_set().setting()));
  } else if (event.has_setting_deleted()) {
    rows->DropSetting(event.setting_deleted().key());
  }
}

}  // namespace trainyard::core
