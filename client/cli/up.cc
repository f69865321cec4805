// trainyard up: a cluster on this machine, scheduler, store and one agent, ready for jobs when the
// command returns. Again: finds it running.
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/daemon.h"
#include "client/cli/embedded.h"
#include "client/sdk/client.h"
#include "common/errors.h"
#include "common/names.h"

namespace trainyard::cli {
namespace {

constexpr int kCoresMax = 4096;

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

absl::Status RefuseForeignEndpoint(Context* context) {
  const std::string foreign = context->environment()("TRAINYARD_ENDPOINT");
  if (foreign.empty() && context->endpoint_flags().endpoint.empty()) return absl::OkStatus();
  return UsageError("up starts a cluster here, but an endpoint is named elsewhere",
                    "leave out --endpoint, and: unset TRAINYARD_ENDPOINT");
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
  const absl::StatusOr<Started> started = StartEmbedded(context, *options);
  if (!started.ok()) return started.status();
  const std::string state = client::StateFolder(context->environment());
  const auto endpoint = client::ReadEmbeddedEndpoint(state);
  if (!endpoint.ok()) return endpoint.status();
  Console& console = context->console();
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
