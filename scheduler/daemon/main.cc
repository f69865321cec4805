// trainyard-scheduler: journal, runtime, store, gRPC and HTTP in one process. Ends in order on
// SIGTERM and SIGINT; a failed journal ends it at once.
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/logging.h"
#include "common/steady_clock.h"
#include "common/version.h"
#include "glog/logging.h"
#include "scheduler/api/artifacts.h"
#include "scheduler/daemon/bootstrap.h"
#include "scheduler/daemon/state_folder.h"
#include "scheduler/journal/journal.h"
#include "scheduler/rpc/server.h"
#include "scheduler/store/store.h"

ABSL_FLAG(std::string, state_dir, "", "folder of all state; made at first start");
ABSL_FLAG(std::string, listen, "127.0.0.1:0", "gRPC address; other than loopback needs TLS");
ABSL_FLAG(std::string, http_listen, "127.0.0.1:0", "HTTP address of the store");
ABSL_FLAG(std::string, advertise, "",
          "name or address by which other machines reach this one; default: that of --listen and "
          "--http_listen, or the host's name where they listen everywhere");
ABSL_FLAG(std::string, tls_cert, "", "certificate (PEM) of both addresses");
ABSL_FLAG(std::string, tls_key, "", "its key (PEM)");
ABSL_FLAG(std::string, embedded_node, "", "makes agent.token for the agent of this node");
ABSL_FLAG(std::string, policy, "las-r", "how waiting jobs are served; queues may have their own");
ABSL_FLAG(absl::Duration, min_run, absl::ZeroDuration(),
          "how long a job runs before it may be preempted for another; 0: as the policy says");
ABSL_FLAG(std::vector<std::string>, policy_set, {},
          "NAME=NUMBER of --policy, several with commas; the names are in docs/placement.md");
ABSL_FLAG(absl::Duration, lease, absl::Seconds(15), "how long an agent may be silent");

namespace trainyard::daemon {
namespace {

// What others are told: the name that the certificate is for instead of "everywhere".
std::string Advertised(const std::string& address) {
  const size_t colon = address.rfind(':');
  const std::string host = address.substr(0, colon);
  std::string name = absl::GetFlag(FLAGS_advertise);
  if (name.empty() && host != "0.0.0.0" && host != "[::]") return address;
  char own[HOST_NAME_MAX + 1] = "localhost";
  if (name.empty() && gethostname(own, sizeof own) == 0) name = own;
  return absl::StrCat(name, address.substr(colon));
}

std::string AdvertisedStore(const std::string& address) {
  const bool has_tls = !absl::GetFlag(FLAGS_tls_cert).empty();
  return absl::StrCat(has_tls ? "https://" : "", Advertised(address));
}

absl::StatusOr<placement::Policy> PolicyFromFlags() {
  const std::string name = absl::GetFlag(FLAGS_policy);
  std::optional<placement::Policy> policy = placement::PolicyNamed(name);
  if (!policy.has_value()) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "USAGE", absl::StrCat("there is no policy ", name),
        absl::StrCat("give --policy=", absl::StrJoin(placement::PolicyNames(), " or --policy=")));
  }
  for (const std::string& setting : absl::GetFlag(FLAGS_policy_set)) {
    const std::vector<std::string> parts = absl::StrSplit(setting, absl::MaxSplits('=', 1));
    double value = 0;
    const bool good = parts.size() == 2 && absl::SimpleAtod(parts[1], &value) && value >= 0 &&
                      placement::SetParameter(parts[0], value, &*policy);
    if (good) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "USAGE",
                     absl::StrCat("--policy_set: ", setting),
                     absl::StrCat("write NAME=NUMBER with one of ",
                                  absl::StrJoin(placement::ParameterNames(), ", ")));
  }
  const absl::Duration min_run = absl::GetFlag(FLAGS_min_run);
  if (min_run > absl::ZeroDuration()) policy->min_run_us = absl::ToInt64Microseconds(min_run);
  return *policy;
}

absl::Status CheckAddresses() {
  const bool has_tls =
      !absl::GetFlag(FLAGS_tls_cert).empty() && !absl::GetFlag(FLAGS_tls_key).empty();
  absl::Status status = rpc::CheckListenAddress("listen", absl::GetFlag(FLAGS_listen), has_tls);
  if (!status.ok()) return status;
  return rpc::CheckListenAddress("http_listen", absl::GetFlag(FLAGS_http_listen), has_tls);
}

// The store answers before the runtime is there; until `ready` nobody is let in.
absl::StatusOr<std::unique_ptr<store::HttpServer>> StartStoreServer(
    store::Store* store, const api::Context* context, const std::atomic<bool>* ready) {
  store::HttpServer::Options options;
  options.listen = absl::GetFlag(FLAGS_http_listen);
  options.tls_certificate_file = absl::GetFlag(FLAGS_tls_cert);
  options.tls_key_file = absl::GetFlag(FLAGS_tls_key);
  options.authorize =
      [context, ready](absl::string_view token) -> absl::StatusOr<store::HttpServer::Access> {
    if (!ready->load(std::memory_order_acquire)) {
      return absl::UnavailableError("the scheduler is starting; try again");
    }
    return api::AuthorizeStore(*context, token);
  };
  return store::StartHttpServer(store, std::move(options));
}

void WaitForSignal(const sigset_t& signals) {
  int caught = 0;
  sigwait(&signals, &caught);
  LOG(INFO) << "stopping signal=" << caught;
}

absl::Status Seed(const StateFolder& folder, runtime::Runtime* runtime) {
  absl::Status status = SeedSettings(runtime);
  if (!status.ok()) return status;
  absl::StatusOr<std::string> owner = folder.TokenIn("token");
  if (!owner.ok()) return owner.status();
  status = AdmitOwner(runtime, *owner);
  if (!status.ok() || absl::GetFlag(FLAGS_embedded_node).empty()) return status;
  absl::StatusOr<std::string> agent = folder.TokenIn("agent.token");
  if (!agent.ok()) return agent.status();
  return AdmitAgent(runtime, *agent, absl::GetFlag(FLAGS_embedded_node));
}

absl::StatusOr<std::unique_ptr<runtime::Runtime>> StartRuntime(const StateFolder& folder,
                                                               const api::Context& context,
                                                               const Clock* clock,
                                                               journal::Journal* journal,
                                                               rpc::AgentRegistry* registry) {
  runtime::Options options;
  options.clock = clock;
  options.version = BuildVersion();
  options.token_secret = context.secret;
  options.store_address = context.http_address;
  options.state_folder = folder.Path("");
  options.lease = absl::GetFlag(FLAGS_lease);
  absl::StatusOr<placement::Policy> policy = PolicyFromFlags();
  if (!policy.ok()) return policy.status();
  options.policy = *policy;
  return runtime::Runtime::Start(journal, registry, std::move(options));
}

absl::Status Serve(const StateFolder& folder, const sigset_t& signals) {
  api::Context context;
  context.version = BuildVersion();
  context.start_time = context.clock->Now();
  absl::StatusOr<std::string> secret = folder.Secret();
  if (!secret.ok()) return secret.status();
  context.secret = *secret;
  auto store = store::OpenStore(folder.Path("store"));
  if (!store.ok()) return store.status();
  context.store = store->get();
  auto journal = journal::OpenSqliteJournal(folder.Path("scheduler/journal.db"));
  if (!journal.ok()) return journal.status();

  rpc::AgentRegistry registry;
  std::atomic<bool> ready{false};
  auto http = StartStoreServer(store->get(), &context, &ready);
  if (!http.ok()) return http.status();
  context.http_address = AdvertisedStore((*http)->address());
  const SteadyClock clock(&RealClock());
  auto runtime = StartRuntime(folder, context, &clock, journal->get(), &registry);
  if (!runtime.ok()) return runtime.status();
  context.runtime = runtime->get();
  ready.store(true, std::memory_order_release);
  absl::Status status = Seed(folder, runtime->get());
  if (!status.ok()) return status;
  if (!absl::GetFlag(FLAGS_tls_cert).empty()) {
    absl::StatusOr<std::string> certificate = ReadFile(absl::GetFlag(FLAGS_tls_cert));
    if (!certificate.ok()) return certificate.status();
    context.ca_certificate = *certificate;
  }

  rpc::MetricHub hub(runtime->get(), context.clock);
  rpc::ServerOptions server_options{folder.Path("scheduler.sock"), absl::GetFlag(FLAGS_listen),
                                    absl::GetFlag(FLAGS_tls_cert), absl::GetFlag(FLAGS_tls_key)};
  auto server = rpc::Server::Start(&context, &registry, &hub, server_options);
  if (!server.ok()) return server.status();
  context.join_address = Advertised((*server)->tcp_address());
  const Endpoint endpoint{(*server)->unix_address(), (*server)->tcp_address(), (*http)->address(),
                          (*runtime)->view().incarnation()};
  status = folder.WriteEndpoint(endpoint);
  if (!status.ok()) return status;
  LOG(INFO) << "serving grpc=" << endpoint.grpc << " tcp=" << endpoint.grpc_tcp
            << " http=" << endpoint.http << " incarnation=" << endpoint.incarnation;
  WaitForSignal(signals);
  folder.RemoveEndpoint();
  // In the order opposite to starting: no calls, then no bytes, then the journal to its end.
  server->reset();
  http->reset();
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "The scheduler of Trainyard: accepts jobs, places them, keeps them.");
  absl::ParseCommandLine(argc, argv);
  umask(077);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  StartLogging("trainyard-scheduler");
  absl::Status status = CheckAddresses();
  if (status.ok()) status = PolicyFromFlags().status();
  if (status.ok()) {
    std::string path = absl::GetFlag(FLAGS_state_dir);
    if (path.empty()) path = StateFolder::DefaultPath();
    absl::StatusOr<StateFolder> folder = StateFolder::Open(path);
    status = folder.ok() ? Serve(*folder, signals) : folder.status();
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "trainyard-scheduler: %s\n", FormatFaults(FaultsOf(status)).c_str());
  return 1;
}

}  // namespace
}  // namespace trainyard::daemon

int main(int argc, char** argv) { return trainyard::daemon::Main(argc, argv); }
