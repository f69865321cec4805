// What studies taught, over gRPC. See services.h.
#include "scheduler/api/insight.h"
#include "scheduler/rpc/services.h"
#include "scheduler/rpc/unary.h"
#include "trainyard/v1/insight.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class InsightService : public v1::InsightService::CallbackService {
 public:
  explicit InsightService(const api::Context* context) : context_(context) {}

  grpc::ServerUnaryReactor* GetStudyInsight(grpc::CallbackServerContext* call,
                                            const v1::GetStudyInsightRequest* request,
                                            v1::StudyInsight* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetStudyInsight(*context_, principal, *request);
    });
  }

 private:
  const api::Context* const context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeInsightService(const api::Context* context) {
  return std::make_unique<InsightService>(context);
}

}  // namespace trainyard::rpc
