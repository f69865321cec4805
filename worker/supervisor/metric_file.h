// The metric file of the `hypertune` library, as new points. The library rewrites the whole file on
// each report: a ring of its last 100 lines, truncated first, so a reader may meet a half-written
// or empty file, and every new reporter object begins an empty ring. Hence: read often, remember
// what was seen by (tag, step, timestamp), never assume that lines are appended. Pure but for
// Read(); single-threaded.
#ifndef TRAINYARD_WORKER_SUPERVISOR_METRIC_FILE_H_
#define TRAINYARD_WORKER_SUPERVISOR_METRIC_FILE_H_

#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "worker/supervisor/recorder.h"

namespace trainyard::worker {

class MetricFile {
 public:
  // Points of `text` that were in no earlier text. A last line without its end is skipped unless
  // `complete`. Lines that are no metric are skipped.
  std::vector<MetricLine> NewPoints(const std::string& text, bool complete);
  // Reads at most 1 MiB of `path` and returns its new points.
  std::vector<MetricLine> Read(const std::string& path, bool complete);

 private:
  void AddLine(const std::string& line, std::vector<MetricLine>* to);

  // Keys "tag\nstep\ntimestamp" as written. Bounded: the oldest half of a full set is forgotten,
  // which is far more than a ring of 100 can repeat.
  std::set<std::string> seen_;
  std::set<std::string> seen_before_;
  std::unordered_set<size_t> lines_;  // hashes of the last text
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_METRIC_FILE_H_
