// From the order to stage to a running member, and adoption after a restart; see agent.h.
#include <errno.h>
#include <glog/logging.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/fault_point.h"
#include "common/file.h"
#include "common/python.h"
#include "worker/agent/agent.h"
#include "worker/agent/run_as.h"

namespace trainyard::worker {
namespace {

// How long staging waits for a store that cannot be reached, such as one that is being restarted.
constexpr absl::Duration kStoreWait = absl::Seconds(30);

// The interpreter that the job's modules run with, as BuildLaunchSpec chooses it.
std::string PythonOf(const v1::Program& program) {
  const std::string& asked = program.interpreter();
  return asked.empty() || asked == "python3" ? PreferredPython() : asked;
}

// What is wrong and how to mend it, for an exit record.
std::string OneSentence(const absl::Status& status) {
  const v1::Faults faults = FaultsOf(status);
  if (faults.faults_size() == 0) return std::string(status.message());
  const v1::Fault& fault = faults.faults(0);
  return absl::StrCat(fault.message(), fault.fix().empty() ? "" : "; ", fault.fix());
}

}  // namespace

void Agent::Do(const StageMember& effect) {
  TRAINYARD_FAULT_POINT("agent.before_stage");
  const MemberId id = effect.id;
  const agent::v1::Assignment* const assignment = core_->FindAssignment(id);
  if (assignment == nullptr) return;
  Member& member = members_.try_emplace(id, JoinPath(attempts_, FolderName(id))).first->second;
  const absl::StatusOr<RunAs> run_as = ResolveRunAs(assignment->run_as());
  absl::Status made = run_as.status();
  if (made.ok()) {
    made = member.folder.Create(*assignment, run_as->user_id, run_as->group_id);
  }
  if (made.ok()) made = CheckReach(*run_as, member.folder.path());
  // Ranks under mpirun begin with a program of ours.
  const bool by_mpirun = assignment->launch().launcher() != v1::DIRECT;
  if (made.ok() && by_mpirun && assignment->world_size() > 1) {
    made = CheckReach(*run_as, JoinPath(options_.bin_folder, "trainyard-rank"));
  }
  if (!made.ok() || !Stager::NeedsStaging(*assignment)) return FinishStaging(id, made);
  auto status = std::make_shared<absl::Status>();
  const absl::Duration limit =
      absl::Milliseconds(std::max<int64_t>(0, assignment->staging_timeout_ms()));
  PipOptions pip;
  pip.keeper = JoinPath(options_.bin_folder, "trainyard-supervisor");
  pip.python = PythonOf(assignment->program());
  pip.env = options_.base_env;
  pip.user_id = run_as->user_id;
  pip.group_id = run_as->group_id;
  pip.give_up = [this, cancelled = member.cancelled, late = After(limit)] {
    return *cancelled || closing_ || late();
  };
  const Work work = Stager::MayInstall(*assignment) ? Work::kInstall : Work::kStage;
  member.staging = InBackground(
      work,
      [this, status, pip, assignment = *assignment, folder = member.folder.path(),
       impatient = After(std::min(kStoreWait, limit))] {
        *status = WithStore(
            assignment.attempt_token(),
            [&](blob::Client* client) { return stager_.Stage(assignment, client, folder, pip); },
            impatient, pip.give_up);
      },
      [this, id, status] {
        Member* const staged = Find(id);
        if (staged == nullptr) return;
        staged->staging = false;
        if (staged->clean) return RemoveFolder(id);
        if (!*staged->cancelled) FinishStaging(id, *status);
      });
  if (member.staging) return;
  FinishStaging(id, absl::ResourceExhaustedError("too many members are being staged on this node"));
}

void Agent::FinishStaging(const MemberId& id, const absl::Status& status) {
  LOG_IF(WARNING, !status.ok()) << "member=" << FolderName(id) << " staging failed: " << status;
  // Only what is wrong with a package itself is final: a node may lack what another one has.
  const bool final = absl::IsInvalidArgument(status) && ReasonOf(status) == "PACKAGE_INVALID";
  const absl::StatusCode code = absl::IsInvalidArgument(status) && !final
                                    ? absl::StatusCode::kFailedPrecondition
                                    : status.code();
  const absl::Status told = status.ok() ? status : absl::Status(code, OneSentence(status));
  core_->Staged(id, told, FreePort(options_.ports), Time());
  Perform();
}

void Agent::Do(const CancelStaging& effect) {
  TRAINYARD_FAULT_POINT("agent.before_cancel_staging");
  if (Member* const member = Find(effect.id)) *member->cancelled = true;
}

absl::StatusOr<LaunchSpec> Agent::SpecFor(const MemberId& id, const Member& member) {
  const agent::v1::Assignment& assignment = *core_->FindAssignment(id);
  const absl::StatusOr<RunAs> run_as = ResolveRunAs(assignment.run_as());
  if (!run_as.ok()) return run_as.status();
  LaunchContext context;
  context.folder = member.folder.path();
  context.bin_folder = options_.bin_folder;
  context.python_path = options_.python_path;
  context.training_library = TrainingLibrary(options_.bin_folder);
  context.package_paths = Stager::PackagePaths(assignment, context.folder);
  context.base_env = options_.base_env;
  context.node_id = options_.inventory.node_id();
  context.cores = options_.inventory.cores();
  context.master_port = core_->PortOf(id);
  const absl::Duration lease = core_->LeaseLeft(assignment, Time());
  context.lease_ms = std::max<int64_t>(1, absl::ToInt64Milliseconds(lease));
  context.lease_grace_ms = absl::ToInt64Milliseconds(core_->LeaseGrace(assignment));
  if (!run_as->user.empty()) {
    context.base_env["HOME"] = run_as->home;
    context.base_env["USER"] = context.base_env["LOGNAME"] = run_as->user;
  }
  context.user_id = run_as->user_id;
  context.group_id = run_as->group_id;
  context.mpirun = options_.mpirun;
  context.open_mpi = options_.open_mpi.major;
  context.daemon = options_.open_mpi.daemon;
  context.interface = options_.network.interface;
  context.port_range = options_.ports.Text();
  context.python = PreferredPython();
  return BuildLaunchSpec(assignment, context);
}

absl::Status Agent::Launch(const MemberId& id, Member* member) {
  const absl::StatusOr<LaunchSpec> spec = SpecFor(id, *member);
  if (!spec.ok()) return spec.status();
  if (absl::Status written = member->folder.WriteLaunch(*spec); !written.ok()) return written;
  Watch(id, member);
  telemetry_.Add(id, member->folder.path(), *core_->FindAssignment(id));
  TRAINYARD_FAULT_POINT("agent.before_launch");
  absl::StatusOr<SupervisorProcess> started = SupervisorProcess::Start(
      JoinPath(options_.bin_folder, "trainyard-supervisor"), member->folder.path());
  TRAINYARD_FAULT_POINT("agent.after_launch");
  if (!started.ok()) return started.status();
  member->supervisor = *std::move(started);
  WatchEnd(id, member);
  return absl::OkStatus();
}

void Agent::Do(const LaunchMember& effect) {
  Member* const member = Find(effect.id);
  if (member == nullptr) return;
  const absl::Status launched = Launch(effect.id, member);
  if (launched.ok()) {
    LOG(INFO) << "member=" << FolderName(effect.id)
              << " launched supervisor=" << member->supervisor->pid();
    return TellDaemon(effect.id);
  }
  LOG(WARNING) << "member=" << FolderName(effect.id) << " not launched: " << launched;
  Unwatch(member);
  core_->Ended(effect.id, RefusedEnd(v1::LAUNCH, OneSentence(launched)), Time());
}

void Agent::WatchEnd(const MemberId& id, Member* member) {
  loop_->Watch(member->supervisor->ended_fd(), [this, id] { OnSupervisorEnded(id); });
}

// What an earlier agent left in one attempt folder.
void Agent::Adopt(const FoundAttempt& found) {
  const AttemptFolder folder(found.path);
  const absl::StatusOr<agent::v1::Assignment> assignment = folder.ReadAssignment();
  if (!assignment.ok() || !folder.Launched()) {
    // Nothing of it ever ran: the scheduler asks again if it still wants it.
    LOG(INFO) << "member=" << FolderName(found.id) << " was never launched; removed";
    // Its place is free before that.
    const absl::Status away = ended_.PutAside(found.path);
    LOG_IF(WARNING, !away.ok()) << away;
    return;
  }
  const pid_t pid = folder.Supervisor();
  absl::StatusOr<SupervisorProcess> supervisor =
      pid > 0 ? SupervisorProcess::Adopt(pid) : absl::NotFoundError("none");
  if (!supervisor.ok()) return AdoptEnded(found, *assignment);
  LOG(INFO) << "member=" << FolderName(found.id) << " adopted supervisor=" << pid;
  Member& member = members_.try_emplace(found.id, found.path).first->second;
  member.supervisor = *std::move(supervisor);
  core_->Adopt(*assignment, AgentCore::Phase::kStarting, MemberEnd(), 0, Time());
  telemetry_.Add(found.id, found.path, *assignment);
  Watch(found.id, &member);
  WatchEnd(found.id, &member);
  ReadEvents(found.id, &member);
  telemetry_.Poke(found.id);
}

void Agent::AdoptEnded(const FoundAttempt& found, const agent::v1::Assignment& assignment) {
  Member& member = members_.try_emplace(found.id, found.path).first->second;
  if (const std::optional<uint64_t> reported = member.folder.Reported()) {
    // Should its fact be lost, the end is told again.
    core_->Adopt(assignment, AgentCore::Phase::kExited, ReadEnd(found.id, member), *reported,
                 Time());
    return;
  }
  member.seized = member.folder.Seize();
  LOG(INFO) << "member=" << FolderName(found.id) << " ended while no agent looked";
  core_->Adopt(assignment, AgentCore::Phase::kStarting, MemberEnd(), 0, Time());
  telemetry_.Add(found.id, found.path, assignment);
  ReadEvents(found.id, &member);
  core_->Ended(found.id, ReadEnd(found.id, member), Time());
}

void Agent::ReadEvents(const MemberId& id, Member* member) {
  const absl::StatusOr<std::string> text = ReadFile(member->folder.In(layout::kEvents));
  if (!text.ok()) return;
  auto start = static_cast<size_t>(member->events_read);
  for (size_t end; start < text->size() && (end = text->find('\n', start)) != std::string::npos;
       start = end + 1) {
    OnEvent(id, member, text->substr(start, end - start));
  }
  member->events_read = static_cast<int64_t>(start);
}

void Agent::OnEvent(const MemberId& id, Member* member, const std::string& line) {
  const nlohmann::json event = nlohmann::json::parse(line, nullptr, false);
  if (!event.is_object() || event.empty() || !event.begin().value().is_object()) return;
  const std::string& kind = event.begin().key();
  const nlohmann::json& body = event.begin().value();
  if (kind == "running" && !member->announced) {
    member->announced = true;
    core_->Started(id, body.value("pid", int64_t{0}), Time());
  } else if (kind == "checkpoint") {
    UploadPart(id, member, body.value("step", int64_t{0}), body.value("path", std::string()));
  } else if (kind == "spawn") {
    OnSpawn(id, body.value("member", 0), body.value("argv", std::vector<std::string>()));
  }
}

}  // namespace trainyard::worker
