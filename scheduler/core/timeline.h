// The timeline of a job: short sentences for people about what happened when. At most 100, the
// first few and the newest; a line between them, "left out", says how many went. "queued" is not
// stored while nothing else happened: a hundred thousand waiting jobs need no sentence each.
#ifndef TRAINYARD_SCHEDULER_CORE_TIMELINE_H_
#define TRAINYARD_SCHEDULER_CORE_TIMELINE_H_

#include "absl/strings/string_view.h"
#include "scheduler/core/rows.h"

namespace trainyard::core {

inline constexpr int kTimelineMax = 100;

// Adds a line to the job's row.
void AddTimeline(int64_t time_us, absl::string_view what, absl::string_view detail,
                 records::JobRow* job);

// Folds what a change of `run` means for its job: state, start time, and a line when `what` is not
// empty (for trials the line names the trial).
void FoldIntoJob(const records::Event& event, uint64_t run_uid, absl::string_view what,
                 absl::string_view detail, Rows* rows);

// State of a job that has not ended, by its flags and its run; `run` of a tuning job: the one that
// changed, null for none.
v1::JobState DeriveState(const records::JobRow& job, const records::RunRow* run, const Rows& rows);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_TIMELINE_H_
