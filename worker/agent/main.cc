// trainyard-agent: the daemon on a node. Reads its flags, finds its token (or joins for one) and
// runs the agent's loop until SIGTERM. Programs that it started run on after its end.
#include <glog/logging.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/certificate.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/logging.h"
#include "worker/agent/agent.h"
#include "worker/agent/grpc_channels.h"
#include "worker/agent/leave_notice.h"
#include "worker/agent/machine.h"
#include "worker/agent/pinned_authority.h"

ABSL_FLAG(std::string, scheduler, "", "Address of the scheduler: unix:///path, host:port");
ABSL_FLAG(std::string, token_file, "", "File with the agent's token");
ABSL_FLAG(std::string, join_token_file, "",
          "File with a one-time join token; the agent's own is kept in --work_dir");
ABSL_FLAG(std::string, ca_file, "", "Certificate of the scheduler's authority (PEM)");
ABSL_FLAG(std::string, work_dir, "", "Folder for attempts, cache and facts");
ABSL_FLAG(std::string, node_id, "", "Name of this node; default: the host's name");
ABSL_FLAG(std::string, address, "", "Where the other nodes of a gang reach this one");
ABSL_FLAG(std::string, python_path, "", "Folder with the Python module trainyard");
ABSL_FLAG(std::string, mpirun, "mpirun", "Open MPI's launcher");
ABSL_FLAG(std::string, gang_ports, "",
          "Ports that gangs over several nodes listen on here: LOW-HIGH; default: any");
ABSL_FLAG(int, cores, 0, "Cores to offer; default: all");
ABSL_FLAG(std::string, memory, "", "Memory to offer, for example 16GiB; default: all");
ABSL_FLAG(std::vector<std::string>, labels, {}, "Labels of the node: key=value,...");
ABSL_FLAG(std::vector<std::string>, taints, {},
          "What keeps jobs off that do not tolerate it: key or key=value,...");
ABSL_FLAG(absl::Time, available_until, absl::InfiniteFuture(),
          "When this machine goes away, as 2026-12-24T08:00:00Z; its work is stopped with a "
          "checkpoint two minutes before");
ABSL_FLAG(std::string, notice_file, "",
          "File that appears when this machine is about to be taken away (a spot instance), and "
          "says when: a time or, as 30s, how long; empty: in two minutes. Default: leaving in "
          "--work_dir. SIGPWR says the same as an empty file");
ABSL_FLAG(absl::Duration, reconnect_max, absl::Seconds(5),
          "Longest pause before connecting again to a scheduler that is away");
ABSL_FLAG(absl::Duration, supervisor_patience, absl::Minutes(2),
          "How long a supervisor may answer nothing before it is taken for hung");
ABSL_FLAG(std::string, nvml_library, "libnvidia-ml.so.1", "Library that lists GPUs; empty: none");

namespace trainyard::worker {
namespace {

absl::Status UsageError(const std::string& message, const std::string& fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "USAGE", message, fix);
}

absl::StatusOr<MachineOptions> MachineFromFlags() {
  MachineOptions options;
  options.node_id = absl::GetFlag(FLAGS_node_id);
  options.address = absl::GetFlag(FLAGS_address);
  options.cores = absl::GetFlag(FLAGS_cores);
  options.nvml_library = absl::GetFlag(FLAGS_nvml_library);
  const std::string memory = absl::GetFlag(FLAGS_memory);
  options.memory_bytes = ParseBytes(memory);
  if (!memory.empty() && options.memory_bytes == 0) {
    return UsageError(absl::StrCat("--memory=", memory, " is no size"),
                      "write a number with a unit, for example --memory=16GiB");
  }
  for (const std::string& label : absl::GetFlag(FLAGS_labels)) {
    const std::vector<std::string> parts = absl::StrSplit(label, absl::MaxSplits('=', 1));
    if (parts.size() != 2 || parts[0].empty()) {
      return UsageError(absl::StrCat("label \"", label, "\" is not key=value"),
                        "write --labels=key=value,key=value");
    }
    options.labels[parts[0]] = parts[1];
  }
  options.taints = absl::GetFlag(FLAGS_taints);
  options.available_until = absl::GetFlag(FLAGS_available_until);
  return options;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  return std::string(absl::StripAsciiWhitespace(*text));
}

// Where the certificate is kept that a join token's pin was the first to know.
std::string AuthorityFile(const std::string& work_dir) { return JoinPath(work_dir, "ca.pem"); }

// The agent's token: from its file, from an earlier join, or from a join now, which may also give
// `address` its certificate.
absl::StatusOr<std::string> FindToken(const std::string& work_dir, v1::NodeInventory* inventory,
                                      SchedulerAddress* address) {
  if (const std::string file = absl::GetFlag(FLAGS_token_file); !file.empty()) {
    return ReadToken(file);
  }
  const std::string own = JoinPath(work_dir, "agent.token");
  if (Exists(own)) return ReadToken(own);
  const std::string join = absl::GetFlag(FLAGS_join_token_file);
  if (join.empty()) {
    return UsageError("no token is given",
                      "give --token_file=FILE, or --join_token_file=FILE with the output of "
                      "trainyard join-token");
  }
  absl::StatusOr<std::string> text = ReadToken(join);
  if (!text.ok()) return text.status();
  const auto [token, pin] = SplitJoinToken(*text);
  if (address->ca_file.empty() && !pin.empty()) {
    absl::StatusOr<std::string> authority = FetchAuthority(address->target, pin);
    if (!authority.ok()) return authority.status();
    address->ca_file = AuthorityFile(work_dir);
    if (absl::Status kept = WriteFileDurably(address->ca_file, *authority); !kept.ok()) return kept;
  }
  address->token = token;
  absl::StatusOr<agent::v1::JoinResponse> joined = Join(*address, *inventory);
  if (!joined.ok()) return joined.status();
  if (!joined->node_id().empty()) inventory->set_node_id(joined->node_id());
  if (absl::Status kept = WriteFileDurably(own, joined->agent_token(), 0600); !kept.ok()) {
    return kept;
  }
  return joined->agent_token();
}

std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> variables;
  for (char** at = environ; *at != nullptr; ++at) variables.emplace_back(*at);
  return variables;
}

AgentChannels ChannelsTo(GrpcChannels* grpc, const std::string& ca_file) {
  AgentChannels channels;
  channels.send_control = [grpc](const agent::v1::AgentMessage& m) { grpc->SendControl(m); };
  channels.send_telemetry = [grpc](const agent::v1::TelemetryBatch& b) { grpc->SendTelemetry(b); };
  channels.reconnect = [grpc](const std::string&) { grpc->Reconnect(); };
  channels.spawn_daemon = [grpc](const agent::v1::SpawnDaemonRequest& request,
                                 std::function<void(absl::Status)> done) {
    grpc->SpawnDaemon(request, std::move(done));
  };
  channels.make_client = [ca_file](const std::string& address, std::string token) {
    return blob::Client::Make(address, std::move(token), ca_file);
  };
  return channels;
}

GrpcChannels::Events EventsOf(Agent* agent) {
  GrpcChannels::Events events;
  events.control_connected = [agent] { agent->OnControlConnected(); };
  events.control_disconnected = [agent] { agent->OnControlDisconnected(); };
  events.control_message = [agent](const agent::v1::SchedulerMessage& m) {
    agent->OnControlMessage(m);
  };
  events.telemetry_connected = [agent] { agent->OnTelemetryConnected(); };
  events.telemetry_disconnected = [agent] { agent->OnTelemetryDisconnected(); };
  events.telemetry_ack = [agent](uint64_t sequence) { agent->OnTelemetryAck(sequence); };
  return events;
}

constexpr absl::Duration kLookForNotice = absl::Milliseconds(500);

// Signals and the notice that this machine is taken away, as the loop meets them.
class Surroundings {
 public:
  Surroundings(EventLoop* loop, LeaveNotice notice) : loop_(loop), notice_(std::move(notice)) {
    sigset_t known;
    sigemptyset(&known);
    for (int number : {SIGTERM, SIGINT, SIGPWR}) sigaddset(&known, number);
    signals_ = FileDescriptor(signalfd(-1, &known, SFD_CLOEXEC | SFD_NONBLOCK));
    loop_->Watch(signals_.get(), [this] { OnSignal(); });
  }
  ~Surroundings() {
    loop_->Unwatch(signals_.get());
    if (timer_ != 0) loop_->Cancel(timer_);
  }
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;

  // `agent` is told of every change until this object's end.
  void Watch(Agent* agent) {
    agent_ = agent;
    notice_.Look();
    if (notice_.until() != absl::InfiniteFuture()) agent_->OnLeave(notice_.until());
    Look();
  }

 private:
  void Look() {
    timer_ = loop_->After(kLookForNotice, [this] { Look(); });
    if (notice_.Look()) agent_->OnLeave(notice_.until());
  }
  void OnSignal() {
    signalfd_siginfo signal;
    if (read(signals_.get(), &signal, sizeof signal) != sizeof signal) return;
    if (signal.ssi_signo != SIGPWR) return loop_->Stop();
    if (agent_ == nullptr) return;
    if (notice_.Give(loop_->clock().Now() + kLeaveAhead)) agent_->OnLeave(notice_.until());
  }

  EventLoop* const loop_;
  LeaveNotice notice_;
  FileDescriptor signals_;
  Agent* agent_ = nullptr;
  uint64_t timer_ = 0;
};

absl::Status Run() {
  SchedulerAddress address;
  address.target = absl::GetFlag(FLAGS_scheduler);
  address.ca_file = absl::GetFlag(FLAGS_ca_file);
  address.reconnect_max = std::max(absl::Milliseconds(10), absl::GetFlag(FLAGS_reconnect_max));
  AgentOptions options;
  options.work_dir = absl::GetFlag(FLAGS_work_dir);
  if (address.target.empty() || options.work_dir.empty() || options.work_dir[0] != '/') {
    return UsageError("--scheduler and --work_dir are needed; --work_dir is an absolute path",
                      "trainyard-agent --scheduler=ADDRESS --token_file=FILE --work_dir=/folder");
  }
  absl::StatusOr<MachineOptions> machine = MachineFromFlags();
  if (!machine.ok()) return machine.status();
  absl::StatusOr<PortRange> ports = ParsePortRange(absl::GetFlag(FLAGS_gang_ports));
  if (!ports.ok()) return ports.status();
  options.ports = *ports;
  if (machine->address.empty()) machine->address = AddressTowards(address.target);
  if (absl::Status made = MakeFolders(options.work_dir, 0711); !made.ok()) return made;
  options.inventory = ReadInventory(*machine);
  if (address.ca_file.empty() && Exists(AuthorityFile(options.work_dir))) {
    address.ca_file = AuthorityFile(options.work_dir);
  }
  absl::StatusOr<std::string> token = FindToken(options.work_dir, &options.inventory, &address);
  if (!token.ok()) return token.status();
  address.token = *std::move(token);
  options.bin_folder = ExecutableFolder();
  options.python_path = absl::GetFlag(FLAGS_python_path);
  if (options.python_path.empty()) {
    options.python_path = JoinPath(options.bin_folder, "../lib/python");
  }
  options.mpirun = absl::GetFlag(FLAGS_mpirun);
  options.supervisor_patience = absl::GetFlag(FLAGS_supervisor_patience);
  options.base_env = AllowedEnvironment(OwnEnvironment());
  options.open_mpi = FindOpenMpi(options.mpirun, options.base_env);
  options.network = FindNetwork(options.inventory.address());
  LOG_IF(WARNING, geteuid() == 0)
      << "this agent runs as root: programs of projects without run_as run as root too";

  EventLoop loop(&RealClock());
  absl::StatusOr<std::unique_ptr<GrpcChannels>> grpc = GrpcChannels::Make(&loop, address);
  if (!grpc.ok()) return grpc.status();
  std::string notice = absl::GetFlag(FLAGS_notice_file);
  if (notice.empty()) notice = JoinPath(options.work_dir, "leaving");
  Agent agent(&loop, options, ChannelsTo(grpc->get(), address.ca_file));
  if (absl::Status started = agent.Start(); !started.ok()) return started;
  Surroundings surroundings(&loop, LeaveNotice(notice, absl::GetFlag(FLAGS_available_until)));
  surroundings.Watch(&agent);
  (*grpc)->Start(EventsOf(&agent));
  LOG(INFO) << "node=" << options.inventory.node_id() << " cores=" << options.inventory.cores()
            << " memory=" << options.inventory.memory_bytes()
            << " devices=" << options.inventory.devices_size();
  loop.Run();
  LOG(INFO) << "stopping; members run on";
  grpc->reset();
  return absl::OkStatus();
}

// Before any thread exists, so that all of them leave these signals to the loop.
void BlockSignals() {
  sigset_t blocked;
  sigemptyset(&blocked);
  for (int number : {SIGTERM, SIGINT, SIGPIPE, SIGPWR}) sigaddset(&blocked, number);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

}  // namespace
}  // namespace trainyard::worker

int main(int argc, char** argv) {
  trainyard::worker::BlockSignals();
  absl::SetProgramUsageMessage(
      "The daemon on a node: runs members of jobs.\n"
      "  trainyard-agent --scheduler=ADDRESS --token_file=FILE --work_dir=/folder");
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  if (rest.size() > 1) {
    std::cerr << "trainyard-agent: unexpected argument " << rest[1] << "\n";
    return 2;
  }
  trainyard::StartLogging(argv[0]);
  const absl::Status status = trainyard::worker::Run();
  if (status.ok()) return 0;
  std::cerr << "trainyard-agent: " << trainyard::FormatFaults(trainyard::FaultsOf(status)) << "\n";
  return trainyard::ReasonOf(status) == "USAGE" ? 2 : 1;
}
