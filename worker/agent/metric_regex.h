// Metrics out of a program's standard output, when a spec has a regular expression for them: groups
// "name" and "value", or one group that is the value of the study's first metric. RE2: linear time,
// so that no expression and no output can stall the agent. Pure; thread-compatible.
#ifndef TRAINYARD_WORKER_AGENT_METRIC_REGEX_H_
#define TRAINYARD_WORKER_AGENT_METRIC_REGEX_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}

namespace trainyard::worker {

class MetricRegex {
 public:
  struct Match {
    std::string name;
    int64_t step = 0;  // group "step", else how many of that name came before
    double value = 0;
  };

  // INVALID_ARGUMENT (BAD_VALUE) when `pattern` is no expression or has no group for the value.
  static absl::StatusOr<std::unique_ptr<MetricRegex>> Make(const std::string& pattern,
                                                           const std::string& default_name);
  ~MetricRegex();
  // All matches of one line, at most 100 in its first 8 KiB.
  std::vector<Match> Matches(const std::string& line);

 private:
  MetricRegex(std::unique_ptr<re2::RE2> expression, std::string default_name);

  std::unique_ptr<re2::RE2> expression_;
  std::string default_name_;
  int name_group_ = 0;  // 0: none
  int value_group_ = 1;
  int step_group_ = 0;
  std::map<std::string, int64_t> counts_;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_METRIC_REGEX_H_
