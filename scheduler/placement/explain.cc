// See explain.h.
#include "scheduler/placement/explain.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace trainyard::placement {
namespace {

std::string Gpus(int64_t count, const std::vector<std::string>& models) {
  std::string out = absl::StrCat(count, count == 1 ? " GPU" : " GPUs");
  if (!models.empty()) absl::StrAppend(&out, " (", absl::StrJoin(models, " or "), ")");
  return out;
}

std::string Cores(int64_t milli) {
  if (milli == 1000) return "1 core";
  if (milli % 1000 == 0) return absl::StrCat(milli / 1000, " cores");
  return absl::StrFormat("%.2f cores", static_cast<double>(milli) / 1000);
}

std::string Memory(int64_t bytes) {
  if (bytes >= (int64_t{1} << 30)) {
    return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / (1 << 30));
  }
  return absl::StrCat(bytes >> 20, " MiB");
}

bool Homogeneous(const WaitingRun& run) {
  return std::all_of(run.ranks.begin(), run.ranks.end(), [&](const RankNeeds& needs) {
    const RankNeeds& first = run.ranks.front();
    return needs.cpu_milli == first.cpu_milli && needs.memory_bytes == first.memory_bytes &&
           needs.gpu_count == first.gpu_count && needs.gpu_milli == first.gpu_milli &&
           needs.gpu_models == first.gpu_models;
  });
}

std::string DescribeRank(const RankNeeds& needs) {
  std::vector<std::string> parts;
  if (needs.gpu_count > 0) parts.push_back(Gpus(needs.gpu_count, needs.gpu_models));
  if (needs.gpu_milli > 0) parts.push_back(absl::StrCat(needs.gpu_milli, "/1000 of a GPU"));
  if (needs.cpu_milli > 0) parts.push_back(Cores(needs.cpu_milli));
  if (needs.memory_bytes > 0) parts.push_back(Memory(needs.memory_bytes));
  if (parts.empty()) return "nothing";
  return absl::StrJoin(parts, " and ");
}

// The rank with the largest needs stands for the run.
const RankNeeds& Largest(const WaitingRun& run) {
  return *std::max_element(run.ranks.begin(), run.ranks.end(), [](const auto& a, const auto& b) {
    return std::tie(a.gpu_count, a.gpu_milli, a.cpu_milli, a.memory_bytes) <
           std::tie(b.gpu_count, b.gpu_milli, b.cpu_milli, b.memory_bytes);
  });
}

std::string NodeNames(const Snapshot& snapshot) {
  std::vector<std::string> names;
  for (const NodeView& node : snapshot.nodes) {
    if (node.schedulable) continue;
    names.push_back(node.unschedulable_reason.empty()
                        ? node.node_id
                        : absl::StrCat(node.node_id, " (", node.unschedulable_reason, ")"));
    if (names.size() == 3) break;
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace

std::string DescribeNeeds(const WaitingRun& run) {
  if (run.ranks.size() == 1) return DescribeRank(run.ranks.front());
  if (!Homogeneous(run)) {
    return absl::StrCat(run.ranks.size(), " ranks, the largest of ", DescribeRank(Largest(run)));
  }
  return absl::StrCat(run.ranks.size(), " ranks of ", DescribeRank(run.ranks.front()), " each");
}

std::string DescribeShortage(const WaitingRun& run, const Room& room, bool empty) {
  const RankNeeds& needs = Largest(run);
  const std::string there = empty ? "the largest node has " : "largest free is ";
  if (room.Count(needs) == 0) {
    if (needs.gpu_count > 0 && room.LargestFreeGpus(needs.gpu_models) < needs.gpu_count) {
      return absl::StrCat("needs ", Gpus(needs.gpu_count, needs.gpu_models), " on one node, ",
                          there, room.LargestFreeGpus(needs.gpu_models));
    }
    if (needs.cpu_milli > room.LargestFreeCpuMilli()) {
      return absl::StrCat("needs ", Cores(needs.cpu_milli), " on one node, ", there,
                          Cores(room.LargestFreeCpuMilli()));
    }
    if (needs.memory_bytes > room.LargestFreeMemory()) {
      return absl::StrCat("needs ", Memory(needs.memory_bytes), " on one node, ", there,
                          Memory(room.LargestFreeMemory()));
    }
    return absl::StrCat("needs ", DescribeRank(needs), " on one node, and no node has all of it",
                        empty ? "" : " free");
  }
  const std::string room_name = empty ? "the whole cluster has room for " : "free now is room for ";
  return absl::StrCat("needs ", DescribeNeeds(run), "; ", room_name,
                      std::min<int64_t>(room.Count(needs), run.ranks.size()), " of ",
                      run.ranks.size(), run.ranks.size() == 1 ? " rank" : " ranks");
}

bool ExplainRefusal(const Snapshot& snapshot, const WaitingRun& run, const Room& now,
                    Explanation* explanation) {
  Room everywhere(snapshot.nodes, /*empty=*/true, /*schedulable_only=*/false);
  Room reachable(snapshot.nodes, /*empty=*/true, /*schedulable_only=*/true);
  if (everywhere.nodes() == 0) {
    explanation->reason = "WAITING_FOR_NODES";
    explanation->message = "no node has joined the cluster";
    return false;
  }
  if (!Room(everywhere).Take(run, {}).has_value()) {
    explanation->reason = "NO_CAPACITY";
    explanation->message = DescribeShortage(run, everywhere, /*empty=*/true);
    return false;
  }
  if (!Room(reachable).Take(run, {}).has_value()) {
    explanation->reason = "WAITING_FOR_NODES";
    explanation->message =
        absl::StrCat("needs ", DescribeNeeds(run),
                     "; it fits only with nodes that take no work now: ", NodeNames(snapshot));
    return false;
  }
  explanation->reason = "WAITING_FOR_RESOURCES";
  explanation->message = DescribeShortage(run, now, /*empty=*/false);
  const int fits = run.ranks.size() > 1 && Homogeneous(run) ? now.Count(run.ranks.front()) : 0;
  if (fits > 0 && fits < static_cast<int>(run.ranks.size())) {
    explanation->counterfactuals.push_back(
        absl::StrCat("with ", fits, fits == 1 ? " rank" : " ranks", " it would start now"));
  }
  return true;
}

}  // namespace trainyard::placement
