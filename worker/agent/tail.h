// The output of one member on its way to the scheduler: reads what its ranks and its supervisor
// appended (log/rank-R.{out,err}, metrics.jsonl) and cuts it into batches by offset. Reads only
// forward; what was read but not acknowledged is the caller's to keep. A program may print faster
// than anybody takes it: then the oldest of what was not read is dropped, and the gap in the
// offsets tells how much. Loop thread only.
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

// Bytes of one stream's file.
struct TailLimits {
  int64_t spool_max = int64_t{1} << 30;     // more than this unread: some of it is dropped
  int64_t spool_kept = int64_t{256} << 20;  // down to this
  int64_t behind = int64_t{16} << 20;       // already read, but perhaps asked for after a restart
  int64_t step = int64_t{64} << 20;         // what is given back to the disk at a time
};

class Tail {
 public:
  // `folder`: the attempt's. Begins at the start of everything that is still on disk.
  Tail(std::string folder, const agent::v1::Assignment& assignment, const TailLimits& limits = {});

  // What becomes of a last line without its end: it waits, it is shown as far as it goes (the
  // metric expression still waits for the rest), or nothing more comes.
  enum class Partial { kWaits, kShown, kEnds };
  // Reads at most about `bytes_max` new bytes into a batch without sequence. False when there is
  // nothing to send. `now_us`: wall clock.
  bool Read(int64_t bytes_max, Partial partial, int64_t now_us, agent::v1::TelemetryBatch* batch);
  // Whether the last Read left bytes behind (the limit, or an unfinished line).
  bool has_more() const { return has_more_; }
  bool has_partial() const { return has_partial_; }
  // Keeps the files within the limits; Read does so too. For when nobody takes what is read.
  void Trim();
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
    int64_t freed = 0;  // up to here the disk has its blocks back
  };

  // False while the file is not there.
  static bool Open(Stream* stream);
  void Trim(Stream* stream);
  void ReadStream(Stream* stream, int64_t bytes_max, Partial partial, int64_t now_us,
                  agent::v1::TelemetryBatch* batch);
  void ReadMetrics(int64_t bytes_max, agent::v1::TelemetryBatch* batch);
  void TakeForMetrics(const std::string& bytes, int64_t offset, int64_t now_us);
  // Matches the whole lines of `unmatched_`; with `all` also what has no end yet.
  void MatchMetrics(bool all, int64_t now_us);

  const std::string folder_;
  const agent::v1::MemberKey key_;
  const TailLimits limits_;
  agent::v1::TelemetryBatch header_;  // job, project, trial
  std::vector<Stream> streams_;
  FileDescriptor metrics_;
  int64_t metrics_offset_ = 0;
  int64_t points_ = 0;
  std::map<std::string, bool> names_;
  int64_t last_step_ = 0;
  std::unique_ptr<MetricRegex> regex_;
  int64_t matched_ = 0;    // bytes of the first rank's output that the expression has seen
  std::string unmatched_;  // read behind them, the start of a line
  int64_t unmatched_offset_ = 0;
  bool has_more_ = false;
  bool has_partial_ = false;
};

// One line of metrics.jsonl; false when it is none.
bool ParseMetricLine(const std::string& line, v1::MetricPoint* point);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_TAIL_H_
