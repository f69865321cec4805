// See verdict.h.
#include "scheduler/core/verdict.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/unstored.h"
#include "scheduler/core/deadline.h"
#include "scheduler/core/elastic.h"

namespace trainyard::core {
namespace {

constexpr int kInfrastructureRetries = 5;
constexpr int64_t kBackOffMaxUs = 5 * kMinuteUs;
constexpr int kNodesToBlameTheJob = 2;

v1::ExitRecord Because(v1::ExitCause cause, absl::string_view message) {
  v1::ExitRecord exit;
  exit.set_cause(cause);
  exit.set_message(std::string(message));
  exit.set_rank(-1);
  return exit;
}

// First member that is not over or went without a word, as a failure.
v1::ExitRecord LostRecord(const Rows& rows, const records::AttemptRow& attempt) {
  for (const records::MemberRow& member : attempt.members()) {
    if (member.exited()) continue;
    const AgentPtr agent = rows.Agent(member.node_id());
    absl::string_view how = "does not answer any more";
    if (agent == nullptr || !agent->connected()) {
      how = "was lost";
    } else if (member.released() || member.missing_us() > 0) {
      how = "no longer has the job's processes; it was probably restarted";
    }
    v1::ExitRecord exit = Because(v1::NODE_LOST, absl::StrCat("node ", member.node_id(), " ", how));
    exit.set_node(member.node_id());
    return exit;
  }
  return Because(v1::INTERNAL, "the attempt ended without a reason");
}

// A failure that may have come from another member's, and a member that never told its end: then
// that one's node is the cause, unless the failure says as much itself.
bool IsEchoOfLoss(const records::AttemptRow& attempt) {
  if (attempt.exit_doubt() == 0) return false;
  bool silent = false;
  for (const records::MemberRow& member : attempt.members()) {
    if (member.exited()) continue;
    silent = true;
    const v1::ExitRecord& exit = attempt.exit();
    if (exit.cause() == v1::NODE_LOST && exit.node() == member.node_id()) return false;
  }
  return silent;
}

std::string StopMessage(const records::JobRow* job, wire::StopReason reason,
                        absl::string_view why = "") {
  switch (reason) {
    case wire::STOP_CANCEL: {
      if (job == nullptr || !job->cancel_requested()) {
        return why.empty() ? "stopped by the scheduler" : std::string(why);
      }
      return job->cancel_reason().empty() ? "cancelled"
                                          : absl::StrCat("cancelled: ", job->cancel_reason());
    }
    case wire::STOP_PREEMPT:
      return why.empty() ? "preempted" : absl::StrCat("preempted: ", why);
    case wire::STOP_PAUSE:
      return "paused";
    case wire::STOP_RESIZE:
      return why.empty() ? std::string(kStoppedToGrow)
                         : absl::StrCat("stopped to go on with fewer replicas: ", why);
    case wire::STOP_EARLY:
      return "stopped early by the study";
    case wire::STOP_TIMEOUT:
      return "ran longer than its time limit; raise it: --time-limit, or timeout in a spec";
    default:
      return "stopped";
  }
}

int InfrastructureBudget(const v1::Scheduling& scheduling) {
  const int asked = scheduling.max_infrastructure_retries();
  if (asked < 0) return 0;
  return asked == 0 ? kInfrastructureRetries : asked;
}

// A node is to blame for what its hardware or our software on it did, not for being away.
std::string NodeToBlame(const v1::ExitRecord& exit) {
  switch (exit.cause()) {
    case v1::DEVICE_FAULT:
    case v1::LAUNCH:
    case v1::HANG:
    case v1::INTERNAL:
      return exit.node();
    default:
      return "";
  }
}

bool FailedElsewhere(const records::RunRow& run, const std::string& node) {
  int nodes = node.empty() ? 0 : 1;
  for (const std::string& failed : run.failed_nodes()) nodes += failed != node ? 1 : 0;
  return !node.empty() && nodes >= kNodesToBlameTheJob;
}

// Fills what a failure costs and where the run goes.
void Charge(const records::RunRow& run, const v1::Scheduling& scheduling, bool refused,
            int64_t now_us, records::AttemptEnded* ended) {
  Blame blame = BlameOf(ended->exit().cause());
  // What could not even be prepared is ours; a program that cannot be started is the user's.
  if (ended->exit().cause() == v1::LAUNCH) blame = refused ? Blame::kInfrastructure : Blame::kUser;
  // A package that was refused, or whose installer failed, is no better elsewhere.
  if (ended->exit().cause() == v1::STAGING && ended->exit().exit_code() != 0) blame = Blame::kUser;
  if (blame == Blame::kInfrastructure) {
    const std::string node = NodeToBlame(ended->exit());
    ended->set_failed_node(node);
    if (FailedElsewhere(run, node)) {
      blame = Blame::kUser;
      ended->mutable_exit()->set_message(
          absl::StrCat(ended->exit().message(), " (it failed on several nodes)"));
    }
  }
  int left = 0;
  if (blame == Blame::kUser) {
    ended->set_user_failures(run.user_failures() + 1);
    left = scheduling.max_retries() - run.user_failures();
  } else if (blame == Blame::kInfrastructure) {
    ended->set_infrastructure_failures(run.infrastructure_failures() + 1);
    left = InfrastructureBudget(scheduling) - run.infrastructure_failures();
  }
  if (left <= 0) {
    ended->set_next(records::R_DONE);
    return;
  }
  ended->set_next(records::R_BACKING_OFF);
  ended->set_not_before_us(now_us +
                           BackOffUs(ended->user_failures() + ended->infrastructure_failures()));
}

// What a stopped member says it could not store (common/unstored.h), "" for nothing: the
// run goes on from something older than it declared.
std::string UnstoredOf(const records::AttemptRow& attempt) {
  for (const records::MemberRow& member : attempt.members()) {
    const std::string& said = member.exit().record().message();
    for (const char* const begin : {kOutputsUnstored, kCheckpointUnstored}) {
      const size_t at = said.find(begin);
      if (at != std::string::npos) {
        return absl::StrCat(" (node ", member.node_id(), ": ", said.substr(at), ")");
      }
    }
  }
  return "";
}

// The verdict of an attempt that was stopped before it failed by itself.
bool JudgeStop(const records::RunRow& run, const records::JobRow* job,
               records::AttemptEnded* ended) {
  const wire::StopReason reason = run.attempt().stop_reason();
  if (run.attempt().stop_us() == 0) return false;
  switch (reason) {
    case wire::STOP_CANCEL:
      ended->set_state(records::A_CANCELLED);
      *ended->mutable_exit() =
          Because(v1::CANCELLED_CAUSE, StopMessage(job, reason, run.attempt().stop_why()));
      ended->set_next(records::R_DONE);
      return true;
    case wire::STOP_EARLY:
      ended->set_state(records::A_CANCELLED);
      *ended->mutable_exit() = Because(v1::STOPPED_EARLY, StopMessage(job, reason));
      ended->set_next(records::R_DONE);
      return true;
    case wire::STOP_PREEMPT:
      ended->set_state(records::A_PREEMPTED);
      *ended->mutable_exit() =
          Because(v1::PREEMPTED_CAUSE, StopMessage(job, reason, run.attempt().stop_why()));
      ended->set_preemptions(run.preemptions() + 1);
      ended->set_next(records::R_WAITING);
      return true;
    case wire::STOP_RESIZE:
      ended->set_state(records::A_PREEMPTED);
      *ended->mutable_exit() =
          Because(v1::PREEMPTED_CAUSE, StopMessage(job, reason, run.attempt().stop_why()));
      if (run.attempt().stop_why().empty()) {
        absl::StrAppend(ended->mutable_exit()->mutable_message(), " than ",
                        CountRanks(run.attempt()));
      }
      ended->set_next(records::R_WAITING);
      return true;
    case wire::STOP_PAUSE:
      ended->set_state(records::A_PREEMPTED);
      *ended->mutable_exit() = Because(v1::PREEMPTED_CAUSE, StopMessage(job, reason));
      ended->set_next(records::R_PAUSED);
      return true;
    case wire::STOP_TIMEOUT:
      ended->set_state(records::A_FAILED);
      *ended->mutable_exit() = Because(v1::TIMED_OUT, StopMessage(job, reason));
      if (run.attempt().members_size() > 0) {
        ended->mutable_exit()->set_node(run.attempt().members(0).node_id());
      }
      ended->set_next(records::R_DONE);
      return true;
    default:
      return false;
  }
}

// The verdict by the first failure.
void JudgeFailure(const Rows& rows, const records::RunRow& run, const v1::Scheduling& scheduling,
                  int64_t now_us, records::AttemptEnded* ended) {
  const records::AttemptRow& attempt = run.attempt();
  *ended->mutable_exit() =
      attempt.has_exit() && !IsEchoOfLoss(attempt) ? attempt.exit() : LostRecord(rows, attempt);
  const v1::ExitCause cause = ended->exit().cause();
  ended->set_state(cause == v1::NODE_LOST ? records::A_LOST : records::A_FAILED);
  if (cause == v1::PREEMPTED_CAUSE) {  // the machine is being taken away
    ended->set_state(records::A_PREEMPTED);
    ended->set_preemptions(run.preemptions() + 1);
    ended->set_next(records::R_WAITING);
    return;
  }
  if (cause == v1::STOPPED_EARLY || cause == v1::TIMED_OUT) {
    ended->set_state(cause == v1::TIMED_OUT ? records::A_FAILED : records::A_CANCELLED);
    ended->set_next(records::R_DONE);
    return;
  }
  bool refused = false;
  for (const records::MemberRow& member : attempt.members()) refused |= member.exit().refused();
  Charge(run, scheduling, refused, now_us, ended);
}

bool IsHeld(const Rows& rows, const records::JobRow& job, const records::RunRow& run) {
  const TrialPtr trial = run.trial() == 0 ? nullptr : rows.Trial({job.study_uid(), run.trial()});
  return trial != nullptr && trial->held();
}

}  // namespace

Blame BlameOf(v1::ExitCause cause) {
  switch (cause) {
    case v1::EXIT_CAUSE_UNSPECIFIED:
      return Blame::kNobody;
    case v1::USER_ERROR:
    case v1::OOM_HOST:
    case v1::OOM_DEVICE:
      return Blame::kUser;
    case v1::DEVICE_FAULT:
    case v1::NODE_LOST:
    case v1::STAGING:
    case v1::LAUNCH:
    case v1::HANG:
    case v1::INTERNAL:
    case v1::CANCELLED_CAUSE:  // nobody asked for it: the machine's doing
      return Blame::kInfrastructure;
    case v1::PREEMPTED_CAUSE:
    case v1::TIMED_OUT:
    case v1::STOPPED_EARLY:
      return Blame::kStop;
    default:
      return Blame::kInfrastructure;  // a cause of a newer version
  }
}

bool IsOver(const Rows& rows, const records::MemberRow& member) {
  if (member.exited() || member.released()) return true;
  const AgentPtr agent = rows.Agent(member.node_id());
  return agent == nullptr || !agent->connected();
}

bool AwaitsLostNode(const records::RunRow& run) {
  const records::AttemptRow& attempt = run.attempt();
  return run.state() == records::R_ACTIVE && attempt.stop_reason() == wire::STOP_PEER_FAILED &&
         attempt.exit_doubt() > 0;
}

bool AllOver(const Rows& rows, const records::AttemptRow& attempt) {
  return std::all_of(attempt.members().begin(), attempt.members().end(),
                     [&](const records::MemberRow& member) { return IsOver(rows, member); });
}

bool Succeeded(const records::AttemptRow& attempt) {
  return std::all_of(
      attempt.members().begin(), attempt.members().end(), [](const records::MemberRow& member) {
        return member.exited() && !member.exit().refused() && !member.exit().stopped_on_request() &&
               member.exit().record().cause() == v1::EXIT_CAUSE_UNSPECIFIED;
      });
}

int64_t BackOffUs(int failures) {
  const int doublings = std::clamp(failures - 1, 0, 10);
  return std::min(kBackOffMaxUs, kSecondUs << doublings);
}

records::AttemptEnded Judge(const Rows& rows, const records::RunRow& run, int64_t now_us) {
  const JobPtr job = rows.Job(run.job_uid());
  const SpecPtr spec = rows.Spec(run.job_uid());
  const v1::Scheduling& scheduling =
      spec == nullptr ? v1::Scheduling::default_instance() : spec->scheduling();
  records::AttemptEnded ended;
  ended.set_run_uid(run.uid());
  ended.set_epoch(run.attempt().epoch());
  ended.set_user_failures(run.user_failures());
  ended.set_infrastructure_failures(run.infrastructure_failures());
  ended.set_preemptions(run.preemptions());
  *ended.mutable_outputs() = run.attempt().outputs();
  const bool failed_first = run.attempt().has_exit();
  if (Succeeded(run.attempt())) {
    ended.set_state(records::A_SUCCEEDED);
    ended.set_next(records::R_DONE);
  } else if (failed_first || !JudgeStop(run, job.get(), &ended)) {
    JudgeFailure(rows, run, scheduling, now_us, &ended);
  } else {
    ended.mutable_exit()->mutable_message()->append(UnstoredOf(run.attempt()));
  }
  if (ended.next() == records::R_DONE) return ended;
  if (job != nullptr && (job->cancel_requested() || run.cancel_requested())) {
    // A stop for good came while it was stopping for another reason: it does not start again.
    const bool early = !job->cancel_requested() && run.attempt().stop_reason() == wire::STOP_EARLY;
    ended.set_state(records::A_CANCELLED);
    *ended.mutable_exit() =
        Because(early ? v1::STOPPED_EARLY : v1::CANCELLED_CAUSE,
                StopMessage(job.get(), early ? wire::STOP_EARLY : wire::STOP_CANCEL));
    ended.set_next(records::R_DONE);
    ended.set_not_before_us(0);
  } else if (job != nullptr && (job->paused() || IsHeld(rows, *job, run))) {
    ended.set_next(records::R_PAUSED);
    ended.set_not_before_us(0);
  } else if (ended.next() == records::R_PAUSED) {
    ended.set_next(records::R_WAITING);  // resumed while it was stopping
  }
  return ended;
}

}  // namespace trainyard::core
