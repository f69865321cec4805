// Folds about attempts: one launch of a run, from its place to its verdict.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "scheduler/core/fold.h"
#include "scheduler/core/ledger.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/timeline.h"

namespace trainyard::core {
namespace {

constexpr int kPastAttemptsMax = 20;
constexpr int kFailedJobsMax = 10;

std::vector<std::string> NodesOf(const records::AttemptRow& attempt) {
  std::vector<std::string> nodes;
  for (const records::MemberRow& member : attempt.members()) {
    if (std::find(nodes.begin(), nodes.end(), member.node_id()) == nodes.end()) {
      nodes.push_back(member.node_id());
    }
  }
  return nodes;
}

// "SUCCEEDED" of A_SUCCEEDED.
std::string PlainName(records::AttemptState state) {
  return records::AttemptState_Name(state).substr(2);
}

// Makes room for a new attempt: the last one becomes history, what it still holds stays held.
void Retire(records::RunRow* run) {
  if (!run->has_attempt()) return;
  const records::AttemptRow& last = run->attempt();
  auto* past = run->mutable_past_attempts();
  if (past->size() >= kPastAttemptsMax) past->DeleteSubrange(0, 1);
  v1::AttemptSummary* summary = past->Add();
  summary->set_epoch(last.epoch());
  summary->set_state(PlainName(last.state()));
  SetTimestamp(last.placed_us(), summary->mutable_start_time());
  SetTimestamp(last.end_us(), summary->mutable_end_time());
  for (std::string& node : NodesOf(last)) summary->add_nodes(std::move(node));
  if (last.has_exit()) *summary->mutable_exit() = last.exit();
  summary->set_checkpoint_step(run->has_checkpoint() ? run->checkpoint().step() : -1);
  for (const records::MemberRow& member : last.members()) {
    if (member.released()) continue;
    records::HeldMember* held = run->add_held();
    held->set_epoch(last.epoch());
    *held->mutable_member() = member;
    held->mutable_member()->clear_exit();
  }
  run->clear_attempt();
}

void FoldPlaced(const records::Event& event, Rows* rows) {
  const records::RunPlaced& placed = event.run_placed();
  records::ServerRow server = rows->Server();
  server.set_epoch_counter(static_cast<uint32_t>(placed.epoch()));
  rows->PutServer(server);
  std::string nodes;
  EditRun(rows, placed.run_uid(), event.sequence(), [&](records::RunRow* run) {
    Retire(run);
    run->clear_pending_parts();
    records::AttemptRow* attempt = run->mutable_attempt();
    attempt->set_epoch(placed.epoch());
    attempt->set_state(records::A_LEASED);
    *attempt->mutable_members() = placed.members();
    attempt->set_placed_us(event.time_us());
    attempt->set_phase_us(event.time_us());
    attempt->set_incarnation(placed.incarnation());
    run->set_state(records::R_ACTIVE);
    nodes = absl::StrJoin(NodesOf(*attempt), ", ");
  });
  FoldIntoJob(event, placed.run_uid(), "placed", absl::StrCat("on ", nodes), rows);
}

// Edits the current attempt when it is of that epoch.
template <class Change>
void EditAttempt(const records::Event& event, uint64_t run_uid, uint64_t epoch, Rows* rows,
                 Change&& change) {
  EditRun(rows, run_uid, event.sequence(), [&](records::RunRow* run) {
    if (run->attempt().epoch() != epoch) return;
    const records::AttemptState before = run->attempt().state();
    change(run, run->mutable_attempt());
    if (run->attempt().state() != before) run->mutable_attempt()->set_phase_us(event.time_us());
  });
}

void FoldRunning(const records::Event& event, Rows* rows) {
  const records::AttemptRunning& running = event.attempt_running();
  std::string detail;
  EditAttempt(event, running.run_uid(), running.epoch(), rows,
              [&](records::RunRow* run, records::AttemptRow* attempt) {
                attempt->set_state(records::A_RUNNING);
                attempt->set_running_us(event.time_us());
                if (run->first_start_us() == 0) run->set_first_start_us(event.time_us());
                if (run->has_checkpoint()) {
                  detail = absl::StrCat("from checkpoint step ", run->checkpoint().step());
                }
              });
  FoldIntoJob(event, running.run_uid(), "running", detail, rows);
}

void FoldStop(const records::Event& event, Rows* rows) {
  const records::AttemptStopRequested& stop = event.attempt_stop_requested();
  EditAttempt(event, stop.run_uid(), stop.epoch(), rows,
              [&](records::RunRow* run, records::AttemptRow* attempt) {
                const bool final =
                    stop.reason() == wire::STOP_CANCEL || stop.reason() == wire::STOP_EARLY;
                if (attempt->stop_us() == 0) attempt->set_stop_us(event.time_us());
                if (attempt->stop_reason() == wire::STOP_REASON_UNSPECIFIED || final) {
                  attempt->set_stop_reason(stop.reason());
                }
                if (!stop.why().empty()) attempt->set_stop_why(stop.why());
                if (final) run->set_cancel_requested(true);
                if (stop.has_exit() && !attempt->has_exit()) {
                  *attempt->mutable_exit() = stop.exit();
                }
                if (!IsTerminal(attempt->state())) attempt->set_state(records::A_STOPPING);
              });
  FoldIntoJob(event, stop.run_uid(), "", "", rows);
}

void FoldNodes(const records::Event& event, const records::RunRow& run, Rows* rows) {
  const records::AttemptEnded& ended = event.attempt_ended();
  if (!ended.failed_node().empty()) {
    EditAgent(rows, ended.failed_node(), event.sequence(), [&](records::AgentRow* agent) {
      auto* jobs = agent->mutable_recent_failed_jobs();
      if (std::find(jobs->begin(), jobs->end(), run.job_uid()) != jobs->end()) return;
      if (jobs->size() >= kFailedJobsMax) jobs->erase(jobs->begin());
      jobs->Add(run.job_uid());
    });
  }
  if (ended.state() != records::A_SUCCEEDED) return;
  for (const std::string& node : NodesOf(run.attempt())) {
    const AgentPtr agent = rows->Agent(node);
    if (agent == nullptr || agent->recent_failed_jobs_size() == 0) continue;
    EditAgent(rows, node, event.sequence(),
              [](records::AgentRow* row) { row->clear_recent_failed_jobs(); });
  }
}

void FoldEnded(const records::Event& event, Rows* rows) {
  const records::AttemptEnded& ended = event.attempt_ended();
  EditAttempt(
      event, ended.run_uid(), ended.epoch(), rows,
      [&](records::RunRow* run, records::AttemptRow* attempt) {
        attempt->set_state(ended.state());
        attempt->set_end_us(event.time_us());
        attempt->clear_exit();
        if (ended.has_exit()) *attempt->mutable_exit() = ended.exit();
        *attempt->mutable_outputs() = ended.outputs();
        run->set_state(ended.next());
        run->set_not_before_us(ended.not_before_us());
        run->set_user_failures(ended.user_failures());
        run->set_infrastructure_failures(ended.infrastructure_failures());
        run->set_preemptions(ended.preemptions());
        run->set_settle_us(ended.settle_us());
        run->set_queued_us(event.time_us());
        run->clear_pending_parts();
        auto* failed = run->mutable_failed_nodes();
        if (!ended.failed_node().empty() &&
            std::find(failed->begin(), failed->end(), ended.failed_node()) == failed->end()) {
          *failed->Add() = ended.failed_node();
        }
      });
  const RunPtr run = rows->Run(ended.run_uid());
  if (run == nullptr) return;
  if (run->attempt().epoch() == ended.epoch()) ChargeAttempt(event, *run, rows);
  FoldNodes(event, *run, rows);
  if (ended.next() == records::R_PAUSED) FoldRunIntoTrial(event, ended.run_uid(), rows);
  FoldIntoJob(event, ended.run_uid(),
              absl::StrCat("attempt ", absl::AsciiStrToLower(PlainName(ended.state()))),
              ended.exit().message(), rows);
}

}  // namespace

void FoldAttempt(const records::Event& event, Rows* rows) {
  if (event.has_run_placed()) {
    FoldPlaced(event, rows);
  } else if (event.has_attempt_starting()) {
    const records::AttemptStarting& starting = event.attempt_starting();
    EditAttempt(event, starting.run_uid(), starting.epoch(), rows,
                [](records::RunRow*, records::AttemptRow* attempt) {
                  attempt->set_state(records::A_STARTING);
                });
  } else if (event.has_attempt_running()) {
    FoldRunning(event, rows);
  } else if (event.has_attempt_stop_requested()) {
    FoldStop(event, rows);
  } else if (event.has_attempt_ended()) {
    FoldEnded(event, rows);
  }
}

}  // namespace trainyard::core
