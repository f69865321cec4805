// The figures of a replay. See replay.h.
#include <algorithm>
#include <cmath>
#include <vector>

#include "sim/replay/passes.h"

namespace trainyard::replay {
namespace {

double NearestRank(const std::vector<int64_t>& sorted, double share) {
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return static_cast<double>(sorted[std::max<size_t>(rank, 1) - 1]);
}

}  // namespace

Summary Summarise(const std::vector<TraceJob>& trace, const std::vector<JobResult>& results,
                  const Options& options, int64_t passes) {
  const int64_t gpus = int64_t{options.nodes} * options.gpus_per_node;
  Summary summary;
  std::vector<int64_t> jcts;
  double useful = 0;
  int64_t last_end = 0;
  double multi_wait = 0;
  int64_t multi_jobs = 0;
  for (size_t row = 0; row < trace.size(); ++row) {
    const int64_t jct = results[row].end - trace[row].submit;
    const int64_t wait = jct - trace[row].duration;
    jcts.push_back(jct);
    summary.average_jct += static_cast<double>(jct);
    summary.average_wait += static_cast<double>(wait);
    summary.worst_wait = std::max(summary.worst_wait, wait);
    summary.preemptions += results[row].preemptions;
    useful += static_cast<double>(trace[row].duration) * trace[row].gpus;
    last_end = std::max(last_end, results[row].end);
    if (trace[row].gpus > options.gpus_per_node) {
      multi_wait += static_cast<double>(wait);
      ++multi_jobs;
    }
  }
  const auto count = static_cast<double>(trace.size());
  std::sort(jcts.begin(), jcts.end());
  summary.average_jct /= count;
  summary.average_wait /= count;
  summary.p50 = NearestRank(jcts, 0.50);
  summary.p90 = NearestRank(jcts, 0.90);
  summary.p99 = NearestRank(jcts, 0.99);
  summary.makespan = last_end - trace.front().submit;
  summary.multi_node_wait = multi_jobs > 0 ? multi_wait / static_cast<double>(multi_jobs) : 0;
  summary.utilisation =
      useful / (static_cast<double>(gpus) * static_cast<double>(summary.makespan));
  summary.passes = passes;
  return summary;
}

}  // namespace trainyard::replay
