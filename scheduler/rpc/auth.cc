// See auth.h.
#include "scheduler/rpc/auth.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/grpc_status.h"
#include "common/version.h"
#include "scheduler/rpc/policy.h"

namespace trainyard::rpc {
namespace {

constexpr absl::string_view kBearer = "Bearer ";
constexpr size_t kTokenBytesMax = 4096;

std::string TokenIn(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  const auto found = metadata.find("authorization");
  if (found == metadata.end()) return "";
  const absl::string_view value(found->second.data(), found->second.size());
  if (!absl::StartsWithIgnoreCase(value, kBearer) || value.size() > kTokenBytesMax) return "";
  return std::string(value.substr(kBearer.size()));
}

// A client too far from this version is told so, before anything else goes wrong between them; it
// may still ask what is here. Callers that tell no version are let through.
absl::Status CheckClientVersion(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata,
                                const api::Context& context, absl::string_view method) {
  const auto told = metadata.find(kClientVersionKey);
  if (told == metadata.end() || method == "/trainyard.v1.AdminService/GetServerInfo") {
    return absl::OkStatus();
  }
  return CheckNeighbours(absl::string_view(told->second.data(), told->second.size()),
                         context.version);
}

}  // namespace

grpc::Status TokenProcessor::Process(const InputMetadata& metadata, grpc::AuthContext*,
                                     OutputMetadata*, OutputMetadata*) {
  const auto path = metadata.find(":path");
  if (path == metadata.end()) {
    return ToGrpcStatus(MakeError(absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED",
                                  "the call names no method", "use a gRPC client"));
  }
  const absl::string_view method(path->second.data(), path->second.size());
  if (IsOpen(method)) return grpc::Status::OK;
  if (absl::Status status = CheckClientVersion(metadata, *context_, method); !status.ok()) {
    return ToGrpcStatus(status);
  }
  const absl::StatusOr<api::Identity> identity = api::Identify(*context_, TokenIn(metadata));
  if (!identity.ok()) return ToGrpcStatus(identity.status());
  return ToGrpcStatus(CheckPolicy(method, *identity));
}

std::string BearerOf(const grpc::ServerContextBase& call) {
  return TokenIn(call.client_metadata());
}

absl::StatusOr<api::Identity> CallerOf(const api::Context& context,
                                       const grpc::ServerContextBase& call) {
  return api::Identify(context, BearerOf(call));
}

}  // namespace trainyard::rpc
