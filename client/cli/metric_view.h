// How metrics look: a line a curve, and the points of curves. Pure; one thread.
#ifndef TRAINYARD_CLIENT_CLI_METRIC_VIEW_H_
#define TRAINYARD_CLIENT_CLI_METRIC_VIEW_H_

#include <string>

#include "client/cli/output.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::cli {

// Columns: metric, trial and rank where there are several, points, last step, last, min, max,
// curve.
Table MetricTable(const v1::ListMetricsResponse& response);
// A row a point: metric, trial, rank, step, value with all digits, time.
Table CurveTable(const v1::ListMetricsResponse& response);

// Who holds a gang up, by the metrics `straggler` and `step_seconds` of our runtime: "rank 2, 0.3 s
// a step, 2.1 times as long as the others (step 12)". "" when nobody did when the ranks were
// compared last. Of several trials the last point counts.
std::string SlowRank(const v1::ListMetricsResponse& response);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_METRIC_VIEW_H_
