// What a member told while it ran, on disk: metrics.jsonl and events.jsonl, one line a point or
// event, appended in one write so that a reader never sees half a line. Single-threaded.
#ifndef TRAINYARD_WORKER_SUPERVISOR_RECORDER_H_
#define TRAINYARD_WORKER_SUPERVISOR_RECORDER_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "worker/supervisor/files.h"

namespace trainyard::worker {

struct MetricLine {
  std::string name;
  int64_t step = 0;
  double value = 0;
  int32_t rank = 0;
  int64_t time_us = 0;
};

class Recorder {
 public:
  // Opens both files in the current folder. False with errno.
  bool Open();
  void Metrics(const std::vector<MetricLine>& points);
  void Running(int pid);
  void Rank(int32_t rank, int pid);
  void Checkpoint(int64_t step, const std::string& path);
  // mpirun wants its daemon on the node of `member`.
  void Spawn(int32_t member, const std::vector<std::string>& argv);
  void Stopping(const std::string& reason);

  int64_t last_step() const { return last_step_; }
  std::vector<std::string> names() const;

 private:
  LineFile metrics_;
  LineFile events_;
  std::set<std::string> names_;  // at most 1,000; later names are recorded in the file alone
  int64_t last_step_ = 0;
};

// One line of metrics.jsonl, with its end. Values that JSON cannot hold are the texts "nan", "inf"
// and "-inf".
std::string FormatMetric(const MetricLine& point);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_RECORDER_H_
