// Life of a study: which trials run, when it is over, and what that means for its job.
//  - While a tuning job's study is active, at most parallel_trials of its trials are active, and at
//  most max_trials are ever suggested.
//  - A trial may be held: it leaves its nodes with its checkpoint, is REQUESTED again and takes no
//  place. One that may go on is resumed before a new one begins.
//  - It ends when all trials have ended, when the optimiser has nothing more, when somebody stops
//  it, or when too many trials failed (max_failed, by default half of max_trials but at least 3).
//  - A study that is over waits for its running trials, then its job ends.
#ifndef TRAINYARD_SCHEDULER_CORE_STUDY_MACHINE_H_
#define TRAINYARD_SCHEDULER_CORE_STUDY_MACHINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

// What follows from the rows of the study; may be called at any time.
void AdvanceStudy(uint64_t study_uid, Draft* draft);

// What becomes of the trials that run when their study is over.
enum class Rest { kGoesOn, kStopsEarly, kIsCancelled };

// No further trials: those that were never started end as infeasible. Written once for whatever
// ends a study.
void EndStudy(uint64_t study_uid, const std::string& reason, Rest rest, Draft* draft);

absl::StatusOr<Reply> MakeStudy(const CreateStudy& command, Draft* draft);
absl::StatusOr<Reply> RemoveStudy(const DeleteStudy& command, Draft* draft);
absl::StatusOr<Reply> TakeSuggestions(const ApplySuggestions& command, Draft* draft);
absl::StatusOr<Reply> TakeStops(const ApplyStops& command, Draft* draft);
absl::StatusOr<Reply> TakeStudyStop(const ApplyStudyStop& command, Draft* draft);

// The study of that name; NOT_FOUND says which names are near.
absl::StatusOr<StudyPtr> FindStudy(absl::string_view project, absl::string_view study_id,
                                   const Draft& draft);

// The row of a new study.
records::StudyRow NewStudy(uint64_t uid, absl::string_view project, absl::string_view study_id,
                           const v1::StudySpec& spec, const EarlierStudies& earlier,
                           const Draft& draft);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_STUDY_MACHINE_H_
