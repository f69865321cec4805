// Rows to public messages. Pure but for look-ups in the view. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_API_CONVERT_H_
#define TRAINYARD_SCHEDULER_API_CONVERT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/runtime/view.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/node.pb.h"
#include "trainyard/v1/study.pb.h"

namespace trainyard::api {

// Microseconds since 1970 to a timestamp; 0 leaves it unset.
void SetTime(int64_t micros, google::protobuf::Timestamp* out);

v1::Job JobOf(const runtime::View& view, const journal::v1::JobRow& row, v1::JobView detail);
v1::AttemptSummary SummaryOf(const journal::v1::RunRow& run);
v1::Study StudyOf(const runtime::View& view, const journal::v1::StudyRow& row);
v1::Trial TrialOf(const runtime::View& view, const journal::v1::StudyRow& study,
                  const journal::v1::TrialRow& row, bool with_measurements);

bool IsTerminal(v1::JobState state);
// What a job waits for: its only run, or the first run of a tuning job that waits; null when none.
core::RunPtr WaitingRun(const runtime::View& view, const journal::v1::JobRow& job);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_CONVERT_H_
