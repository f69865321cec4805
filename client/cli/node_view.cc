// See node_view.h.
#include "client/cli/node_view.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/job_view.h"
#include "common/names.h"

namespace trainyard::cli {
namespace {

std::string DevicesOf(const v1::Node& node) {
  if (node.inventory().devices().empty()) return "-";
  int bad = 0;
  for (const v1::Device& device : node.inventory().devices()) bad += device.healthy() ? 0 : 1;
  std::string out = absl::StrCat(node.devices_used(), "/", node.inventory().devices_size(), " ",
                                 node.inventory().devices(0).model());
  if (bad > 0) absl::StrAppend(&out, " (", bad, " unhealthy)");
  return out;
}

}  // namespace

std::string NodeNameOf(const std::string& word) {
  return absl::StartsWith(word, "nodes/") ? word : FormatNode(word);
}

std::string BytesText(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "K", "M", "G", "T", "P"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < sizeof kUnits / sizeof *kUnits; ++unit) value /= 1024;
  return unit == 0 ? absl::StrCat(bytes, "B") : absl::StrFormat("%.1f%s", value, kUnits[unit]);
}

Table NodeTable(const std::vector<const v1::Node*>& nodes) {
  Table table;
  table.headers = {"NODE", "STATE", "CORES", "MEMORY", "DEVICES", "JOBS", "REASON"};
  table.right = {false, false, true, true};
  for (const v1::Node* node : nodes) {
    table.rows.push_back(
        {ShortName(node->name()), v1::NodeState_Name(node->state()),
         absl::StrFormat("%.4g/%d", static_cast<double>(node->cpu_milli_used()) / 1000,
                         node->inventory().cores()),
         absl::StrCat(BytesText(node->memory_bytes_used()), "/",
                      BytesText(node->inventory().memory_bytes())),
         DevicesOf(*node), absl::StrCat(node->jobs_size()), node->reason()});
    table.names.push_back(node->name());
  }
  return table;
}

}  // namespace trainyard::cli
