// See grpc_channels.h.
#include "worker/agent/grpc_channels.h"

#include <arpa/inet.h>
#include <glog/logging.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/grpc_status.h"
#include "common/random.h"
#include "trainyard/agent/v1/agent.grpc.pb.h"
#include "worker/agent/stream_client.h"

namespace trainyard::worker {
namespace {

using agent::v1::AgentMessage;
using agent::v1::AgentService;
using agent::v1::SchedulerMessage;
using agent::v1::TelemetryAck;
using agent::v1::TelemetryBatch;

constexpr int kMessageBytesMax = 4 << 20;
constexpr int kJoinSeconds = 30;
constexpr int kConnectMillis = 5000;
constexpr int kSpawnSeconds = 5;

// By the address itself: a name that merely looks like one may lead anywhere.
bool IsLoopback(const std::string& target) {
  const size_t colon = target.rfind(':');
  if (colon == std::string::npos) return false;
  const std::string host = target.substr(0, colon);
  in_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) {
    return (ntohl(address.s_addr) >> 24) == 127;
  }
  return host == "localhost" || host == "[::1]";
}
bool IsUnix(const std::string& target) { return absl::StartsWith(target, "unix:"); }

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const SchedulerAddress& address) {
  if (absl::Status safe = CheckAddress(address); !safe.ok()) return safe;
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (!address.ca_file.empty()) {
    absl::StatusOr<std::string> pem = ReadFile(address.ca_file);
    if (!pem.ok()) return pem.status();
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = *std::move(pem);
    credentials = grpc::SslCredentials(options);
  } else {
    credentials = grpc::experimental::LocalCredentials(IsUnix(address.target) ? UDS : LOCAL_TCP);
  }
  grpc::ChannelArguments arguments;
  const auto longest_ms = static_cast<int>(absl::ToInt64Milliseconds(address.reconnect_max));
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, std::min(100, longest_ms));
  // In gRPC this is how long one attempt to connect may take: enough for a busy machine.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMillis);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, longest_ms);
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  return grpc::CreateCustomChannel(address.target, credentials, arguments);
}

class Channels : public GrpcChannels {
  using ControlStream = StreamClient<AgentMessage, SchedulerMessage>;
  using TelemetryStream = StreamClient<TelemetryBatch, TelemetryAck>;

 public:
  Channels(EventLoop* loop, const std::shared_ptr<grpc::Channel>& channel,
           const SchedulerAddress& address)
      : loop_(loop),
        stub_(AgentService::NewStub(channel)),
        token_(address.token),
        control_(loop, token_, address.reconnect_max, ControlHandlers(), MixSeed(1, Seed())),
        telemetry_(loop, token_, address.reconnect_max, TelemetryHandlers(), MixSeed(2, Seed())) {}

  void Start(Events events) override {
    events_ = std::move(events);
    control_.Start();
    telemetry_.Start();
  }
  void SendControl(const AgentMessage& message) override { control_.Send(message); }
  void SendTelemetry(const TelemetryBatch& batch) override { telemetry_.Send(batch); }
  void Reconnect() override { control_.Restart(); }

  void SpawnDaemon(const agent::v1::SpawnDaemonRequest& request,
                   std::function<void(absl::Status)> done) override {
    struct Call {
      grpc::ClientContext context;
      agent::v1::SpawnDaemonRequest request;
      agent::v1::SpawnDaemonResponse response;
    };
    auto call = std::make_shared<Call>();
    call->request = request;
    call->context.AddMetadata("authorization", "Bearer " + token_);
    call->context.set_deadline(std::chrono::system_clock::now() +
                               std::chrono::seconds(kSpawnSeconds));
    stub_->async()->SpawnDaemon(
        &call->context, &call->request, &call->response,
        [loop = loop_, call, done = std::move(done)](const grpc::Status& status) {
          loop->Post([done, answer = FromGrpcStatus(status)] { done(answer); });
        });
  }

 private:
  ControlStream::Handlers ControlHandlers() {
    ControlStream::Handlers handlers;
    handlers.open = [this](grpc::ClientContext* context, ControlStream::Reactor* reactor) {
      stub_->async()->Control(context, reactor);
    };
    handlers.connecting = [this] { events_.control_connected(); };
    handlers.message = [this](SchedulerMessage message) {
      if (message.has_welcome()) {
        LOG(INFO) << "connected incarnation=" << message.welcome().incarnation();
        lost_ = false;
      }
      events_.control_message(message);
    };
    handlers.ended = [this](const grpc::Status& status) {
      if (!std::exchange(lost_, true)) {
        LOG(WARNING) << "the scheduler does not answer: " << FromGrpcStatus(status)
                     << "; members run on, trying again";
      }
      events_.control_disconnected();
    };
    return handlers;
  }

  TelemetryStream::Handlers TelemetryHandlers() {
    TelemetryStream::Handlers handlers;
    handlers.open = [this](grpc::ClientContext* context, TelemetryStream::Reactor* reactor) {
      stub_->async()->Telemetry(context, reactor);
    };
    handlers.connecting = [this] { events_.telemetry_connected(); };
    handlers.message = [this](const TelemetryAck& ack) { events_.telemetry_ack(ack.sequence()); };
    handlers.ended = [this](const grpc::Status& status) {
      const bool away = status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE;
      LOG_IF(WARNING, !away) << "the stream of logs and metrics ended: " << status.error_message();
      events_.telemetry_disconnected();
    };
    return handlers;
  }

  static uint64_t Seed() {
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
           static_cast<uint64_t>(getpid());
  }

  EventLoop* const loop_;
  const std::unique_ptr<AgentService::Stub> stub_;
  const std::string token_;
  Events events_;
  bool lost_ = false;
  ControlStream control_;
  TelemetryStream telemetry_;
};

}  // namespace

absl::Status CheckAddress(const SchedulerAddress& address) {
  if (IsUnix(address.target) || IsLoopback(address.target) || !address.ca_file.empty()) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "INSECURE_ADDRESS",
                   absl::StrCat("the scheduler at ", address.target,
                                " is on another machine and there is no certificate to know it by"),
                   "give --ca_file=FILE with the certificate of the scheduler's authority, or a "
                   "join token that the scheduler made with TLS on, which knows it");
}

absl::StatusOr<std::unique_ptr<GrpcChannels>> GrpcChannels::Make(EventLoop* loop,
                                                                 const SchedulerAddress& address) {
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = MakeChannel(address);
  if (!channel.ok()) return channel.status();
  return std::make_unique<Channels>(loop, *channel, address);
}

namespace {

// Why a join failed, and what to do about it on this machine.
absl::Status ExplainJoin(const SchedulerAddress& address, const absl::Status& why) {
  const std::string what =
      absl::StrCat("cannot join the cluster at ", address.target, ": ", std::string(why.message()));
  if (absl::IsUnauthenticated(why) || absl::IsPermissionDenied(why)) {
    return MakeError(why.code(), "JOIN_REFUSED", what,
                     "make another token with: trainyard join-token NODE, and give it with "
                     "--join_token_file=FILE; each admits one agent once");
  }
  if (!absl::IsUnavailable(why)) return why;
  return MakeError(why.code(), "SCHEDULER_UNREACHABLE", what,
                   address.ca_file.empty()
                       ? "check --scheduler=ADDRESS; a scheduler with TLS needs --ca_file=FILE too"
                       : absl::StrCat("check --scheduler=ADDRESS, and that --ca_file=",
                                      address.ca_file, " is the scheduler's certificate"));
}

}  // namespace

absl::StatusOr<agent::v1::JoinResponse> Join(const SchedulerAddress& address,
                                             const v1::NodeInventory& inventory) {
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = MakeChannel(address);
  if (!channel.ok()) return channel.status();
  agent::v1::JoinRequest request;
  request.set_join_token(address.token);
  *request.mutable_inventory() = inventory;
  agent::v1::JoinResponse response;
  grpc::ClientContext context;
  context.AddMetadata("authorization", absl::StrCat("Bearer ", address.token));
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(kJoinSeconds));
  const grpc::Status status = AgentService::NewStub(*channel)->Join(&context, request, &response);
  if (!status.ok()) return ExplainJoin(address, FromGrpcStatus(status));
  return response;
}

}  // namespace trainyard::worker
