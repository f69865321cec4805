// Channel, credentials, errors and repetition of the client; see call.h.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/match.h"
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
constexpr size_t kSaidBytesMax = 200;
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

// What gRPC says about a connection that failed, in words of ours where we know them.
std::string WhyNot(const Endpoint& endpoint, absl::string_view said) {
  if (absl::StrContains(said, "onnection refused")) return "nothing listens there";
  if (absl::StrContains(said, "No such file")) return "there is no such socket";
  if (absl::StrContains(said, "DNS resolution failed") ||
      absl::StrContains(said, "Domain name not found")) {
    return "the name of the host is not known here";
  }
  if (absl::StrContains(said, "CERTIFICATE_VERIFY_FAILED") ||
      absl::StrContains(said, "certificate verify failed")) {
    return "its certificate is not of an authority known here, or of another name";
  }
  if (absl::StrContains(said, "wrong version number") || absl::StrContains(said, "andshake") ||
      absl::StrContains(said, "SSL")) {
    return "something listens there that speaks no TLS";
  }
  if (absl::StrContains(said, "http1")) {
    return "a web server listens there; the store, too, has a port of its own";
  }
  if (absl::StrContains(said, "Socket closed") || absl::StrContains(said, "onnection reset") ||
      absl::StrContains(said, "GOAWAY") || absl::StrContains(said, "settings")) {
    return endpoint.tls ? "something listens there that is no Trainyard scheduler"
                        : "something listens there that speaks TLS, or is no Trainyard scheduler";
  }
  return std::string(said.substr(0, kSaidBytesMax));
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
    queues = v1::QueueService::NewStub(channel);
  });
}

void Client::Connection::Prepare(grpc::ClientContext* context, bool is_stream) const {
  if (!endpoint.token.empty()) {
    context->AddMetadata("authorization", absl::StrCat("Bearer ", endpoint.token));
  }
  context->AddMetadata(kClientVersionKey, options.version);
  if (is_stream) return;
  context->set_deadline(std::chrono::system_clock::now() +
                        absl::ToChronoMilliseconds(options.call_timeout));
}

absl::Status Client::Connection::ErrorOf(const grpc::Status& status) const {
  const bool ours = !status.error_details().empty();
  if (!ours && status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return Unreachable(endpoint, answered ? "it answered before and went away"
                                          : WhyNot(endpoint, status.error_message()));
  }
  if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED) {
    const std::string source = endpoint.token_source.empty()
                                   ? "no token was given"
                                   : "token from " + endpoint.token_source;
    const std::string why = FaultsOf(FromGrpcStatus(status)).faults(0).message();
    return MakeError(absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED",
                     absl::StrCat(why, " (", source, ")"),
                     "give a valid one: --token, TRAINYARD_TOKEN or trainyard config set token; an "
                     "administrator makes it: trainyard token create USER");
  }
  if (!ours && status.error_code() == grpc::StatusCode::FAILED_PRECONDITION) {
    // Only the check of versions answers so before a handler, which sends text alone.
    const v1::Fault fault = FaultsOf(FromGrpcStatus(status)).faults(0);
    return MakeError(absl::StatusCode::kFailedPrecondition, "VERSION_MISMATCH", fault.message(),
                     fault.fix());
  }
  if (!ours && status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "VERSION_MISMATCH",
                     absl::StrCat("the scheduler at ", endpoint.address,
                                  " does not know this call; it is older than this client (",
                                  options.version, "), or no Trainyard scheduler"),
                     "compare both sides: trainyard version; then update the older one");
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
