// The C++ client of a Trainyard scheduler: one method per RPC, absl::Status with faults as errors.
//
// Invariants: nothing is connected before the first call; every call carries the token; every write
// carries a request id and is repeated with the same id, so that it happens once; a scheduler that
// never answered is reported at once, one that went away is waited for.
// Thread-safe; calls block.
#ifndef TRAINYARD_CLIENT_SDK_CLIENT_H_
#define TRAINYARD_CLIENT_SDK_CLIENT_H_

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/sdk/endpoint.h"
#include "common/version.h"
#include "trainyard/v1/admin.pb.h"
#include "trainyard/v1/artifact.pb.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/node.pb.h"
#include "trainyard/v1/queue.pb.h"
#include "trainyard/v1/study.pb.h"

namespace trainyard::v1 {
class GetStudyInsightRequest;
class StudyInsight;
}  // namespace trainyard::v1

namespace trainyard::client {

struct ClientOptions {
  absl::Duration call_timeout = absl::Seconds(60);  // of one try
  // How long a call is repeated while a scheduler that was reached before is away.
  absl::Duration retry_for = absl::Seconds(20);
  std::string version = BuildVersion();  // told to the scheduler
};

// 16 random bytes in hex.
std::string NewRequestId();

class Client {
 public:
  Client(Endpoint endpoint, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const Endpoint& endpoint() const;

  // Jobs. Streams end when `sink` returns false (OK), at the server's end (OK), at the
  // deadline (DEADLINE_EXCEEDED) or with another error.
  absl::StatusOr<v1::Job> SubmitJob(v1::SubmitJobRequest request);
  absl::StatusOr<v1::Job> GetJob(v1::GetJobRequest request);
  absl::StatusOr<v1::ListJobsResponse> ListJobs(v1::ListJobsRequest request);
  absl::StatusOr<v1::Job> CancelJob(v1::CancelJobRequest request);
  absl::StatusOr<v1::Job> UpdateJob(v1::UpdateJobRequest request);
  absl::StatusOr<v1::Job> PauseJob(v1::PauseJobRequest request);
  absl::StatusOr<v1::Job> ResumeJob(v1::ResumeJobRequest request);
  absl::StatusOr<v1::ExplainJobResponse> ExplainJob(v1::ExplainJobRequest request);
  absl::StatusOr<v1::ListMetricsResponse> ListMetrics(v1::ListMetricsRequest request);
  absl::Status WatchJob(const v1::WatchJobRequest& request, absl::Time deadline,
                        absl::FunctionRef<bool(const v1::Job&)> sink);
  absl::Status TailLogs(const v1::TailLogsRequest& request,
                        absl::FunctionRef<bool(const v1::TailLogsResponse&)> sink);

  // Studies.
  absl::StatusOr<v1::Study> CreateStudy(v1::CreateStudyRequest request);
  absl::StatusOr<v1::Study> GetStudy(v1::GetStudyRequest request);
  absl::StatusOr<v1::ListStudiesResponse> ListStudies(v1::ListStudiesRequest request);
  absl::Status DeleteStudy(v1::DeleteStudyRequest request);
  absl::StatusOr<v1::SuggestTrialsResponse> SuggestTrials(v1::SuggestTrialsRequest request);
  absl::StatusOr<v1::AddMeasurementResponse> AddMeasurement(v1::AddMeasurementRequest request);
  absl::StatusOr<v1::Trial> CompleteTrial(v1::CompleteTrialRequest request);
  absl::StatusOr<v1::ShouldStopResponse> ShouldStop(v1::ShouldStopRequest request);
  absl::StatusOr<v1::Trial> GetTrial(v1::GetTrialRequest request);
  absl::StatusOr<v1::ListTrialsResponse> ListTrials(v1::ListTrialsRequest request);
  absl::StatusOr<v1::ListBestTrialsResponse> ListBestTrials(v1::ListBestTrialsRequest request);
  absl::StatusOr<v1::StudyInsight> GetStudyInsight(v1::GetStudyInsightRequest request);

  // Nodes, artifacts, administration.
  absl::StatusOr<v1::ListNodesResponse> ListNodes(v1::ListNodesRequest request);
  absl::StatusOr<v1::Node> GetNode(v1::GetNodeRequest request);
  absl::StatusOr<v1::Node> DrainNode(v1::DrainNodeRequest request);
  absl::StatusOr<v1::Node> RevokeNode(v1::RevokeNodeRequest request);
  absl::StatusOr<v1::Grant> GetUploadGrant(v1::GetUploadGrantRequest request);
  absl::StatusOr<v1::Grant> GetDownloadGrant(v1::GetDownloadGrantRequest request);
  absl::StatusOr<v1::ListOutputsResponse> ListOutputs(v1::ListOutputsRequest request);
  absl::StatusOr<v1::ListObjectsResponse> ListObjects(v1::ListObjectsRequest request);
  absl::StatusOr<v1::ServerInfo> GetServerInfo(v1::GetServerInfoRequest request);
  absl::StatusOr<v1::Token> CreateToken(v1::CreateTokenRequest request);
  absl::StatusOr<v1::ListTokensResponse> ListTokens(v1::ListTokensRequest request);
  absl::Status RevokeToken(v1::RevokeTokenRequest request);
  absl::StatusOr<v1::JoinToken> CreateJoinToken(v1::CreateJoinTokenRequest request);
  absl::StatusOr<v1::ListTiersResponse> ListTiers(v1::ListTiersRequest request);
  absl::StatusOr<v1::ScaleTier> SetTier(v1::SetTierRequest request);
  absl::StatusOr<v1::Project> CreateProject(v1::CreateProjectRequest request);
  absl::StatusOr<v1::Project> UpdateProject(v1::UpdateProjectRequest request);
  absl::StatusOr<v1::ListProjectsResponse> ListProjects(v1::ListProjectsRequest request);

  // The queue and what governs it.
  absl::StatusOr<v1::Job> SetJobQueueing(v1::SetJobQueueingRequest request);
  absl::StatusOr<v1::ExplainJobResponse> PlanJob(v1::PlanJobRequest request);
  absl::StatusOr<v1::Queue> SetQueue(v1::SetQueueRequest request);
  absl::Status DeleteQueue(v1::DeleteQueueRequest request);
  absl::StatusOr<v1::Quota> SetQuota(v1::SetQuotaRequest request);
  absl::Status DeleteQuota(v1::DeleteQuotaRequest request);
  absl::StatusOr<v1::Reservation> CreateReservation(v1::CreateReservationRequest request);
  absl::Status DeleteReservation(v1::DeleteReservationRequest request);
  absl::StatusOr<v1::Queue> GetQueue(v1::GetQueueRequest request);
  absl::StatusOr<v1::ListQueuesResponse> ListQueues(v1::ListQueuesRequest request);
  absl::StatusOr<v1::Quota> GetQuota(v1::GetQuotaRequest request);
  absl::StatusOr<v1::ListQuotasResponse> ListQuotas(v1::ListQuotasRequest request);
  absl::StatusOr<v1::ListReservationsResponse> ListReservations(
      v1::ListReservationsRequest request);
  absl::StatusOr<v1::GetUsageResponse> GetUsage(v1::GetUsageRequest request);
  absl::StatusOr<v1::ExportHistoryResponse> ExportHistory(v1::ExportHistoryRequest request);

  struct Connection;  // channel and stubs; call.h

 private:
  std::unique_ptr<Connection> connection_;
};

}  // namespace trainyard::client

#endif  // TRAINYARD_CLIENT_SDK_CLIENT_H_
