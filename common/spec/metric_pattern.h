// The regular expression that takes metrics from a program's output: what is checked at submit is
// what the node runs. RE2: linear time, so that no expression and no output can stall an agent.
#ifndef TRAINYARD_COMMON_SPEC_METRIC_PATTERN_H_
#define TRAINYARD_COMMON_SPEC_METRIC_PATTERN_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}

namespace trainyard::spec {

// Groups by their number; 0: none.
struct MetricPattern {
  std::shared_ptr<const re2::RE2> expression;
  int name = 0;
  int value = 1;
  int step = 0;
};

// Groups named "name", "value" and "step" say what they are. Without names one group is the value
// of the study's first metric, and of two groups the first is the name, the second the value.
// INVALID_ARGUMENT (BAD_VALUE, field metrics.regex) when `pattern` is no expression, has no such
// groups, needs more than 1 MiB, or names no metric although the job has no study.
absl::StatusOr<MetricPattern> CompileMetricPattern(const std::string& pattern, bool has_study);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_METRIC_PATTERN_H_
