// QueueService of the client; see client.h.
#include "client/sdk/call.h"

namespace trainyard::client {

absl::StatusOr<v1::Job> Client::SetJobQueueing(v1::SetJobQueueingRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::SetJobQueueing,
                   std::move(request));
}
absl::StatusOr<v1::ExplainJobResponse> Client::PlanJob(v1::PlanJobRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::PlanJob,
                   std::move(request));
}
absl::StatusOr<v1::Queue> Client::SetQueue(v1::SetQueueRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::SetQueue,
                   std::move(request));
}
absl::Status Client::DeleteQueue(v1::DeleteQueueRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::DeleteQueue,
                   std::move(request))
      .status();
}
absl::StatusOr<v1::Quota> Client::SetQuota(v1::SetQuotaRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::SetQuota,
                   std::move(request));
}
absl::Status Client::DeleteQuota(v1::DeleteQuotaRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::DeleteQuota,
                   std::move(request))
      .status();
}
absl::StatusOr<v1::Reservation> Client::CreateReservation(v1::CreateReservationRequest request) {
  return CallUnary(connection_.get(), &Connection::queues,
                   &v1::QueueService::Stub::CreateReservation, std::move(request));
}
absl::Status Client::DeleteReservation(v1::DeleteReservationRequest request) {
  return CallUnary(connection_.get(), &Connection::queues,
                   &v1::QueueService::Stub::DeleteReservation, std::move(request))
      .status();
}
absl::StatusOr<v1::Queue> Client::GetQueue(v1::GetQueueRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::GetQueue,
                   std::move(request));
}
absl::StatusOr<v1::ListQueuesResponse> Client::ListQueues(v1::ListQueuesRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::ListQueues,
                   std::move(request));
}
absl::StatusOr<v1::Quota> Client::GetQuota(v1::GetQuotaRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::GetQuota,
                   std::move(request));
}
absl::StatusOr<v1::ListQuotasResponse> Client::ListQuotas(v1::ListQuotasRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::ListQuotas,
                   std::move(request));
}
absl::StatusOr<v1::ListReservationsResponse> Client::ListReservations(
    v1::ListReservationsRequest request) {
  return CallUnary(connection_.get(), &Connection::queues,
                   &v1::QueueService::Stub::ListReservations, std::move(request));
}
absl::StatusOr<v1::GetUsageResponse> Client::GetUsage(v1::GetUsageRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::GetUsage,
                   std::move(request));
}
absl::StatusOr<v1::ExportHistoryResponse> Client::ExportHistory(v1::ExportHistoryRequest request) {
  return CallUnary(connection_.get(), &Connection::queues, &v1::QueueService::Stub::ExportHistory,
                   std::move(request));
}

}  // namespace trainyard::client
