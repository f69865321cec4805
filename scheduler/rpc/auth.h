// The one choke point of authentication: gRPC asks the processor before any method runs, whether
// the method is known or not, on every port. The channel's auth context is shared by all calls of a
// connection, so nothing is stored there; a verb learns its caller from the same token again.
#ifndef TRAINYARD_SCHEDULER_RPC_AUTH_H_
#define TRAINYARD_SCHEDULER_RPC_AUTH_H_

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/server_context.h>

#include "absl/status/statusor.h"
#include "scheduler/api/identity.h"

namespace trainyard::rpc {

class TokenProcessor : public grpc::AuthMetadataProcessor {
 public:
  explicit TokenProcessor(const api::Context* context) : context_(context) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* auth_context,
                       OutputMetadata* consumed, OutputMetadata* response) override;

 private:
  const api::Context* const context_;
};

// "Bearer TOKEN" of the call's metadata; "" when there is none.
std::string BearerOf(const grpc::ServerContextBase& call);
// The caller of a method that the processor let through.
absl::StatusOr<api::Identity> CallerOf(const api::Context& context,
                                       const grpc::ServerContextBase& call);

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_AUTH_H_
