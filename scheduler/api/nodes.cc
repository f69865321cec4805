// See nodes.h.
#include "scheduler/api/nodes.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/random.h"
#include "common/sha256.h"
#include "scheduler/api/convert.h"
#include "scheduler/core/capacity.h"

namespace trainyard::api {
namespace {

v1::NodeState StateOf(const journal::v1::AgentRow& agent, bool linked, bool busy) {
  if (agent.quarantined()) return v1::QUARANTINED;
  if (!agent.connected() || !linked) return v1::UNREACHABLE;
  if (agent.draining()) return busy ? v1::DRAINING : v1::DRAINED;
  return v1::READY;
}

v1::Node NodeOf(const Context& context, const core::Principal& principal,
                const journal::v1::AgentRow& agent) {
  const runtime::View& view = context.runtime->view();
  v1::Node node;
  node.set_name(FormatNode(agent.node_id()));
  *node.mutable_inventory() = agent.inventory();
  node.set_reason(agent.reason());
  if (agent.drain_deadline_us() != 0) {
    SetTime(agent.drain_deadline_us(), node.mutable_drain_deadline());
  }
  std::set<std::string> devices;
  std::set<uint64_t> jobs;
  bool busy = false;
  for (const core::RunPtr& run : view.RunsOnNode(agent.node_id())) {
    core::ForEachHold(*run, [&](const journal::v1::MemberRow& member) {
      if (member.node_id() != agent.node_id()) return;
      busy = true;
      node.set_cpu_milli_used(node.cpu_milli_used() + member.cpu_milli());
      node.set_memory_bytes_used(node.memory_bytes_used() + member.memory_bytes());
      devices.insert(member.device_uuids().begin(), member.device_uuids().end());
      jobs.insert(run->job_uid());
    });
  }
  node.set_devices_used(static_cast<int32_t>(devices.size()));
  for (const uint64_t uid : jobs) {
    const core::JobPtr job = view.Job(uid);
    if (job == nullptr) continue;
    // Jobs of projects the caller may not see are counted in what is used, not named.
    if (!core::CheckAccess(principal, core::Action::kRead, job->project(), job->principal()).ok()) {
      continue;
    }
    node.add_jobs(FormatJob(job->project(), job->job_id()));
  }
  const bool linked = context.runtime->AgentLinked(agent.node_id());
  node.set_state(StateOf(agent, linked, busy));
  const int64_t seen = linked                 ? absl::ToUnixMicros(context.clock->Now())
                       : agent.lost_us() != 0 ? agent.lost_us()
                                              : agent.connect_us();
  if (seen != 0) SetTime(seen, node.mutable_last_seen());
  return node;
}

// NOT_FOUND with the nearest name there is.
absl::Status NoSuchNode(const Context& context, const std::string& node_id) {
  std::vector<std::string> names;
  for (const core::AgentPtr& agent : context.runtime->view().Agents()) {
    names.push_back(agent->node_id());
  }
  const std::string nearest = NearestName(node_id, names);
  if (nearest.empty()) return NotFound("node", node_id);
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("there is no node \"", node_id, "\""),
                   absl::StrCat("did you mean \"", nearest, "\"? All: trainyard nodes"));
}

}  // namespace

absl::StatusOr<v1::ListNodesResponse> ListNodes(const Context& context,
                                                const core::Principal& principal,
                                                const v1::ListNodesRequest& request) {
  absl::StatusOr<int> size = PageSize(request.page_size());
  if (!size.ok()) return size.status();
  v1::ListNodesResponse response;
  for (const core::AgentPtr& agent : context.runtime->view().Agents()) {
    if (agent->node_id() <= request.page_token()) continue;
    if (response.nodes_size() == *size) {
      response.set_next_page_token(response.nodes(*size - 1).inventory().node_id());
      break;
    }
    *response.add_nodes() = NodeOf(context, principal, *agent);
  }
  return response;
}

absl::StatusOr<v1::Node> GetNode(const Context& context, const core::Principal& principal,
                                 const v1::GetNodeRequest& request) {
  absl::StatusOr<std::string> node_id = ParseNode(request.name());
  if (!node_id.ok()) return node_id.status();
  const core::AgentPtr agent = context.runtime->view().Agent(*node_id);
  if (agent == nullptr) return NoSuchNode(context, *node_id);
  return NodeOf(context, principal, *agent);
}

void DrainNode(const Context& context, const core::Principal& principal,
               const v1::DrainNodeRequest& request, Done<v1::Node> done) {
  absl::StatusOr<std::string> node_id = ParseNode(request.name());
  if (!node_id.ok()) return done(node_id.status());
  absl::Status status = core::CheckAccess(principal, core::Action::kAdminister, "", "");
  if (!status.ok()) return done(status);
  const int64_t deadline_us = request.deadline().seconds() * 1'000'000;
  if (request.has_deadline() && (deadline_us <= 0 || request.undo())) {
    return done(MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                          "a deadline is a time, and belongs to a drain", "leave it out",
                          "deadline"));
  }
  if (context.runtime->view().Agent(*node_id) == nullptr) {
    return done(NoSuchNode(context, *node_id));
  }
  context.runtime->Post(
      MakeCommand(principal, request.request_id(), request,
                  core::DrainNode{*node_id, request.undo(), request.reason(), deadline_us}),
      [context, principal, node_id = *node_id, done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        const core::AgentPtr agent = context.runtime->view().Agent(node_id);
        if (agent == nullptr) return done(NotFound("node", node_id));
        done(NodeOf(context, principal, *agent));
      });
}

void RevokeNode(const Context& context, const core::Principal& principal,
                const v1::RevokeNodeRequest& request, Done<v1::Node> done) {
  absl::StatusOr<std::string> node_id = ParseNode(request.name());
  if (!node_id.ok()) return done(node_id.status());
  context.runtime->Post(
      MakeCommand(principal, request.request_id(), request, core::RevokeNode{*node_id}),
      [context, principal, node_id = *node_id, done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        const core::AgentPtr agent = context.runtime->view().Agent(node_id);
        if (agent != nullptr) return done(NodeOf(context, principal, *agent));
        v1::Node node;  // it never came in
        node.set_name(FormatNode(node_id));
        done(std::move(node));
      });
}

void Join(const Context& context, absl::string_view join_token,
          const agent::v1::JoinRequest& request, Done<agent::v1::JoinResponse> done) {
  const absl::Status named = CheckId("node_id", request.inventory().node_id());
  if (!named.ok()) return done(named);
  const std::string secret = NewSecretToken();
  core::Command command;
  command.principal.name = request.inventory().node_id();
  command.principal.role = v1::AGENT;
  command.body = core::AgentJoin{Sha256Of(join_token), Sha256Of(secret), request.inventory()};
  context.runtime->Post(std::move(command),
                        [context, secret, node_id = request.inventory().node_id(),
                         done](const absl::StatusOr<core::Reply>& reply) {
                          if (!reply.ok()) return done(reply.status());
                          agent::v1::JoinResponse response;
                          response.set_agent_token(secret);
                          response.set_node_id(node_id);
                          response.set_ca_certificate(context.ca_certificate);
                          done(std::move(response));
                        });
}

}  // namespace trainyard::api
