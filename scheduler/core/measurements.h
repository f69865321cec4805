// The curve of a trial: measurements by rising step, one per step, at most 1,000; and the number it
// is judged by. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_MEASUREMENTS_H_
#define TRAINYARD_SCHEDULER_CORE_MEASUREMENTS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "scheduler/core/types.h"

namespace trainyard::core {

inline constexpr int kMeasurementsMax = 1000;

// Puts `point` at its place in the curve; at a step that is there already its metrics replace those
// of the same name; so a report can be corrected. Beyond 1,000 points every second one goes, but
// never the newest. Keeps best_measurement by the study's first metric.
void AddMeasurementTo(const v1::StudySpec& spec, const v1::Measurement& point,
                      records::TrialRow* trial);

std::optional<double> FindMetric(const v1::Measurement& measurement, absl::string_view metric_id);

// Whether the curve already says all that `point` says.
bool HasMeasurement(const records::TrialRow& trial, const v1::Measurement& point);

// `point` without metrics that the study does not name; absent when nothing is left.
std::optional<v1::Measurement> OnlyStudyMetrics(const v1::StudySpec& spec,
                                                const v1::Measurement& point);

// The measurement a trial is judged by: its last one, or its best (spec.selection), with the value
// nearest before that step, else after it, of each metric that it lacks. Metrics that were never
// measured are added to `missing`.
v1::Measurement FinalMeasurement(const v1::StudySpec& spec, const records::TrialRow& trial,
                                 std::vector<std::string>* missing);

// The first metric of `measurement` whose value is no number, "" when all are.
std::string NotANumber(const v1::Measurement& measurement);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_MEASUREMENTS_H_
