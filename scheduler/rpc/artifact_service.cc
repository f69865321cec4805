// Verbs of artifacts over gRPC. See services.h.
#include <utility>

#include "scheduler/api/artifacts.h"
#include "scheduler/rpc/services.h"
#include "scheduler/rpc/unary.h"
#include "trainyard/v1/artifact.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class ArtifactService : public v1::ArtifactService::CallbackService {
 public:
  explicit ArtifactService(const api::Context* context) : context_(context) {}

  grpc::ServerUnaryReactor* GetUploadGrant(grpc::CallbackServerContext* call,
                                           const v1::GetUploadGrantRequest* request,
                                           v1::Grant* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetUploadGrant(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* GetDownloadGrant(grpc::CallbackServerContext* call,
                                             const v1::GetDownloadGrantRequest* request,
                                             v1::Grant* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetDownloadGrant(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ListOutputs(grpc::CallbackServerContext* call,
                                        const v1::ListOutputsRequest* request,
                                        v1::ListOutputsResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListOutputs(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ListObjects(grpc::CallbackServerContext* call,
                                        const v1::ListObjectsRequest* request,
                                        v1::ListObjectsResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListObjects(*context_, principal, *request);
    });
  }

 private:
  const api::Context* const context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeArtifactService(const api::Context* context) {
  return std::make_unique<ArtifactService>(context);
}

}  // namespace trainyard::rpc
