// Verbs of queues, quotas, reservations and of a job's place, as the messages of
// trainyard/v1/queue.proto say. Writes of settings need ADMIN; everybody may read them.
#ifndef TRAINYARD_SCHEDULER_API_QUEUES_H_
#define TRAINYARD_SCHEDULER_API_QUEUES_H_

#include "google/protobuf/empty.pb.h"
#include "scheduler/api/context.h"
#include "trainyard/v1/queue.pb.h"

namespace trainyard::api {

void SetJobQueueing(const Context& context, const core::Principal& principal,
                    const v1::SetJobQueueingRequest& request, Done<v1::Job> done);

void SetQueue(const Context& context, const core::Principal& principal,
              const v1::SetQueueRequest& request, Done<v1::Queue> done);
absl::StatusOr<v1::Queue> GetQueue(const Context& context, const core::Principal& principal,
                                   const v1::GetQueueRequest& request);
void DeleteQueue(const Context& context, const core::Principal& principal,
                 const v1::DeleteQueueRequest& request, Done<google::protobuf::Empty> done);
absl::StatusOr<v1::ListQueuesResponse> ListQueues(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ListQueuesRequest& request);

void SetQuota(const Context& context, const core::Principal& principal,
              const v1::SetQuotaRequest& request, Done<v1::Quota> done);
absl::StatusOr<v1::Quota> GetQuota(const Context& context, const core::Principal& principal,
                                   const v1::GetQuotaRequest& request);
void DeleteQuota(const Context& context, const core::Principal& principal,
                 const v1::DeleteQuotaRequest& request, Done<google::protobuf::Empty> done);
absl::StatusOr<v1::ListQuotasResponse> ListQuotas(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ListQuotasRequest& request);

// The name may be left out: one is made up.
void CreateReservation(const Context& context, const core::Principal& principal,
                       const v1::CreateReservationRequest& request, Done<v1::Reservation> done);
void DeleteReservation(const Context& context, const core::Principal& principal,
                       const v1::DeleteReservationRequest& request,
                       Done<google::protobuf::Empty> done);
absl::StatusOr<v1::ListReservationsResponse> ListReservations(
    const Context& context, const core::Principal& principal,
    const v1::ListReservationsRequest& request);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_QUEUES_H_
