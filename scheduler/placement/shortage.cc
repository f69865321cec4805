// See shortage.h.
#include "scheduler/placement/shortage.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"

namespace trainyard::placement {

std::string DescribeCores(int64_t milli) {
  if (milli == 1000) return "1 core";
  if (milli % 1000 == 0) return absl::StrCat(milli / 1000, " cores");
  return absl::StrFormat("%.2f cores", static_cast<double>(milli) / 1000);
}

std::string DescribeMemory(int64_t bytes) {
  if (bytes >= (int64_t{1} << 30)) {
    return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / (1 << 30));
  }
  return absl::StrCat(bytes >> 20, " MiB");
}

std::string DescribeGpus(const RankNeeds& needs) {
  const int64_t count = needs.gpu_count;
  std::string out = count == 0
                        ? absl::StrCat(needs.gpu_milli, "/1000 of a GPU")
                        : absl::StrCat(count, needs.gpu_profile.empty() ? " GPU" : " GPU slice",
                                       count == 1 ? "" : "s");
  std::string kind = absl::StrJoin(needs.gpu_models, " or ");
  if (!needs.gpu_profile.empty())
    absl::StrAppend(&kind, kind.empty() ? "" : " ", needs.gpu_profile);
  if (needs.gpu_memory_bytes > 0) {
    absl::StrAppend(&kind, kind.empty() ? "" : ", ", "at least ",
                    DescribeMemory(needs.gpu_memory_bytes));
  }
  if (!kind.empty()) absl::StrAppend(&out, " (", kind, ")");
  return out;
}

std::string DescribeRank(const RankNeeds& needs) {
  std::vector<std::string> parts;
  if (needs.gpu_count > 0 || needs.gpu_milli > 0) parts.push_back(DescribeGpus(needs));
  if (needs.cpu_milli > 0) parts.push_back(DescribeCores(needs.cpu_milli));
  if (needs.memory_bytes > 0) parts.push_back(DescribeMemory(needs.memory_bytes));
  return parts.empty() ? "nothing" : absl::StrJoin(parts, " and ");
}

const RankNeeds& LargestOf(const WaitingRun& run) {
  return *std::max_element(run.ranks.begin(), run.ranks.end(), [](const auto& a, const auto& b) {
    return std::tie(a.gpu_count, a.gpu_milli, a.cpu_milli, a.memory_bytes) <
           std::tie(b.gpu_count, b.gpu_milli, b.cpu_milli, b.memory_bytes);
  });
}

std::string WhyNoneAdmits(const Snapshot& snapshot, const WaitingRun& run) {
  for (const auto& label : run.node_labels) {
    const bool any =
        std::any_of(snapshot.nodes.begin(), snapshot.nodes.end(), [&](const NodeView& node) {
          const auto found = node.labels.find(label.first);
          return found != node.labels.end() && found->second == label.second;
        });
    if (!any) return absl::StrCat("no node has the label ", label.first, "=", label.second);
  }
  std::set<std::string> taints;
  for (const NodeView& node : snapshot.nodes) {
    for (const Taint& taint : node.taints) {
      taints.insert(taint.value.empty() ? taint.key : absl::StrCat(taint.key, "=", taint.value));
    }
  }
  if (!taints.empty()) {
    return absl::StrCat("no node has all its labels and only taints that it tolerates; there are ",
                        "the taints ", absl::StrJoin(taints, ", "));
  }
  return "no node has all its labels and takes work for so long";
}

std::string WhyNoSuchGpu(const Snapshot& snapshot, const RankNeeds& needs) {
  if (needs.gpu_count == 0 && needs.gpu_milli == 0) return "";
  std::set<std::string> models, profiles;
  int64_t memory = 0;
  bool right_model = false, right_profile = needs.gpu_profile.empty();
  for (const NodeView& node : snapshot.nodes) {
    for (const DeviceView& device : node.devices) {
      models.insert(device.model);
      if (!device.profile.empty()) profiles.insert(device.profile);
      const bool right =
          needs.gpu_models.empty() || std::find(needs.gpu_models.begin(), needs.gpu_models.end(),
                                                device.model) != needs.gpu_models.end();
      right_model = right_model || right;
      right_profile = right_profile || device.profile == needs.gpu_profile;
      if (right && device.profile == needs.gpu_profile) {
        memory = std::max(memory, device.memory_bytes);
      }
    }
  }
  if (models.empty()) return "no node has a GPU";
  if (!right_model) {
    const std::string near = NearestName(needs.gpu_models.front(),
                                         std::vector<std::string>(models.begin(), models.end()));
    return absl::StrCat("no node has a GPU of that model; there ",
                        models.size() == 1 ? "is " : "are ", absl::StrJoin(models, ", "),
                        near.empty() ? "" : absl::StrCat(" (is ", near, " meant?)"));
  }
  if (!right_profile) {
    return profiles.empty()
               ? "no GPU is cut into slices"
               : absl::StrCat("no node has such a slice; there ",
                              profiles.size() == 1 ? "is " : "are ", absl::StrJoin(profiles, ", "));
  }
  if (needs.gpu_memory_bytes > memory && memory > 0) {
    return absl::StrCat("the largest there has ", DescribeMemory(memory));
  }
  return "";
}

std::string WhyNoDomain(const Snapshot& snapshot, Domain domain) {
  if (domain == Domain::kNode) return "";
  const std::string name = domain == Domain::kRack ? "rack" : "island";
  const auto unnamed =
      std::count_if(snapshot.nodes.begin(), snapshot.nodes.end(), [&](const NodeView& node) {
        return (domain == Domain::kRack ? node.rack : node.island).empty();
      });
  if (unnamed == 0) return "";
  return absl::StrCat("; ", unnamed == std::ssize(snapshot.nodes) ? "no" : "not every",
                      " node says by its label ", name, " which ", name, " it is in");
}

}  // namespace trainyard::placement
