// trainyard drain: takes a node out of service; its running jobs end first. --undo brings it back.
// trainyard revoke-node: its agent gets in no more.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/node_view.h"
#include "client/cli/queue_flags.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Drain(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::DrainNodeRequest request;
  request.set_name(NodeNameOf(arguments.Word(0)));
  request.set_reason(arguments.Get("reason"));
  request.set_undo(arguments.Has("undo"));
  if (arguments.Has("deadline")) {
    const absl::StatusOr<absl::Time> deadline = ReadTime(arguments, "deadline");
    if (!deadline.ok()) return deadline.status();
    request.mutable_deadline()->set_seconds(absl::ToUnixSeconds(*deadline));
  }
  request.set_request_id(context->request_id);
  const absl::StatusOr<v1::Node> node = (*client)->DrainNode(request);
  if (!node.ok()) return node.status();
  PrintOne(&context->console(), context->format, *node, node->name(),
           absl::StrCat(ShortName(node->name()), ": ", v1::NodeState_Name(node->state()), "\n"),
           NodeTable({&*node}));
  return absl::OkStatus();
}

absl::Status RevokeNode(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::RevokeNodeRequest request;
  request.set_name(NodeNameOf(arguments.Word(0)));
  request.set_request_id(context->request_id);
  const absl::StatusOr<v1::Node> node = (*client)->RevokeNode(request);
  if (!node.ok()) return node.status();
  const std::string name = ShortName(node->name());
  PrintOne(&context->console(), context->format, *node, node->name(),
           absl::StrCat(name, ": its keys are revoked. To let it in again: trainyard join-token ",
                        name, "\n"),
           NodeTable({&*node}));
  return absl::OkStatus();
}

}  // namespace

Command DrainCommand() {
  Command command;
  command.words = "drain";
  command.summary = "Give a node no new work; --undo takes it back into service.";
  command.examples = {"trainyard drain gpu_1 --reason 'new memory'",
                      "trainyard drain gpu_1 --deadline +2h", "trainyard drain gpu_1 --undo"};
  command.positionals = {{.name = "NODE", .complete = Complete::kNode}};
  command.flags = {{.name = "undo", .help = "take it back into service"},
                   {.name = "reason", .value = "TEXT", .help = "shown in nodes"},
                   {.name = "deadline",
                    .value = "TIME",
                    .help = "stop with a checkpoint what still runs at 18:00, in +2h, ..."}};
  command.run = Drain;
  command.prints = true;
  command.writes = true;
  return command;
}

Command RevokeNodeCommand() {
  Command command;
  command.words = "revoke-node";
  command.summary = "Lock a node out: the keys of its agent open nothing from now on.";
  command.examples = {"trainyard revoke-node gpu_1"};
  command.positionals = {{.name = "NODE", .complete = Complete::kNode}};
  command.run = RevokeNode;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
