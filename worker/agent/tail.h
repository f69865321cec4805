// The output of one member on its way to the scheduler: reads what its ranks and its supervisor
// appended (log/rank-R.{out,err}, metrics.jsonl) and cuts it into batches by offset. Reads only
// forward; what was read but not acknowledged is the caller's to keep. Loop thread only.
#ifndef TRAINYARD_WORKER_AGENT_TAIL_H_
#define TRAINYARD_WORKER_AGENT_TAIL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/file.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "worker/agent/metric_regex.h"

namespace trainyard::worker {

class Tail {
 public:
  // `folder`: the attempt's. Begins at the start of everything.
  Tail(std::string folder, const agent::v1::Assignment& assignment);

  // Reads at most about `bytes_max` new bytes into a batch without sequence. False when there is
  // nothing to send. A last line without its end waits, unless `flush`. `now_us`: wall clock.
  bool Read(int64_t bytes_max, bool flush, int64_t now_us, agent::v1::TelemetryBatch* batch);
  // Whether the last Read left bytes behind (the limit, or an unfinished line).
  bool has_more() const { return has_more_; }
  bool has_partial() const { return has_partial_; }
  // After the member's end and a flushing Read: closes the streams that had data.
  void End(agent::v1::TelemetryBatch* batch);
  // Names of metrics read so far, sorted, at most 1,000.
  std::vector<std::string> metric_names() const;
  int64_t last_step() const { return last_step_; }

 private:
  struct Stream {
    int32_t rank = 0;
    bool is_stderr = false;
    std::string path;
    FileDescriptor file;
    int64_t offset = 0;
  };

  void ReadStream(Stream* stream, int64_t bytes_max, bool flush, int64_t now_us,
                  agent::v1::TelemetryBatch* batch);
  void ReadMetrics(int64_t bytes_max, agent::v1::TelemetryBatch* batch);
  void MatchMetrics(const std::string& text, int64_t offset, int64_t now_us);

  const std::string folder_;
  const agent::v1::MemberKey key_;
  agent::v1::TelemetryBatch header_;  // job, project, trial
  std::vector<Stream> streams_;
  FileDescriptor metrics_;
  int64_t metrics_offset_ = 0;
  int64_t points_ = 0;
  std::map<std::string, bool> names_;
  int64_t last_step_ = 0;
  std::unique_ptr<MetricRegex> regex_;
  int64_t matched_ = 0;  // bytes of the first rank's output that the expression has seen
  bool has_more_ = false;
  bool has_partial_ = false;
};

// One line of metrics.jsonl; false when it is none.
bool ParseMetricLine(const std::string& line, v1::MetricPoint* point);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_TAIL_H_
