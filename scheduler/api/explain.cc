// See explain.h.
#include "scheduler/api/explain.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/names.h"
#include "scheduler/api/convert.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/settings.h"

namespace trainyard::api {
namespace {

std::string NodesOf(const journal::v1::RunRow& run) {
  std::vector<std::string> nodes;
  for (const journal::v1::MemberRow& member : run.attempt().members()) {
    nodes.push_back(member.node_id());
  }
  return absl::StrJoin(nodes, ", ");
}

std::string ChangeName(placement::Counterfactual::Change change) {
  using Change = placement::Counterfactual::Change;
  switch (change) {
    case Change::kRanks:
      return "RANKS";
    case Change::kGpus:
      return "GPUS";
    case Change::kTimeLimit:
      return "TIME_LIMIT";
    case Change::kPreemptible:
      return "PREEMPTIBLE";
    case Change::kPriority:
      return "PRIORITY";
    case Change::kModel:
      return "MODEL";
    case Change::kGuarantee:
      return "GUARANTEE";
    case Change::kLimit:
      return "LIMIT";
    case Change::kTopology:
      return "TOPOLOGY";
    case Change::kRelease:
      return "RELEASE";
    case Change::kNodes:
      return "NODES";
  }
  return "";
}

void FillExplanation(const runtime::View& view, const placement::Explanation& explanation,
                     v1::ExplainJobResponse* out) {
  out->set_reason(explanation.reason);
  out->set_message(explanation.message);
  out->set_queue_position(explanation.position);
  for (const uint64_t uid : explanation.blockers) {
    const core::RunPtr blocker = view.Run(uid);
    const core::JobPtr job = blocker == nullptr ? nullptr : view.Job(blocker->job_uid());
    if (job != nullptr) out->add_blockers(FormatJob(job->project(), job->job_id()));
  }
  if (explanation.estimated_start_us == 0) return;
  SetTime(explanation.estimated_start_us, out->mutable_estimated_start());
  out->mutable_estimate_band()->set_seconds(explanation.estimate_band_us / 1'000'000);
  if (explanation.estimate_latest_us == 0) return;
  SetTime(explanation.estimate_earliest_us, out->mutable_earliest_start());
  SetTime(explanation.estimate_latest_us, out->mutable_latest_start());
}

void ExplainWaiting(const runtime::View& view, const journal::v1::RunRow& run,
                    v1::ExplainJobResponse* out) {
  const auto explanation = view.Explanation(run.uid());
  if (explanation == nullptr) {
    out->set_reason("WAITING_FOR_RESOURCES");
    out->set_message("is being placed");
    return;
  }
  FillExplanation(view, *explanation, out);
}

// What keeps the job out of the queue whatever is free.
bool ExplainBlocked(const runtime::View& view, const journal::v1::JobRow& job,
                    v1::ExplainJobResponse* out) {
  const core::SpecPtr spec = view.Spec(job.uid());
  if (spec == nullptr) return false;
  if (core::IsOnHold(job, *spec)) {
    out->set_reason("HELD");
    out->set_message(absl::StrCat("is on hold; trainyard jobs release ", job.job_id(),
                                  " lets it wait for a place"));
    out->add_counterfactuals("released, it would wait for a place");
    return true;
  }
  if (job.queue().waits_for_size() > 0) {
    std::vector<std::string> names;
    for (const journal::v1::WaitsFor& wait : job.queue().waits_for()) {
      names.push_back(absl::StrCat(wait.name(), wait.on_end() ? " to end" : " to succeed"));
      out->add_blockers(FormatJob(job.project(), wait.name()));
    }
    out->set_reason("WAITING_FOR_JOBS");
    out->set_message(absl::StrCat("waits for job ", absl::StrJoin(names, ", ")));
    return true;
  }
  const core::SettingPtr queue = view.Setting(core::QueueKey(core::QueueOf(job, *spec)));
  if (queue != nullptr && queue->queue().stopped() && job.start_us() == 0) {
    out->set_reason("QUEUE_STOPPED");
    out->set_message(absl::StrCat("its queue ", core::QueueOf(job, *spec), " starts no jobs",
                                  queue->queue().reason().empty() ? "" : ": ",
                                  queue->queue().reason()));
    return true;
  }
  return false;
}

void ExplainRun(const runtime::View& view, const journal::v1::RunRow& run,
                v1::ExplainJobResponse* out) {
  switch (run.state()) {
    case journal::v1::R_WAITING:
      ExplainWaiting(view, run, out);
      return;
    case journal::v1::R_BACKING_OFF: {
      out->set_reason("BACKING_OFF");
      SetTime(run.not_before_us(), out->mutable_estimated_start());
      std::string last = run.attempt().exit().message();
      if (last.empty()) last = v1::ExitCause_Name(run.attempt().exit().cause());
      out->set_message(absl::StrCat("waits until ",
                                    absl::FormatTime(absl::FromUnixMicros(run.not_before_us())),
                                    " before its next attempt; the last one ended with: ", last));
      return;
    }
    case journal::v1::R_ACTIVE:
      out->set_message(
          absl::StrCat(run.attempt().running_us() != 0 ? "runs on " : "starts on ", NodesOf(run)));
      return;
    case journal::v1::R_PAUSED:
      out->set_message("is paused; resume it to have it placed again");
      return;
    default:
      out->set_message("has ended");
      return;
  }
}

}  // namespace

void AddWhatIfs(const std::vector<placement::Counterfactual>& changes,
                v1::ExplainJobResponse* out) {
  for (const placement::Counterfactual& change : changes) {
    out->add_counterfactuals(change.text);
    v1::WhatIf* const what_if = out->add_what_if();
    const bool is_time = change.change == placement::Counterfactual::Change::kTimeLimit;
    what_if->set_change(ChangeName(change.change));
    what_if->set_value(is_time ? change.value / 1'000'000 : change.value);
    what_if->set_subject(change.subject);
    what_if->set_text(change.text);
    if (change.start_us != 0) SetTime(change.start_us, what_if->mutable_start());
  }
}

v1::ExplainJobResponse ExplainRow(const runtime::View& view, const journal::v1::JobRow& job) {
  v1::ExplainJobResponse out;
  if (IsTerminal(job.state())) {
    out.set_message(absl::StrCat("has ended as ", v1::JobState_Name(job.state())));
    if (job.state() == v1::FAILED) out.set_reason("JOB_FAILED");
    if (!job.error().message().empty()) {
      out.set_message(absl::StrCat(out.message(), ": ", job.error().message()));
    }
    return out;
  }
  if (job.paused()) {
    out.set_message("is paused; resume it to have it placed again");
    return out;
  }
  if (ExplainBlocked(view, job, &out)) return out;
  const core::RunPtr run = WaitingRun(view, job);
  if (run == nullptr) {
    out.set_reason("WAITING_FOR_RESOURCES");
    out.set_message(job.study_uid() != 0 ? "its first trials are being chosen" : "is being placed");
    return out;
  }
  ExplainRun(view, *run, &out);
  return out;
}

v1::ExplainJobResponse ExplainPreview(const runtime::View& view, const std::string& project,
                                      const v1::JobSpec& spec, const runtime::Preview& preview) {
  v1::ExplainJobResponse out;
  if (spec.scheduling().hold()) {
    out.set_reason("HELD");
    out.set_message("would be on hold until it is released");
    return out;
  }
  std::vector<std::string> names;
  for (const v1::Dependency& wait : spec.scheduling().after()) {
    const core::JobPtr job = view.JobByName(project, wait.job());
    if (job == nullptr || IsTerminal(job->state())) continue;
    const bool on_end = wait.on() == v1::Dependency::END;
    names.push_back(absl::StrCat(wait.job(), on_end ? " to end" : " to succeed"));
  }
  if (!names.empty()) {
    out.set_reason("WAITING_FOR_JOBS");
    out.set_message(absl::StrCat("would wait for job ", absl::StrJoin(names, ", ")));
    return out;
  }
  const core::SettingPtr queue = view.Setting(core::QueueKey(spec.scheduling().queue()));
  if (queue != nullptr && queue->queue().stopped()) {
    out.set_reason("QUEUE_STOPPED");
    out.set_message(absl::StrCat("would wait: its queue ", spec.scheduling().queue(),
                                 " starts no jobs", queue->queue().reason().empty() ? "" : ": ",
                                 queue->queue().reason()));
    return out;
  }
  if (preview.starts_now) {
    out.set_starts_now(true);
    for (const std::string& node : preview.nodes) out.add_nodes(node);
    out.set_message(absl::StrCat("would start now on ", absl::StrJoin(preview.nodes, ", ")));
    return out;
  }
  FillExplanation(view, preview.explanation, &out);
  AddWhatIfs(preview.changes, &out);
  if (preview.preempts > 0) {
    out.set_message(absl::StrCat("would start after ", preview.preempts,
                                 preview.preempts == 1 ? " run is" : " runs are",
                                 " stopped for it; ", out.message()));
  }
  return out;
}

}  // namespace trainyard::api
