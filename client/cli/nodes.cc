// trainyard nodes: the machines of the cluster, what they have and what of it is in use.
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/node_view.h"
#include "client/sdk/client.h"
#include "common/names.h"

namespace trainyard::cli {
namespace {

constexpr int kPageSize = 1000;

absl::StatusOr<std::vector<v1::Node>> Fetch(client::Client* client, const std::string& word) {
  std::vector<v1::Node> nodes;
  if (!word.empty()) {
    v1::GetNodeRequest request;
    request.set_name(NodeNameOf(word));
    const absl::StatusOr<v1::Node> node = client->GetNode(request);
    if (!node.ok()) return node.status();
    nodes.push_back(*node);
    return nodes;
  }
  v1::ListNodesRequest request;
  request.set_page_size(kPageSize);
  do {
    const absl::StatusOr<v1::ListNodesResponse> page = client->ListNodes(request);
    if (!page.ok()) return page.status();
    nodes.insert(nodes.end(), page->nodes().begin(), page->nodes().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return nodes;
}

absl::Status Nodes(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::vector<v1::Node>> nodes = Fetch(*client, arguments.Word(0));
  if (!nodes.ok()) return nodes.status();
  std::vector<const v1::Node*> pointers;
  for (const v1::Node& node : *nodes) pointers.push_back(&node);
  PrintList(&context->console(), context->format,
            {{pointers.begin(), pointers.end()}, NodeTable(pointers)});
  if (nodes->empty() && context->format == Format::kTable) {
    context->console().ErrLine("No node has joined. On a machine: trainyard join-token shows how.");
  }
  return absl::OkStatus();
}

}  // namespace

Command NodesCommand() {
  Command command;
  command.words = "nodes";
  command.summary = "List the cluster's machines and what is in use.";
  command.examples = {"trainyard nodes", "trainyard nodes gpu_1 -o json"};
  command.positionals = {{.name = "NODE", .required = false, .complete = Complete::kNode}};
  command.run = Nodes;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
