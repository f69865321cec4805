// Verbs of studies and trials: ask and tell, and the trials of tuning jobs.
#ifndef TRAINYARD_SCHEDULER_API_STUDIES_H_
#define TRAINYARD_SCHEDULER_API_STUDIES_H_

#include "google/protobuf/empty.pb.h"
#include "scheduler/api/context.h"
#include "trainyard/v1/study.pb.h"

namespace trainyard::api {

void CreateStudy(const Context& context, const core::Principal& principal,
                 const v1::CreateStudyRequest& request, Done<v1::Study> done);
void DeleteStudy(const Context& context, const core::Principal& principal,
                 const v1::DeleteStudyRequest& request, Done<google::protobuf::Empty> done);
// Open trials of the client first; asks the optimiser for what is missing. Fewer than `count` when
// the space or the study has no more. Repeating is safe by client id.
void SuggestTrials(const Context& context, const core::Principal& principal,
                   const v1::SuggestTrialsRequest& request, Done<v1::SuggestTrialsResponse> done);
void AddMeasurement(const Context& context, const core::Principal& principal,
                    const v1::AddMeasurementRequest& request,
                    Done<v1::AddMeasurementResponse> done);
void CompleteTrial(const Context& context, const core::Principal& principal,
                   const v1::CompleteTrialRequest& request, Done<v1::Trial> done);

// The studies that the spec's transfer_from names, by id in `project` or by whole name; the
// principal must be allowed to read them. NOT_FOUND says which one is missing.
absl::StatusOr<core::EarlierStudies> FindEarlier(const Context& context,
                                                 const core::Principal& principal,
                                                 absl::string_view project,
                                                 const v1::StudySpec& spec);

absl::StatusOr<v1::Study> GetStudy(const Context& context, const core::Principal& principal,
                                   const v1::GetStudyRequest& request);
absl::StatusOr<v1::ListStudiesResponse> ListStudies(const Context& context,
                                                    const core::Principal& principal,
                                                    const v1::ListStudiesRequest& request);
absl::StatusOr<v1::ShouldStopResponse> ShouldStop(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ShouldStopRequest& request);
absl::StatusOr<v1::Trial> GetTrial(const Context& context, const core::Principal& principal,
                                   const v1::GetTrialRequest& request);
absl::StatusOr<v1::ListTrialsResponse> ListTrials(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ListTrialsRequest& request);
absl::StatusOr<v1::ListBestTrialsResponse> ListBestTrials(const Context& context,
                                                          const core::Principal& principal,
                                                          const v1::ListBestTrialsRequest& request);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_STUDIES_H_
