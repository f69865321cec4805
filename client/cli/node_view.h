// How nodes look. Pure; one thread.
#ifndef TRAINYARD_CLIENT_CLI_NODE_VIEW_H_
#define TRAINYARD_CLIENT_CLI_NODE_VIEW_H_

#include <string>
#include <vector>

#include "client/cli/output.h"
#include "trainyard/v1/node.pb.h"

namespace trainyard::cli {

// "gpu_1" -> "nodes/gpu_1"; full names stay.
std::string NodeNameOf(const std::string& word);
// Columns: node, state, cores and memory in use of all, devices, jobs, reason.
Table NodeTable(const std::vector<const v1::Node*>& nodes);
// "15.6G"
std::string BytesText(int64_t bytes);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_NODE_VIEW_H_
