// trainyard up: a cluster on this machine, scheduler, store and one agent, ready for jobs when the
// command returns. Again: finds it running.
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/daemon.h"
#include "client/cli/embedded.h"
#include "client/cli/fault_list.h"
#include "client/sdk/client.h"
#include "client/sdk/settings.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/spec/bytes.h"

namespace trainyard::cli {
namespace {

constexpr int kCoresMax = 4096;
constexpr int64_t kMemoryMin = int64_t{64} << 20;

absl::StatusOr<StartOptions> OptionsOf(const Arguments& arguments) {
  StartOptions options;
  options.node_id = arguments.Get("node-id", "local");
  if (absl::Status status = CheckId("node", options.node_id); !status.ok()) return status;
  options.listen = arguments.Get("listen");
  options.http_listen = arguments.Get("http-listen");
  options.memory = arguments.Get("memory");
  const absl::StatusOr<int64_t> cores = arguments.Int("cores", 0, 1, kCoresMax);
  if (!cores.ok()) return cores.status();
  options.cores = static_cast<int>(*cores);
  const absl::StatusOr<absl::Duration> patience = arguments.Duration("timeout", absl::Seconds(30));
  if (!patience.ok()) return patience.status();
  options.patience = *patience;
  for (const char* flag : {"tls-cert", "tls-key"}) {
    if (!arguments.Has(flag)) continue;
    options.scheduler_flags.push_back(absl::StrCat(
        "--", flag == std::string("tls-cert") ? "tls_cert" : "tls_key", "=", arguments.Get(flag)));
  }
  return options;
}

// HOST:PORT, and TLS for anything but the loopback.
absl::Status CheckListen(const Arguments& arguments, const std::string& flag) {
  const std::string address = arguments.Get(flag);
  const size_t colon = address.rfind(':');
  int port = 0;
  if (address.empty() && !arguments.Has(flag)) return absl::OkStatus();
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return UsageError(absl::StrCat("\"", address, "\" is no address to listen on"),
                      "write HOST:PORT, for example 127.0.0.1:7450; port 0 takes a free one",
                      absl::StrCat("--", flag));
  }
  if (client::IsLoopback(address) || (arguments.Has("tls-cert") && arguments.Has("tls-key"))) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, "INSECURE_ADDRESS",
      absl::StrCat(address,
                   " can be reached from other machines, and there is no TLS: tokens and programs "
                   "would travel in the clear"),
      absl::StrCat("make a certificate: openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "
                   "/CN=$(hostname -f) -addext subjectAltName=DNS:$(hostname -f) -keyout key.pem "
                   "-out cert.pem, and give it: trainyard up --",
                   flag, " ", address, " --tls-cert cert.pem --tls-key key.pem"),
      absl::StrCat("--", flag));
}

absl::Status CheckFlags(const Arguments& arguments) {
  FaultList faults;
  for (const char* flag : {"listen", "http-listen"}) faults.Add(CheckListen(arguments, flag));
  for (const char* flag : {"tls-cert", "tls-key"}) {
    const std::string file = arguments.Get(flag);
    if (!arguments.Has(flag) || access(file.c_str(), R_OK) == 0) continue;
    faults.Add(MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                         absl::StrCat("\"", file, "\" cannot be read"), "name a PEM file",
                         absl::StrCat("--", flag)));
  }
  if (arguments.Has("tls-cert") != arguments.Has("tls-key")) {
    faults.Add(UsageError("a certificate and its key are given together",
                          "give --tls-cert FILE --tls-key FILE",
                          arguments.Has("tls-cert") ? "--tls-key" : "--tls-cert"));
  }
  const std::optional<int64_t> memory = spec::ParseBytes(arguments.Get("memory", "1GiB"));
  if (!memory.has_value() || *memory < kMemoryMin) {
    faults.Add(UsageError(absl::StrCat("\"", arguments.Get("memory"), "\" is no amount to offer"),
                          "write 64MiB or more, for example 16GiB", "--memory"));
  }
  return faults.Take();
}

// What was asked for and cannot be had while the cluster runs.
void SayWithoutEffect(const Arguments& arguments, const Started& started, Console* console) {
  std::vector<std::string> idle;
  for (const auto& [flag, running] : {std::pair("listen", started.scheduler_was_running),
                                      std::pair("http-listen", started.scheduler_was_running),
                                      std::pair("tls-cert", started.scheduler_was_running),
                                      std::pair("tls-key", started.scheduler_was_running),
                                      std::pair("node-id", started.agent_was_running),
                                      std::pair("cores", started.agent_was_running),
                                      std::pair("memory", started.agent_was_running)}) {
    if (running && arguments.Has(flag)) idle.push_back(absl::StrCat("--", flag));
  }
  if (idle.empty()) return;
  console->Note(absl::StrCat(absl::StrJoin(idle, ", "), idle.size() > 1 ? " have" : " has",
                             " no effect on what runs already; trainyard down first"));
}

absl::Status RefuseForeignEndpoint(Context* context) {
  const std::string what = "up starts a cluster here, but an endpoint is named elsewhere";
  const std::string foreign = context->environment()("TRAINYARD_ENDPOINT");
  if (!foreign.empty() || !context->endpoint_flags().endpoint.empty()) {
    return UsageError(what, "leave out --endpoint, and: unset TRAINYARD_ENDPOINT");
  }
  const std::string file = client::ConfigFile(context->environment());
  const absl::StatusOr<client::Settings> settings = client::ReadSettings(file);
  if (!settings.ok()) return settings.status();
  if (settings->count("endpoint") == 0) return absl::OkStatus();
  return UsageError(absl::StrCat(what, ": ", settings->at("endpoint"), " in ", file),
                    "other commands would go there: trainyard config unset endpoint");
}

// Commands that follow would show this cluster a token that is not of it.
void SayForeignToken(Context* context) {
  client::EndpointFlags own;
  own.embedded = true;
  const auto here = client::FindEndpoint(own, context->environment());
  const auto usual = client::FindEndpoint(context->endpoint_flags(), context->environment());
  if (!here.ok() || !usual.ok() || here->token == usual->token) return;
  context->console().Note(absl::StrCat("commands will use the token of ", usual->token_source,
                                       ", which is not this cluster's own; remove it there"));
}

// Says whether scheduler and agent run; NOT_RUNNING (exit code 6) when they do not.
absl::Status PrintStatus(Context* context) {
  const EmbeddedFolders folders = FoldersOf(client::StateFolder(context->environment()));
  const pid_t scheduler = LivingPid(folders.scheduler_pid_file);
  const pid_t agent = LivingPid(folders.agent_pid_file);
  if (scheduler == 0 || agent == 0) {
    return MakeError(absl::StatusCode::kUnavailable, "NOT_RUNNING",
                     absl::StrCat("the cluster of ", folders.state, " does not run",
                                  scheduler != 0 ? " (its agent has ended)" : ""),
                     "trainyard up");
  }
  context->console().OutLine(absl::StrCat("running: scheduler pid ", scheduler, ", agent pid ",
                                          agent, ", state ", folders.state));
  return absl::OkStatus();
}

absl::Status Up(Context* context, const Arguments& arguments) {
  if (arguments.Has("status")) return PrintStatus(context);
  if (absl::Status status = RefuseForeignEndpoint(context); !status.ok()) return status;
  const absl::StatusOr<StartOptions> options = OptionsOf(arguments);
  if (!options.ok()) return options.status();
  if (absl::Status status = CheckFlags(arguments); !status.ok()) return status;
  const absl::StatusOr<Started> started = StartEmbedded(context, *options);
  if (!started.ok()) return started.status();
  const std::string state = client::StateFolder(context->environment());
  const auto endpoint = client::ReadEmbeddedEndpoint(state);
  if (!endpoint.ok()) return endpoint.status();
  Console& console = context->console();
  SayWithoutEffect(arguments, *started, &console);
  SayForeignToken(context);
  if (context->quiet) {
    console.OutLine(endpoint->grpc);
    return absl::OkStatus();
  }
  const bool before = started->scheduler_was_running && started->agent_was_running;
  console.OutLine(absl::StrCat(before ? "Trainyard was running already" : "Trainyard is ready",
                               ": ", endpoint->grpc, " (also ", endpoint->grpc_tcp, ")"));
  if (geteuid() == 0) {
    console.Note(
        "running as root: jobs run as root too; use a user of its own for anything but a trial");
  }
  console.ErrLine(absl::StrCat("state:  ", state));
  console.ErrLine("next:   trainyard run PROGRAM [ARGS...]");
  console.ErrLine("        trainyard nodes");
  console.ErrLine("        trainyard down");
  return absl::OkStatus();
}

}  // namespace

Command UpCommand() {
  Command command;
  command.words = "up";
  command.summary = "Start a cluster on this machine: scheduler, store and one agent.";
  command.examples = {"trainyard up", "trainyard up --cores 4"};
  command.flags = {
      {.name = "cores", .value = "N", .help = "offer so many cores; default all"},
      {.name = "memory", .value = "SIZE", .help = "offer so much memory, for example 16GiB"},
      {.name = "node-id", .value = "NAME", .help = "default local"},
      {.name = "listen", .value = "HOST:PORT", .help = "gRPC; default a free port of 127.0.0.1"},
      {.name = "http-listen", .value = "HOST:PORT", .help = "the store; likewise"},
      {.name = "tls-cert",
       .value = "FILE",
       .help = "PEM; needed beyond the loopback",
       .complete = Complete::kFile},
      {.name = "tls-key", .value = "FILE", .help = "PEM", .complete = Complete::kFile},
      {.name = "status", .help = "start nothing; exit code 0 when it runs, 6 when not"},
      {.name = "timeout", .value = "D", .help = "how long to wait until ready; default 30s"}};
  command.notes = {
      "State lies in ${TRAINYARD_STATE:-${XDG_STATE_HOME:-~/.local/state}/trainyard}. Everything "
      "submitted survives a stop and a crash."};
  command.run = Up;
  return command;
}

}  // namespace trainyard::cli
