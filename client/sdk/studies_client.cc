// StudyService of the client; see client.h.
#include "client/sdk/call.h"

namespace trainyard::client {

absl::StatusOr<v1::Study> Client::CreateStudy(v1::CreateStudyRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::CreateStudy,
                   std::move(request));
}
absl::StatusOr<v1::Study> Client::GetStudy(v1::GetStudyRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::GetStudy,
                   std::move(request));
}
absl::Status Client::DeleteStudy(v1::DeleteStudyRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::DeleteStudy,
                   std::move(request))
      .status();
}
absl::StatusOr<v1::SuggestTrialsResponse> Client::SuggestTrials(v1::SuggestTrialsRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::SuggestTrials,
                   std::move(request));
}
absl::StatusOr<v1::AddMeasurementResponse> Client::AddMeasurement(
    v1::AddMeasurementRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::AddMeasurement,
                   std::move(request));
}
absl::StatusOr<v1::Trial> Client::CompleteTrial(v1::CompleteTrialRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::CompleteTrial,
                   std::move(request));
}
absl::StatusOr<v1::ShouldStopResponse> Client::ShouldStop(v1::ShouldStopRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::ShouldStop,
                   std::move(request));
}
absl::StatusOr<v1::Trial> Client::GetTrial(v1::GetTrialRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::GetTrial,
                   std::move(request));
}
absl::StatusOr<v1::ListTrialsResponse> Client::ListTrials(v1::ListTrialsRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::ListTrials,
                   std::move(request));
}
absl::StatusOr<v1::ListBestTrialsResponse> Client::ListBestTrials(
    v1::ListBestTrialsRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::ListBestTrials,
                   std::move(request));
}
absl::StatusOr<v1::ListStudiesResponse> Client::ListStudies(v1::ListStudiesRequest request) {
  return CallUnary(connection_.get(), &Connection::studies, &v1::StudyService::Stub::ListStudies,
                   std::move(request));
}
absl::StatusOr<v1::StudyInsight> Client::GetStudyInsight(v1::GetStudyInsightRequest request) {
  return CallUnary(connection_.get(), &Connection::insights,
                   &v1::InsightService::Stub::GetStudyInsight, std::move(request));
}

}  // namespace trainyard::client
