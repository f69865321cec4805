// See server.h.
#include "scheduler/rpc/server.h"

#include <arpa/inet.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/file.h"
#include "scheduler/rpc/auth.h"
#include "scheduler/rpc/policy.h"
#include "scheduler/rpc/services.h"

namespace trainyard::rpc {
namespace {

constexpr int kMessageBytesMax = 4 << 20;
constexpr int kMetadataBytesMax = 16 << 10;
constexpr int kStreamsMax = 1024;  // of one connection
constexpr size_t kUnixPathBytesMax = 100;
constexpr absl::Duration kGoodbye = absl::Milliseconds(500);

std::string HostOf(absl::string_view address) {
  if (absl::ConsumePrefix(&address, "[")) {
    return std::string(address.substr(0, address.find(']')));
  }
  return std::string(address.substr(0, address.rfind(':')));
}

// Numbers alone: a name such as 127.example.org is anybody's.
bool IsLoopback(const std::string& host) {
  in_addr parsed;
  return host == "localhost" || host == "::1" ||
         (absl::StartsWith(host, "127.") && inet_pton(AF_INET, host.c_str(), &parsed) == 1);
}

class GrpcServer : public Server {
 public:
  GrpcServer(const api::Context* context, AgentRegistry* registry, MetricHub* hub) {
    services_.push_back(MakeJobService(context));
    services_.push_back(MakeStudyService(context));
    services_.push_back(MakeInsightService(context));
    services_.push_back(MakeQueueService(context));
    services_.push_back(MakeNodeService(context, registry));
    services_.push_back(MakeArtifactService(context));
    services_.push_back(MakeAdminService(context, registry));
    services_.push_back(MakeAgentService(context, registry, hub));
    processor_ = std::make_shared<TokenProcessor>(context);
  }
  ~GrpcServer() override {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kGoodbye));
    server_->Wait();
  }
  std::string tcp_address() const override { return tcp_address_; }
  std::string unix_address() const override { return unix_address_; }

  absl::Status Listen(const ServerOptions& options) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMessageBytesMax);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsMax);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
    for (const auto& service : services_) builder.RegisterService(service.get());
    int port = 0;
    if (absl::Status status = AddUnix(options, &builder); !status.ok()) return status;
    if (absl::Status status = AddTcp(options, &builder, &port); !status.ok()) return status;
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || (!options.listen.empty() && port == 0)) {
      return MakeError(
          absl::StatusCode::kUnavailable, "UNAVAILABLE",
          absl::StrCat("cannot listen on ", options.listen, " and ", options.unix_path),
          "choose a free address with --listen, or end the program that holds it");
    }
    if (!options.unix_path.empty()) {
      unix_address_ = absl::StrCat("unix://", options.unix_path);
    }
    if (port != 0) {
      const std::string host = HostOf(options.listen);
      tcp_address_ = absl::StrContains(host, ":") ? absl::StrCat("[", host, "]:", port)
                                                  : absl::StrCat(host, ":", port);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status AddUnix(const ServerOptions& options, grpc::ServerBuilder* builder) {
    if (options.unix_path.empty()) return absl::OkStatus();
    if (options.unix_path.size() > kUnixPathBytesMax) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                       absl::StrCat("the path of the socket ", options.unix_path, " has ",
                                    options.unix_path.size(), " characters, at most ",
                                    kUnixPathBytesMax, " are possible"),
                       "choose a shorter state folder with --state_dir or TRAINYARD_STATE");
    }
    // Left by a scheduler that was killed; the lock of the state folder says that none runs.
    unlink(options.unix_path.c_str());
    auto credentials = grpc::experimental::LocalServerCredentials(UDS);
    credentials->SetAuthMetadataProcessor(processor_);
    builder->AddListeningPort(absl::StrCat("unix://", options.unix_path), credentials);
    return absl::OkStatus();
  }

  absl::Status AddTcp(const ServerOptions& options, grpc::ServerBuilder* builder, int* port) {
    if (options.listen.empty()) return absl::OkStatus();
    const bool has_tls = !options.tls_certificate_file.empty() && !options.tls_key_file.empty();
    absl::Status status = CheckListenAddress("listen", options.listen, has_tls);
    if (!status.ok()) return status;
    std::shared_ptr<grpc::ServerCredentials> credentials;
    if (has_tls) {
      const absl::StatusOr<std::string> certificate = ReadFile(options.tls_certificate_file);
      if (!certificate.ok()) return certificate.status();
      const absl::StatusOr<std::string> key = ReadFile(options.tls_key_file);
      if (!key.ok()) return key.status();
      grpc::SslServerCredentialsOptions tls;
      tls.pem_key_cert_pairs.push_back({*key, *certificate});
      credentials = grpc::SslServerCredentials(tls);
    } else {
      credentials = grpc::experimental::LocalServerCredentials(LOCAL_TCP);
    }
    credentials->SetAuthMetadataProcessor(processor_);
    builder->AddListeningPort(options.listen, credentials, port);
    return absl::OkStatus();
  }

  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::shared_ptr<TokenProcessor> processor_;
  std::unique_ptr<grpc::Server> server_;
  std::string tcp_address_;
  std::string unix_address_;
};

}  // namespace

absl::Status CheckListenAddress(absl::string_view flag, absl::string_view address, bool has_tls) {
  const std::string host = HostOf(address);
  if (has_tls || IsLoopback(host)) return absl::OkStatus();
  const bool every = host.empty() || host == "0.0.0.0" || host == "::" || host == "*";
  const std::string name = every ? "$(hostname -f)" : host;
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "INSECURE_ADDRESS",
      absl::StrCat("--", flag, "=", address,
                   " can be reached from other machines, and there is no TLS: tokens and programs "
                   "would travel in the clear"),
      absl::StrCat("make a certificate and give it:\n"
                   "    openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=",
                   name, " -addext subjectAltName=DNS:", name,
                   " -keyout key.pem -out cert.pem\n"
                   "    trainyard-scheduler --",
                   flag, "=", address,
                   " --tls_cert=cert.pem --tls_key=key.pem ...\n"
                   "  or stay on this machine: --",
                   flag, "=127.0.0.1:0"),
      flag);
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const api::Context* context,
                                                      AgentRegistry* registry, MetricHub* hub,
                                                      const ServerOptions& options) {
  if (const std::vector<std::string> missing = MethodsWithoutPolicy(); !missing.empty()) {
    return absl::InternalError(
        absl::StrCat("methods without a policy: ", absl::StrJoin(missing, ", ")));
  }
  auto server = std::make_unique<GrpcServer>(context, registry, hub);
  if (absl::Status status = server->Listen(options); !status.ok()) return status;
  return server;
}

}  // namespace trainyard::rpc
