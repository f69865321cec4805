// Verbs of administration over gRPC. See services.h.
#include <utility>

#include "scheduler/api/admin.h"
#include "scheduler/rpc/agent_registry.h"
#include "scheduler/rpc/services.h"
#include "scheduler/rpc/unary.h"
#include "trainyard/v1/admin.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class AdminService : public v1::AdminService::CallbackService {
 public:
  AdminService(const api::Context* context, AgentRegistry* registry)
      : context_(context), registry_(registry) {}

  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* call,
                                          const v1::GetServerInfoRequest* /*request*/,
                                          v1::ServerInfo* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetServerInfo(*context_, principal);
    });
  }
  grpc::ServerUnaryReactor* ListTiers(grpc::CallbackServerContext* call,
                                      const v1::ListTiersRequest* /*request*/,
                                      v1::ListTiersResponse* response) override {
    return AnswerNow(*context_, call, response,
                     [&](const auto& /*principal*/) { return api::ListTiers(*context_); });
  }
  grpc::ServerUnaryReactor* CreateToken(grpc::CallbackServerContext* call,
                                        const v1::CreateTokenRequest* request,
                                        v1::Token* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::CreateToken(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* ListTokens(grpc::CallbackServerContext* call,
                                       const v1::ListTokensRequest* request,
                                       v1::ListTokensResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListTokens(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* RevokeToken(grpc::CallbackServerContext* call,
                                        const v1::RevokeTokenRequest* request,
                                        google::protobuf::Empty* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::RevokeToken(
          *context_, principal, *request,
          [registry = registry_, done](absl::StatusOr<google::protobuf::Empty> answer) {
            if (answer.ok()) registry->LookAgain();
            done(std::move(answer));
          });
    });
  }
  grpc::ServerUnaryReactor* CreateJoinToken(grpc::CallbackServerContext* call,
                                            const v1::CreateJoinTokenRequest* request,
                                            v1::JoinToken* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::CreateJoinToken(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* SetTier(grpc::CallbackServerContext* call,
                                    const v1::SetTierRequest* request,
                                    v1::ScaleTier* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::SetTier(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* CreateProject(grpc::CallbackServerContext* call,
                                          const v1::CreateProjectRequest* request,
                                          v1::Project* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::CreateProject(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* UpdateProject(grpc::CallbackServerContext* call,
                                          const v1::UpdateProjectRequest* request,
                                          v1::Project* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::UpdateProject(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* ListProjects(grpc::CallbackServerContext* call,
                                         const v1::ListProjectsRequest* request,
                                         v1::ListProjectsResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListProjects(*context_, principal, *request);
    });
  }

 private:
  const api::Context* const context_;
  AgentRegistry* const registry_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAdminService(const api::Context* context,
                                                AgentRegistry* registry) {
  return std::make_unique<AdminService>(context, registry);
}

}  // namespace trainyard::rpc
