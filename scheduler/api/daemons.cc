// See daemons.h.
#include "scheduler/api/daemons.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::api {
namespace {

constexpr int kWordsMax = 256;
constexpr size_t kBytesMax = 256 << 10;
constexpr size_t kReasonBytesMax = 1000;

absl::Status Over(const std::string& what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION", what,
                   "nothing needs to be done: the attempt's members are told to stop");
}

const journal::v1::MemberRow* FindMember(const journal::v1::AttemptRow& attempt, int32_t number) {
  for (const journal::v1::MemberRow& member : attempt.members()) {
    if (member.member() == number) return &member;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<agent::v1::SpawnDaemonResponse> SpawnDaemon(
    const Context& context, const core::Principal& principal,
    const agent::v1::SpawnDaemonRequest& request, runtime::AgentLink* link) {
  if (request.argv_size() > kWordsMax || request.ByteSizeLong() > kBytesMax) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     "the daemon's command is too long", "", "argv");
  }
  const core::RunPtr run = context.runtime->view().Run(request.key().run_uid());
  if (run == nullptr || run->attempt().epoch() != request.key().epoch()) {
    return Over("the attempt is not the run's present one");
  }
  const journal::v1::AttemptRow& attempt = run->attempt();
  const journal::v1::MemberRow* const head = FindMember(attempt, 0);
  if (head == nullptr || request.key().member() != 0 || head->node_id() != principal.name) {
    return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                     absl::StrCat("node ", principal.name, " does not have the head of this gang"),
                     "only the agent of a gang's first node may start its daemons");
  }
  if (core::IsTerminal(attempt.state()) || attempt.stop_us() > 0) return Over("the attempt ends");
  const journal::v1::MemberRow* const target = FindMember(attempt, request.target());
  if (target == nullptr || request.target() == 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     absl::StrCat("the gang has no other member ", request.target()), "", "target");
  }
  const core::AgentPtr agent = context.runtime->view().Agent(target->node_id());
  if (agent == nullptr || !agent->connected()) return Over("the other node was lost");
  const auto& able = agent->inventory().capabilities();
  if (std::find(able.begin(), able.end(), "launcher.daemon") == able.end()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_SUPPORTED",
                     absl::StrCat("the agent of node ", target->node_id(),
                                  " is too old for gangs over several nodes"),
                     "update it, or set launcher: DIRECT");
  }
  agent::v1::SchedulerMessage message;
  agent::v1::StartDaemon* const order = message.mutable_start_daemon();
  *order->mutable_key() = request.key();
  order->mutable_key()->set_member(request.target());
  *order->mutable_argv() = request.argv();
  if (!link->Send(target->node_id(), message)) {
    return absl::UnavailableError(absl::StrCat("node ", target->node_id(), " is not connected"));
  }
  return agent::v1::SpawnDaemonResponse();
}

void RefuseDaemon(const Context& context, const core::Principal& principal,
                  const agent::v1::DaemonRefused& refused, runtime::AgentLink* link) {
  const core::RunPtr run = context.runtime->view().Run(refused.key().run_uid());
  if (run == nullptr || run->attempt().epoch() != refused.key().epoch()) return;
  const journal::v1::MemberRow* const head = FindMember(run->attempt(), 0);
  const journal::v1::MemberRow* const member = FindMember(run->attempt(), refused.key().member());
  if (head == nullptr || member == nullptr || member->node_id() != principal.name) return;
  agent::v1::SchedulerMessage message;
  *message.mutable_daemon_refused() = refused;
  agent::v1::DaemonRefused* const told = message.mutable_daemon_refused();
  told->set_message(
      absl::StrCat("node ", principal.name, ": ", refused.message().substr(0, kReasonBytesMax)));
  link->Send(head->node_id(), message);
}

}  // namespace trainyard::api
