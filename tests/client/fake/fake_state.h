// What the fake scheduler remembers, and the checks every call passes. Private to the fake.
#ifndef TRAINYARD_TESTS_CLIENT_FAKE_FAKE_STATE_H_
#define TRAINYARD_TESTS_CLIENT_FAKE_FAKE_STATE_H_

#include <grpcpp/server_context.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "common/errors.h"
#include "common/grpc_status.h"
#include "tests/client/fake/fake_server.h"

namespace trainyard::client {

struct FakeServer::State {
  std::mutex mutex;
  std::map<std::string, v1::Job> jobs;
  std::map<std::string, std::vector<v1::LogLine>> logs;
  std::map<std::string, v1::Study> studies;
  std::map<std::string, std::vector<v1::Trial>> trials;
  std::map<std::string, v1::Node> nodes;
  std::map<std::string, std::vector<v1::JobState>> scripts;
  std::vector<v1::MetricPoint> metrics;
  v1::ListOutputsResponse outputs;
  v1::Grant grant;
  std::map<std::string, v1::Job> by_request;
  std::vector<v1::SubmitJobRequest> submits;
  std::map<std::string, int> calls;
  int lose = 0;
  int break_after = 0;
  int silent_ends = 0;

  // Token, and the count of calls.
  grpc::Status Enter(grpc::ServerContext* context, const char* method) {
    ++calls[method];
    const auto& metadata = context->client_metadata();
    const auto found = metadata.find("authorization");
    if (found == metadata.end() || found->second != std::string("Bearer ") + kFakeToken) {
      return ToGrpcStatus(MakeError(absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED",
                                    "the token is not valid", "give a valid token"));
    }
    return grpc::Status::OK;
  }

  // The answer, unless it is to be lost.
  grpc::Status Leave() {
    if (lose == 0) return grpc::Status::OK;
    --lose;
    return ToGrpcStatus(
        MakeError(absl::StatusCode::kUnavailable, "UNAVAILABLE", "busy", "try again"));
  }

  static grpc::Status NotFound(const std::string& name) {
    return ToGrpcStatus(MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                                  name + " does not exist", "see: trainyard jobs list"));
  }
};

}  // namespace trainyard::client

#endif  // TRAINYARD_TESTS_CLIENT_FAKE_FAKE_STATE_H_
