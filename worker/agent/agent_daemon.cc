// Gangs over several nodes: the head's supervisor records that mpirun wants its daemon elsewhere;
// the order goes to the scheduler, which sends it to the agent of that node, which gives it to the
// supervisor of its own member. Each of them checks what concerns it. See agent.h.
#include <glog/logging.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "worker/agent/agent.h"

namespace trainyard::worker {
namespace {

// How long an order may wait for a scheduler or a node that cannot be reached.
constexpr absl::Duration kRelayPatience = absl::Seconds(30);
constexpr absl::Duration kRelayPause = absl::Milliseconds(100);
// A supervisor that was just started listens after a few milliseconds.
constexpr absl::Duration kDaemonPause = absl::Milliseconds(3);
constexpr absl::Duration kDaemonPatience = absl::Seconds(30);

}  // namespace

void Agent::OnSpawn(const MemberId& id, int32_t target, std::vector<std::string> argv) {
  agent::v1::SpawnDaemonRequest request;
  *request.mutable_key() = KeyOf(id);
  request.set_target(target);
  for (std::string& word : argv) request.add_argv(std::move(word));
  RelaySpawn(id, request, loop_->Now() + kRelayPatience);
}

void Agent::RelaySpawn(const MemberId& id, const agent::v1::SpawnDaemonRequest& request,
                       absl::Duration give_up) {
  channels_.spawn_daemon(request, [this, id, request, give_up](const absl::Status& status) {
    const Member* const member = Find(id);
    if (status.ok() || member == nullptr || !member->supervisor.has_value()) return;
    if (!absl::IsUnavailable(status) || loop_->Now() >= give_up) {
      return TellSpawnFailed(id, status);
    }
    loop_->After(kRelayPause, [this, id, request, give_up] { RelaySpawn(id, request, give_up); });
  });
}

void Agent::TellSpawnFailed(const MemberId& id, const absl::Status& status) {
  const v1::Faults faults = FaultsOf(status);
  const std::string why =
      faults.faults_size() > 0 ? faults.faults(0).message() : std::string(status.message());
  LOG(WARNING) << "member=" << FolderName(id) << " no daemon on another node: " << status;
  const nlohmann::json line = {{"spawn_failed", {{"message", why}}}};
  const Member* const member = Find(id);
  if (member == nullptr) return;
  TellSupervisor(member->folder.path(), line.dump()).IgnoreError();
}

void Agent::OnStartDaemon(const agent::v1::StartDaemon& order) {
  const MemberId id = IdOf(order.key());
  Member* const member = Find(id);
  if (member == nullptr) {
    return RefuseDaemon(id, "the member of the gang that mpirun wants its daemon for is not here");
  }
  const std::vector<std::string> argv(order.argv().begin(), order.argv().end());
  const nlohmann::json line = {{"daemon", {{"argv", argv}}}};
  member->daemon_line = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  member->daemon_deadline = loop_->Now() + kDaemonPatience;
  TellDaemon(id);
}

void Agent::TellDaemon(const MemberId& id) {
  Member* const member = Find(id);
  if (member == nullptr || member->daemon_line.empty() || !member->supervisor.has_value()) return;
  const absl::Status told = TellSupervisor(member->folder.path(), member->daemon_line);
  if (absl::IsUnavailable(told) && loop_->Now() < member->daemon_deadline) {
    loop_->After(kDaemonPause, [this, id] { TellDaemon(id); });
    return;
  }
  member->daemon_line.clear();
  if (!told.ok()) RefuseDaemon(id, std::string(told.message()));
}

// The head learns it through the scheduler; while that is away the head's own patience ends it.
void Agent::RefuseDaemon(const MemberId& id, const std::string& why) {
  LOG(WARNING) << "member=" << FolderName(id) << " daemon not started: " << why;
  agent::v1::AgentMessage message;
  *message.mutable_daemon_refused()->mutable_key() = KeyOf(id);
  message.mutable_daemon_refused()->set_message(why);
  channels_.send_control(message);
}

void Agent::OnDaemonRefused(const agent::v1::DaemonRefused& refused) {
  MemberId head = IdOf(refused.key());
  head.member = 0;
  TellSpawnFailed(head, absl::FailedPreconditionError(refused.message()));
}

}  // namespace trainyard::worker
