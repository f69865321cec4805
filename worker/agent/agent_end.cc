// Stops, the end of a member, its results and the removal of its folder; see agent.h.
#include <errno.h>
#include <glog/logging.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/fault_point.h"
#include "common/file.h"
#include "worker/agent/agent.h"
#include "worker/agent/copy_folder.h"
#include "worker/agent/leave_notice.h"
#include "worker/agent/publisher.h"
#include "worker/agent/scratch_folders.h"

namespace trainyard::worker {
namespace {

constexpr absl::Duration kStopPauseMin = absl::Milliseconds(10);
constexpr absl::Duration kStopPauseMax = absl::Seconds(1);
// Beyond the grace: how long a supervisor may fail to answer a stop.
constexpr absl::Duration kStopPatience = absl::Seconds(5);
// Without an answer to the last of its output a member's end is told anyway.
constexpr absl::Duration kTelemetryWait = absl::Seconds(10);

// How long a checkpoint of a running program waits for a store that cannot be reached.
constexpr absl::Duration kCheckpointWait = absl::Minutes(5);
// How long one checkpoint may take to upload: a slower store would only fall further behind.
constexpr absl::Duration kCheckpointMax = absl::Minutes(30);
constexpr absl::Duration kRemovePause = absl::Seconds(1);
// Unanswered ones in a row make a supervisor hung.
constexpr int kLooks = 8;
// After the scheduler should have stopped what runs on a machine that leaves.
constexpr absl::Duration kLeavePatience = absl::Seconds(5);
// How long what a member printed waits for a scheduler that takes it, once all else is told.
constexpr absl::Duration kLastWordsWait = absl::Minutes(5);

}  // namespace

void Agent::Do(const StopMember& effect) {
  TRAINYARD_FAULT_POINT("agent.before_stop");
  Member* const member = Find(effect.id);
  if (member == nullptr) return;
  const nlohmann::json line = {{"stop",
                                {{"reason", agent::v1::StopReason_Name(effect.reason)},
                                 {"grace_ms", absl::ToInt64Milliseconds(effect.grace)}}}};
  member->stop_line = line.dump();
  member->stop_pause = kStopPauseMin;
  member->stop_deadline = loop_->Now() + effect.grace + kStopPatience;
  LOG(INFO) << "member=" << FolderName(effect.id)
            << " stop reason=" << agent::v1::StopReason_Name(effect.reason);
  TellStop(effect.id);
}

// A supervisor that has just been started does not listen yet; one that ended never will. One that
// hangs cannot end its ranks: it is killed, and what it leaves is ended with its session.
void Agent::TellStop(const MemberId& id) {
  Member* const member = Find(id);
  if (member == nullptr || !member->supervisor.has_value() || member->stop_line.empty()) return;
  const absl::Status told = TellSupervisor(member->folder.path(), member->stop_line);
  if (told.ok()) {
    member->stop_line.clear();
    return;
  }
  if (member->stop_timer != 0) loop_->Cancel(member->stop_timer);
  if (loop_->Now() >= member->stop_deadline) {
    LOG(ERROR) << "member=" << FolderName(id) << " supervisor=" << member->supervisor->pid()
               << " does not answer; killed";
    member->supervisor->Kill();
    return;
  }
  const absl::Duration pause = member->stop_pause;
  member->stop_pause = std::min(2 * pause, kStopPauseMax);
  member->stop_timer = loop_->After(pause, [this, id] {
    if (Member* const later = Find(id)) later->stop_timer = 0;
    TellStop(id);
  });
}

void Agent::Do(const RenewLease& effect) {
  const Member* const member = Find(effect.id);
  if (member == nullptr || !member->supervisor.has_value()) return;
  const std::string line =
      absl::StrCat("{\"lease\":{\"ms\":", absl::ToInt64Milliseconds(effect.length), "}}");
  const absl::Status told = TellSupervisor(member->folder.path(), line);
  LOG_IF(WARNING, !told.ok() && !absl::IsUnavailable(told))
      << "member=" << FolderName(effect.id) << " lease not handed on: " << told;
}

// A supervisor that hangs takes no report, no checkpoint and no lease, and only its end would ever
// be seen: each is asked now and then.
void Agent::LookAtSupervisors() {
  loop_->After(options_.supervisor_patience / kLooks, [this] { LookAtSupervisors(); });
  for (auto& [id, member] : members_) {
    if (!member.supervisor.has_value() || member.hung) continue;
    // A lease of no length changes nothing.
    if (TellSupervisor(member.folder.path(), R"({"lease":{"ms":0}})").ok()) {
      member.unanswered = 0;
      continue;
    }
    if (++member.unanswered < kLooks) continue;
    LOG(ERROR) << "member=" << FolderName(id) << " supervisor=" << member.supervisor->pid()
               << " has not answered for " << options_.supervisor_patience << "; killed";
    member.hung = true;
    member.supervisor->Kill();
  }
}

void Agent::OnLeave(absl::Time until) {
  v1::NodeInventory inventory = core_->inventory();
  if (leave_timer_ != 0) loop_->Cancel(leave_timer_);
  leave_timer_ = 0;
  if (until == absl::InfiniteFuture()) {
    LOG(INFO) << "this machine stays";
    inventory.clear_available_until();
  } else {
    LOG(WARNING) << "this machine is taken away at " << until;
    inventory.mutable_available_until()->set_seconds(absl::ToUnixSeconds(until));
    const absl::Duration left = until - kLeaveAhead - loop_->clock().Now();
    leave_timer_ = loop_->After(std::max(left, absl::ZeroDuration()) + kLeavePatience, [this] {
      leave_timer_ = 0;
      core_->Leave(Time());
      Perform();
    });
  }
  core_->InventoryChanged(inventory, Time());
  Perform();
}

void Agent::OnSupervisorEnded(const MemberId& id) {
  Member* const member = Find(id);
  if (member == nullptr || !member->supervisor.has_value()) return;
  loop_->Unwatch(member->supervisor->ended_fd());
  member->supervisor->Reap();
  ReadEvents(id, member);
  Unwatch(member);
  if (member->stop_timer != 0) loop_->Cancel(member->stop_timer);
  member->stop_timer = 0;
  const MemberEnd end = ReadEnd(id, *member);
  member->supervisor.reset();
  core_->Ended(id, end, Time());
  Perform();
}

MemberEnd Agent::ReadEnd(const MemberId& id, const Member& member) {
  const absl::StatusOr<ExitReport> report = member.folder.ReadExit();
  if (report.ok()) return EndOf(*report);
  // No record: the supervisor was killed, or the whole machine went down.
  MemberEnd end;
  end.record.set_rank(-1);
  end.record.set_node(options_.inventory.node_id());
  if (member.folder.FromEarlierBoot()) {
    end.record.set_cause(v1::NODE_LOST);
    end.record.set_message("The node was restarted while the program ran.");
  } else {
    end.record.set_cause(v1::INTERNAL);
    end.record.set_message(
        member.hung ? "The supervisor of the program hung and was ended with it."
                    : "The supervisor of the program ended without a record; the node's log "
                      "may have more.");
    KillLeft(member.folder.DeadSession(), member.folder.path());
  }
  LOG(ERROR) << "member=" << FolderName(id) << " has no exit record: " << report.status();
  return end;
}

// The folder from which a declared checkpoint is uploaded: links of our own, because the program
// may remove what it declared before a slow store has it. Where the file system has no hard links,
// the program's folder itself. `own` is the folder to remove afterwards.
std::string Agent::KeepPart(Member* member, const std::string& path, std::string* own) {
  const std::string program = member->folder.In(layout::kCheckpoints);
  *own = member->folder.In(absl::StrCat(layout::kDeclared, "/", member->declared++));
  const absl::Status linked = LinkBelow(program, path, *own);
  if (linked.ok()) return *own;
  LOG(WARNING) << "checkpoint " << path << " is uploaded from where it lies: " << linked;
  return program;
}

// A checkpoint that the program declared finished. One that cannot be stored is only lost for
// resuming; the next one may succeed.
void Agent::UploadPart(const MemberId& id, Member* member, int64_t step, const std::string& path) {
  const agent::v1::Assignment* const assignment = core_->FindAssignment(id);
  if (assignment == nullptr) return;
  std::string own;
  const std::string from = KeepPart(member, path, &own);
  auto digest = std::make_shared<absl::StatusOr<std::string>>(absl::UnknownError("not tried"));
  const bool begun = InBackground(
      Work::kCheckpoint,
      [this, digest, path, from, own, token = assignment->attempt_token(),
       impatient = After(kCheckpointWait), late = After(kCheckpointMax),
       until = member->uploads_until] {
        const Ask over = [&] {
          return late() || absl::ToInt64Microseconds(loop_->clock().Monotonic()) > *until;
        };
        const absl::Status stored = WithStore(
            token,
            [&](blob::Client* client) {
              *digest = UploadCheckpoint(client, from, path);
              return digest->status();
            },
            impatient, over);
        if (!stored.ok()) *digest = stored;
        RemoveTree(own).IgnoreError();  // with the member's folder at the latest
      },
      [this, id, step, digest] {
        if (Member* const found = Find(id)) --found->uploads;
        if (digest->ok()) {
          core_->CheckpointDurable(id, step, **digest, Time());
        } else {
          LOG(WARNING) << "member=" << FolderName(id) << " checkpoint step=" << step
                       << " not stored: " << digest->status();
          core_->CheckpointLost(id, step, digest->status());
        }
        CheckPublished(id);
        Perform();
      });
  member->uploads += begun ? 1 : 0;
  if (begun) return;
  RemoveTree(own).IgnoreError();
  core_->CheckpointLost(id, step, absl::ResourceExhaustedError("too many wait on this node"));
}

void Agent::Do(const PublishMember& effect) {
  const MemberId id = effect.id;
  Member* const member = Find(id);
  if (member == nullptr) return;
  int64_t step = 0;
  if (const absl::StatusOr<ExitReport> report = member->folder.ReadExit(); report.ok()) {
    step = report->last_step;
  }
  Publish(id, member, step);
  telemetry_.Finish(id, kTelemetryWait, [this, id] {
    if (Member* const found = Find(id)) found->telemetry_done = true;
    CheckPublished(id);
    Perform();
  });
}

void Agent::Publish(const MemberId& id, Member* member, int64_t step) {
  const absl::Duration limit = absl::Milliseconds(core_->FindAssignment(id)->publish_timeout_ms());
  const absl::Duration patience = limit > absl::ZeroDuration() ? limit : absl::InfiniteDuration();
  if (patience != absl::InfiniteDuration()) {
    *member->uploads_until = absl::ToInt64Microseconds(loop_->Now() + patience);
  }
  if (!HasOutputs(member->folder.path())) {
    member->output_done = true;
    return;
  }
  struct Result {
    absl::Status status;
    std::vector<v1::OutputTree> outputs;
  };
  auto result = std::make_shared<Result>();
  const bool begun = InBackground(
      Work::kPublish,
      [this, result, step, late = After(patience), assignment = *core_->FindAssignment(id),
       folder = member->folder.path()] {
        TRAINYARD_FAULT_POINT("agent.before_publish");
        result->status = WithStore(
            assignment.attempt_token(),
            [&](blob::Client* client) {
              auto outputs = UploadOutputs(client, folder, assignment, step);
              if (outputs.ok()) result->outputs = *std::move(outputs);
              return outputs.status();
            },
            late, late);
        TRAINYARD_FAULT_POINT("agent.after_publish");
      },
      [this, id, result] {
        Member* const found = Find(id);
        if (found == nullptr) return;
        LOG_IF(WARNING, !result->status.ok())
            << "member=" << FolderName(id) << " outputs not stored: " << result->status;
        found->output_done = true;
        found->publish_status = result->status;
        found->outputs = std::move(result->outputs);
        CheckPublished(id);
        Perform();
      });
  if (begun) return;
  member->output_done = true;
  member->publish_status = absl::ResourceExhaustedError("too many outputs wait on this node");
}

void Agent::CheckPublished(const MemberId& id) {
  const Member* const member = Find(id);
  if (member == nullptr || !member->output_done || !member->telemetry_done || member->uploads > 0) {
    return;
  }
  if (const Tail* const tail = telemetry_.FindTail(id)) {
    core_->MetricsSeen(id, tail->metric_names(), tail->last_step());
  }
  core_->Published(id, member->publish_status, member->outputs, Time());
}

void Agent::Do(const CleanMember& effect) {
  if (telemetry_.Unsent(effect.id)) {
    // The end of a log is what says why: it stays until it is taken.
    telemetry_.Finish(effect.id, kLastWordsWait, [this, id = effect.id] {
      LOG_IF(WARNING, telemetry_.Unsent(id))
          << "member=" << FolderName(id) << " the end of its output was taken by nobody";
      telemetry_.Remove(id);
      Do(CleanMember{id});
      Perform();
    });
    return;
  }
  telemetry_.Remove(effect.id);
  Member* const member = Find(effect.id);
  if (member == nullptr) {
    core_->Cleaned(effect.id);
  } else if (member->staging) {
    member->clean = true;  // a pool thread is still in there
  } else {
    RemoveFolder(effect.id);
  }
}

void Agent::RemoveFolder(const MemberId& id) {
  const Member* const member = Find(id);
  if (member == nullptr) return;
  const bool begun = InBackground(
      Work::kRemove,
      [this, path = member->folder.path(), now = loop_->Now()] {
        TRAINYARD_FAULT_POINT("agent.before_clean");
        RemoveScratch(path);
        const absl::Status removed = ended_.Remove(path, now);
        TRAINYARD_FAULT_POINT("agent.after_clean");
        LOG_IF(WARNING, !removed.ok()) << removed;
      },
      [this, id] {
        members_.erase(id);
        core_->Cleaned(id);
        SweepLater();
        Perform();
      });
  if (!begun) loop_->After(kRemovePause, [this, id] { RemoveFolder(id); });
}

// A minute later, and again for as long as something is left.
void Agent::SweepLater() {
  if (sweep_timer_ != 0 || ended_.size() == 0) return;
  sweep_timer_ = loop_->After(EndedFolders::kKept, [this] {
    sweep_timer_ = 0;
    InBackground(
        Work::kRemove, [this, now = loop_->Now()] { ended_.Sweep(now); }, [this] { SweepLater(); });
  });
}

}  // namespace trainyard::worker
