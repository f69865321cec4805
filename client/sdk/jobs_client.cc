// JobService of the client; see client.h.
#include "client/sdk/call.h"

namespace trainyard::client {

absl::StatusOr<v1::Job> Client::SubmitJob(v1::SubmitJobRequest request) {
  return CallUnary(connection_.get(), &Connection::jobs, &v1::JobService::Stub::SubmitJob,
                   std::move(request));
}
absl::StatusOr<v1::Job> Client::GetJob(v1::GetJobRequest request) {
  return CallUnary(connection_.get(), &Connection::jobs, &v1::JobService::Stub::GetJob,
                   std::move(request));
}
absl::StatusOr<v1::ListJobsResponse> Client::ListJobs(v1::ListJobsRequest request) {
  return CallUnary(connection_.get(), &Connection::jobs, &v1::JobService::Stub::ListJobs,
                   std::move(request));
}
absl::StatusOr<v1::Job> Client::CancelJob(v1::CancelJobRequest request) {
  return CallUnary(connection_.get(), &Connection::jobs, &v1::JobService::Stub::CancelJob,
                   std::move(request));
}
absl::StatusOr<v1::Job> Client::UpdateJob(v1::UpdateJobRequest request) {
  return CallUnary(connection_.get(), &Connection::jobs, &v1::JobService::Stub::UpdateJob,
                   std::move(request));
}
absl::StatusOr<v1::Job> Client::PauseJob(v1::PauseJobRequest request) {
  return CallUnary(connection_.get(), &Connection::jobs, &v1::JobService::Stub::PauseJob,
                   std::move(request));
}
absl::StatusOr<v1::Job> Client::ResumeJob(v1::ResumeJobRequest request) {
  return CallUnary(connection_.get(), &Connection::jobs, &v1::JobService::Stub::ResumeJob,
                   std::move(request));
}
absl::StatusOr<v1::ExplainJobResponse> Client::ExplainJob(v1::ExplainJobRequest request) {
  return CallUnary(connection_.get(), &Connection::jobs, &v1::JobService::Stub::ExplainJob,
                   std::move(request));
}
absl::StatusOr<v1::ListMetricsResponse> Client::ListMetrics(v1::ListMetricsRequest request) {
  return CallUnary(connection_.get(), &Connection::jobs, &v1::JobService::Stub::ListMetrics,
                   std::move(request));
}

absl::Status Client::WatchJob(const v1::WatchJobRequest& request, absl::Time deadline,
                              absl::FunctionRef<bool(const v1::Job&)> sink) {
  connection_->Open();
  grpc::ClientContext context;
  if (deadline < absl::InfiniteFuture()) context.set_deadline(absl::ToChronoTime(deadline));
  connection_->Prepare(&context, /*is_stream=*/true);
  const auto reader = connection_->jobs->WatchJob(&context, request);
  v1::WatchJobResponse response;
  while (reader->Read(&response)) {
    connection_->answered = true;
    if (!sink(response.job())) {
      context.TryCancel();
      reader->Finish();
      return absl::OkStatus();
    }
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? absl::OkStatus() : connection_->ErrorOf(status);
}

absl::Status Client::TailLogs(const v1::TailLogsRequest& request,
                              absl::FunctionRef<bool(const v1::TailLogsResponse&)> sink) {
  connection_->Open();
  grpc::ClientContext context;
  connection_->Prepare(&context, /*is_stream=*/true);
  const auto reader = connection_->jobs->TailLogs(&context, request);
  v1::TailLogsResponse response;
  while (reader->Read(&response)) {
    connection_->answered = true;
    if (!sink(response)) {
      context.TryCancel();
      reader->Finish();
      return absl::OkStatus();
    }
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? absl::OkStatus() : connection_->ErrorOf(status);
}

}  // namespace trainyard::client
