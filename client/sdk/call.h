// How the client makes a call: channel and stubs, token, deadline, repetition. Private to the SDK.
//
// Invariants: the channel is made at the first call; a try that failed with UNAVAILABLE is repeated
// with the same request, request id included, while the scheduler has answered before or says
// itself that it is busy. Thread-safe.
#ifndef TRAINYARD_CLIENT_SDK_CALL_H_
#define TRAINYARD_CLIENT_SDK_CALL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "client/sdk/client.h"
#include "trainyard/v1/admin.grpc.pb.h"
#include "trainyard/v1/artifact.grpc.pb.h"
#include "trainyard/v1/insight.grpc.pb.h"
#include "trainyard/v1/job.grpc.pb.h"
#include "trainyard/v1/node.grpc.pb.h"
#include "trainyard/v1/queue.grpc.pb.h"
#include "trainyard/v1/study.grpc.pb.h"

namespace trainyard::client {

struct Client::Connection {
  Connection(Endpoint where, ClientOptions how) : endpoint(std::move(where)), options(how) {}

  // Makes the channel and the stubs once.
  void Open();
  // Token and deadline.
  void Prepare(grpc::ClientContext* context, bool is_stream) const;
  // Our error for a failed try; UNAVAILABLE without our details becomes SCHEDULER_UNREACHABLE.
  absl::Status ErrorOf(const grpc::Status& status) const;
  // Whether a try that failed so should be repeated, `elapsed` after the first one began.
  bool MayRetry(const grpc::Status& status, absl::Duration elapsed) const;

  const Endpoint endpoint;
  const ClientOptions options;
  std::once_flag opened;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::JobService::Stub> jobs;
  std::unique_ptr<v1::StudyService::Stub> studies;
  std::unique_ptr<v1::InsightService::Stub> insights;
  std::unique_ptr<v1::NodeService::Stub> nodes;
  std::unique_ptr<v1::ArtifactService::Stub> artifacts;
  std::unique_ptr<v1::AdminService::Stub> admin;
  std::unique_ptr<v1::QueueService::Stub> queues;
  std::atomic<bool> answered{false};
};

// Waits before try number `attempt` + 1: 50 ms doubled each time, at most 1 s.
void WaitBeforeRetry(int attempt);

// One unary call, repeated as told above. `stub` is a member of Connection.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> CallUnary(Client::Connection* connection,
                                   std::unique_ptr<Stub> Client::Connection::*stub,
                                   grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                const Request&, Response*),
                                   Request request) {
  if constexpr (requires { request.set_request_id(std::string()); }) {
    if (request.request_id().empty()) request.set_request_id(NewRequestId());
  }
  connection->Open();
  const absl::Time start = absl::Now();
  for (int attempt = 0;; ++attempt) {
    grpc::ClientContext context;
    connection->Prepare(&context, /*is_stream=*/false);
    Response response;
    const grpc::Status status = ((connection->*stub).get()->*method)(&context, request, &response);
    if (status.ok()) {
      connection->answered = true;
      return response;
    }
    if (!connection->MayRetry(status, absl::Now() - start)) return connection->ErrorOf(status);
    WaitBeforeRetry(attempt);
  }
}

}  // namespace trainyard::client

#endif  // TRAINYARD_CLIENT_SDK_CALL_H_
