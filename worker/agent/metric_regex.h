// Metrics out of a program's standard output, when a spec has a regular expression for them
// (common/spec/metric_pattern.h says what its groups mean). Pure; thread-compatible.
#ifndef TRAINYARD_WORKER_AGENT_METRIC_REGEX_H_
#define TRAINYARD_WORKER_AGENT_METRIC_REGEX_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/spec/metric_pattern.h"

namespace trainyard::worker {

class MetricRegex {
 public:
  struct Match {
    std::string name;
    int64_t step = 0;  // group "step", else how many of that name came before
    double value = 0;
  };

  // `default_name`: of the study's first metric; "" without a study. INVALID_ARGUMENT (BAD_VALUE)
  // for a pattern that a submit refuses too.
  static absl::StatusOr<std::unique_ptr<MetricRegex>> Make(const std::string& pattern,
                                                           const std::string& default_name);
  // All matches of one line, at most 100 in its first 8 KiB.
  std::vector<Match> Matches(const std::string& line);

 private:
  MetricRegex(spec::MetricPattern pattern, std::string default_name);

  const spec::MetricPattern pattern_;
  const std::string default_name_;
  std::map<std::string, int64_t> counts_;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_METRIC_REGEX_H_
