// Channel, credentials, errors and repetition of the client; see call.h.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "client/sdk/call.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/grpc_status.h"
#include "common/random.h"
#include "common/sha256.h"

namespace trainyard::client {
namespace {

constexpr int kReconnectBackoffMinMs = 50;
constexpr int kReconnectBackoffMaxMs = 1000;
constexpr int kMessageBytesMax = 64 << 20;

std::shared_ptr<grpc::ChannelCredentials> CredentialsFor(const Endpoint& endpoint) {
  if (!endpoint.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  if (!endpoint.ca_file.empty()) {
    // FindEndpoint has read it; one that vanished since leaves no roots and fails the handshake.
    options.pem_root_certs = ReadFile(endpoint.ca_file).value_or("");
  }
  return grpc::SslCredentials(options);
}

absl::Status Unreachable(const Endpoint& endpoint, const std::string& detail) {
  std::string fix = "start one here: trainyard up; look closer: trainyard doctor";
  if (endpoint.tls && !endpoint.ca_file.empty()) {
    fix = absl::StrCat("check the address and the CA file ", endpoint.ca_file,
                       "; look closer: trainyard doctor");
  } else if (endpoint.tls) {
    fix =
        "check the address, or give the cluster's CA with --ca-file; look closer: "
        "trainyard doctor";
  }
  return MakeError(
      absl::StatusCode::kUnavailable, "SCHEDULER_UNREACHABLE",
      absl::StrCat("the scheduler does not answer at ", endpoint.address, " (address from ",
                   endpoint.address_source, ")", detail.empty() ? "" : absl::StrCat(": ", detail)),
      fix);
}

}  // namespace

std::string NewRequestId() { return HexOf(SecretBytes(16)); }

void Client::Connection::Open() {
  std::call_once(opened, [this] {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectBackoffMinMs);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectBackoffMaxMs);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectBackoffMaxMs);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
    channel = grpc::CreateCustomChannel(endpoint.address, CredentialsFor(endpoint), arguments);
    jobs = v1::JobService::NewStub(channel);
    studies = v1::StudyService::NewStub(channel);
    insights = v1::InsightService::NewStub(channel);
    nodes = v1::NodeService::NewStub(channel);
    artifacts = v1::ArtifactService::NewStub(channel);
    admin = v1::AdminService::NewStub(channel);
  });
}

void Client::Connection::Prepare(grpc::ClientContext* context, bool is_stream) const {
  if (!endpoint.token.empty()) {
    context->AddMetadata("authorization", absl::StrCat("Bearer ", endpoint.token));
  }
  if (is_stream) return;
  context->set_deadline(std::chrono::system_clock::now() +
                        absl::ToChronoMilliseconds(options.call_timeout));
}

absl::Status Client::Connection::ErrorOf(const grpc::Status& status) const {
  const bool ours = !status.error_details().empty();
  if (!ours && status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return Unreachable(endpoint, answered ? "it answered before and went away" : "");
  }
  if (!ours && status.error_code() == grpc::StatusCode::UNAUTHENTICATED) {
    const std::string source = endpoint.token_source.empty()
                                   ? "no token was given"
                                   : "token from " + endpoint.token_source;
    return MakeError(absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED",
                     absl::StrCat(status.error_message(), " (", source, ")"),
                     "give a valid one: --token, TRAINYARD_TOKEN or trainyard config set token");
  }
  return FromGrpcStatus(status);
}

bool Client::Connection::MayRetry(const grpc::Status& status, absl::Duration elapsed) const {
  const bool ours = !status.error_details().empty();
  // A server that shuts down cancels the calls it has; we cancel none.
  const bool away = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                    (status.error_code() == grpc::StatusCode::CANCELLED && !ours);
  return away && (ours || answered) && elapsed < options.retry_for;
}

void WaitBeforeRetry(int attempt) {
  absl::SleepFor(absl::Milliseconds(std::min(50 << std::min(attempt, 5), 1000)));
}

Client::Client(Endpoint endpoint, ClientOptions options)
    : connection_(std::make_unique<Connection>(std::move(endpoint), options)) {}
Client::~Client() = default;

const Endpoint& Client::endpoint() const { return connection_->endpoint; }

}  // namespace trainyard::client
