// Verbs of queues, quotas, reservations and usage over gRPC. See services.h.
#include <utility>

#include "scheduler/api/jobs.h"
#include "scheduler/api/queues.h"
#include "scheduler/api/usage.h"
#include "scheduler/rpc/services.h"
#include "scheduler/rpc/unary.h"
#include "trainyard/v1/queue.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class QueueService : public v1::QueueService::CallbackService {
 public:
  explicit QueueService(const api::Context* context) : context_(context) {}

  grpc::ServerUnaryReactor* SetJobQueueing(grpc::CallbackServerContext* call,
                                           const v1::SetJobQueueingRequest* request,
                                           v1::Job* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::SetJobQueueing(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* PlanJob(grpc::CallbackServerContext* call,
                                    const v1::PlanJobRequest* request,
                                    v1::ExplainJobResponse* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::PlanJob(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* SetQueue(grpc::CallbackServerContext* call,
                                     const v1::SetQueueRequest* request,
                                     v1::Queue* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::SetQueue(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* DeleteQueue(grpc::CallbackServerContext* call,
                                        const v1::DeleteQueueRequest* request,
                                        google::protobuf::Empty* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::DeleteQueue(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* SetQuota(grpc::CallbackServerContext* call,
                                     const v1::SetQuotaRequest* request,
                                     v1::Quota* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::SetQuota(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* DeleteQuota(grpc::CallbackServerContext* call,
                                        const v1::DeleteQuotaRequest* request,
                                        google::protobuf::Empty* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::DeleteQuota(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* CreateReservation(grpc::CallbackServerContext* call,
                                              const v1::CreateReservationRequest* request,
                                              v1::Reservation* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::CreateReservation(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* DeleteReservation(grpc::CallbackServerContext* call,
                                              const v1::DeleteReservationRequest* request,
                                              google::protobuf::Empty* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::DeleteReservation(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* GetQueue(grpc::CallbackServerContext* call,
                                     const v1::GetQueueRequest* request,
                                     v1::Queue* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetQueue(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ListQueues(grpc::CallbackServerContext* call,
                                       const v1::ListQueuesRequest* request,
                                       v1::ListQueuesResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListQueues(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* GetQuota(grpc::CallbackServerContext* call,
                                     const v1::GetQuotaRequest* request,
                                     v1::Quota* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetQuota(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ListQuotas(grpc::CallbackServerContext* call,
                                       const v1::ListQuotasRequest* request,
                                       v1::ListQuotasResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListQuotas(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ListReservations(grpc::CallbackServerContext* call,
                                             const v1::ListReservationsRequest* request,
                                             v1::ListReservationsResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListReservations(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* GetUsage(grpc::CallbackServerContext* call,
                                     const v1::GetUsageRequest* request,
                                     v1::GetUsageResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetUsage(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ExportHistory(grpc::CallbackServerContext* call,
                                          const v1::ExportHistoryRequest* request,
                                          v1::ExportHistoryResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ExportHistory(*context_, principal, *request);
    });
  }

 private:
  const api::Context* const context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeQueueService(const api::Context* context) {
  return std::make_unique<QueueService>(context);
}

}  // namespace trainyard::rpc
