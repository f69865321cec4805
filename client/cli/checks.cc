// See checks.h.
#include "client/cli/checks.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cli/daemon.h"
#include "client/cli/embedded.h"
#include "client/cli/job_view.h"
#include "client/cli/node_view.h"
#include "client/sdk/client.h"
#include "client/sdk/settings.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::cli {
namespace {

constexpr int64_t kSharedMemoryBytesMin = int64_t{64} << 20;
constexpr int64_t kDiskBytesMin = int64_t{1} << 30;
constexpr rlim_t kFilesMin = 1024;

Check Ok(std::string name, std::string detail) {
  return {std::move(name), Health::kOk, std::move(detail), ""};
}

std::string OnPath(const std::string& name, const client::Environment& environment) {
  for (absl::string_view folder : absl::StrSplit(environment("PATH"), ':', absl::SkipEmpty())) {
    const std::string path = JoinPath(folder, name);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

// -1 when the path does not exist.
int64_t FreeBytes(const std::string& path) {
  struct statvfs info {};
  if (statvfs(path.c_str(), &info) != 0) return -1;
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

Check Tool(const std::string& name, const std::string& package, Health when_absent,
           const client::Environment& environment) {
  const std::string path = OnPath(name, environment);
  if (!path.empty()) return Ok(name, path);
  return {name, when_absent, "not on PATH", absl::StrCat("sudo apt-get install -y ", package)};
}

Check GpuCheck() {
  std::error_code error;
  const bool driver = std::filesystem::exists("/proc/driver/nvidia/version", error);
  const bool device = std::filesystem::exists("/dev/nvidiactl", error);
  if (!driver) return Ok("gpu", "no NVIDIA driver: jobs use the cores");
  if (device) return Ok("gpu", "NVIDIA driver is loaded");
  return {"gpu", Health::kFailure, "the driver is loaded, but there is no /dev/nvidiactl",
          "sudo nvidia-modprobe -u -c=0"};
}

Check FilesLimitCheck() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= kFilesMin) return Ok("open files", absl::StrCat(limit.rlim_cur));
  return {"open files", Health::kWarning, absl::StrCat("limit ", limit.rlim_cur),
          absl::StrCat("ulimit -n ", kFilesMin)};
}

Check SharedMemoryCheck() {
  const int64_t free = FreeBytes("/dev/shm");
  if (free >= kSharedMemoryBytesMin) return Ok("shared memory", BytesText(free) + " free");
  return {"shared memory", Health::kWarning,
          free < 0 ? "there is no /dev/shm" : BytesText(free) + " free in /dev/shm",
          "sudo mount -o remount,size=1G /dev/shm"};
}

Check TokenFileCheck(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return Ok("token file", "none yet");
  if (info.st_uid != geteuid() && geteuid() != 0) {
    return {"token file", Health::kFailure, absl::StrCat(path, " belongs to another user"),
            "run as the user who started the cluster, or set TRAINYARD_TOKEN"};
  }
  if ((info.st_mode & 077) == 0) return Ok("token file", path);
  return {"token file", Health::kFailure, absl::StrCat(path, " can be read by others"),
          absl::StrCat("chmod 600 ", path)};
}

// A config file with a token in it is nobody else's business.
Check ConfigFileCheck(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return Ok("config file", "none");
  const absl::StatusOr<client::Settings> settings = client::ReadSettings(path);
  if (!settings.ok()) {
    const v1::Faults faults = FaultsOf(settings.status());
    return {"config file", Health::kFailure, FormatFaults(faults),
            absl::StrCat("mend or remove ", path)};
  }
  if (settings->count("token") > 0 && (info.st_mode & 077) != 0) {
    return {"config file", Health::kFailure, absl::StrCat(path, " holds a token others can read"),
            absl::StrCat("chmod 600 ", path)};
  }
  return Ok("config file", path);
}

Check DaemonCheck(const std::string& name, const std::string& pid_file) {
  const pid_t pid = LivingPid(pid_file);
  if (pid != 0) return Ok(name, absl::StrCat("pid ", pid));
  if (!Exists(pid_file)) return Ok(name, "not started here");
  return {name, Health::kFailure, "was started here and has ended", "trainyard up"};
}

Check NodesCheck(client::Client* client) {
  const absl::StatusOr<v1::ListNodesResponse> nodes = client->ListNodes({});
  if (!nodes.ok()) {
    return {"nodes", Health::kFailure, FaultsOf(nodes.status()).faults(0).message(),
            FaultsOf(nodes.status()).faults(0).fix()};
  }
  int ready = 0;
  std::string others;
  for (const v1::Node& node : nodes->nodes()) {
    if (node.state() == v1::READY) {
      ++ready;
    } else {
      absl::StrAppend(&others, " ", ShortName(node.name()), " ", v1::NodeState_Name(node.state()));
    }
  }
  const std::string detail = absl::StrCat(ready, " of ", nodes->nodes_size(), " ready", others);
  if (ready == 0) {
    return {"nodes", Health::kFailure, detail,
            "trainyard up (here), or on another machine what trainyard join-token prints"};
  }
  return {"nodes", others.empty() ? Health::kOk : Health::kWarning, detail,
          others.empty() ? "" : "trainyard nodes"};
}

}  // namespace

std::vector<Check> MachineChecks(const client::Environment& environment) {
  std::vector<Check> checks;
  checks.push_back(Ok("cores", absl::StrCat(std::thread::hardware_concurrency())));
  checks.push_back(Tool("mpirun", "openmpi-bin", Health::kFailure, environment));
  checks.push_back(Tool("python3", "python3", Health::kWarning, environment));
  checks.push_back(GpuCheck());
  checks.push_back(SharedMemoryCheck());
  checks.push_back(FilesLimitCheck());
  if (geteuid() == 0) {
    checks.push_back({"user", Health::kWarning, "root: jobs run as root too",
                      "use a user of its own: sudo useradd -m trainyard"});
  } else {
    checks.push_back(Ok("user", "not root"));
  }
  return checks;
}

std::vector<Check> ProgramChecks(const client::Environment& environment,
                                 const std::string& binary_folder) {
  std::vector<Check> checks;
  std::string missing;
  for (const char* name :
       {"trainyard-scheduler", "trainyard-agent", "trainyard-supervisor", "trainyard-rank"}) {
    if (access(JoinPath(binary_folder, name).c_str(), X_OK) != 0) {
      absl::StrAppend(&missing, " ", name);
    }
  }
  if (missing.empty()) {
    checks.push_back(Ok("programs", binary_folder));
  } else {
    checks.push_back({"programs", Health::kFailure,
                      absl::StrCat("not in ", binary_folder, ":", missing),
                      "bash deploy/build.sh (in the source tree), or install the whole package"});
  }
  const std::string python = PythonPath(binary_folder);
  if (!python.empty()) {
    checks.push_back(Ok("python module", python));
  } else {
    checks.push_back({"python module", Health::kWarning, "not found; programs cannot report",
                      "install the whole package; lib/python belongs beside bin"});
  }
  (void)environment;
  return checks;
}

std::vector<Check> StateChecks(const client::Environment& environment) {
  const std::string state = client::StateFolder(environment);
  const EmbeddedFolders folders = FoldersOf(state);
  std::vector<Check> checks = {ConfigFileCheck(client::ConfigFile(environment))};
  struct stat info {};
  if (stat(state.c_str(), &info) != 0) {
    checks.push_back(Ok("state folder", absl::StrCat(state, " (not made yet)")));
    return checks;
  }
  if (access(state.c_str(), W_OK) != 0) {
    checks.push_back({"state folder", Health::kFailure, absl::StrCat(state, " cannot be written"),
                      absl::StrCat("sudo chown -R $USER ", state)});
  } else if ((info.st_mode & 077) != 0) {
    checks.push_back({"state folder", Health::kFailure, absl::StrCat(state, " is open to others"),
                      absl::StrCat("chmod 700 ", state)});
  } else {
    checks.push_back(Ok("state folder", state));
  }
  const int64_t free = FreeBytes(state);
  checks.push_back(free >= kDiskBytesMin
                       ? Ok("disk", BytesText(free) + " free")
                       : Check{"disk", Health::kFailure, BytesText(free) + " free",
                               absl::StrCat("free some: du -sh ", state, "/*")});
  checks.push_back(TokenFileCheck(JoinPath(state, "token")));
  checks.push_back(DaemonCheck("scheduler process", folders.scheduler_pid_file));
  checks.push_back(DaemonCheck("agent process", folders.agent_pid_file));
  return checks;
}

std::vector<Check> ClusterChecks(Context* context) {
  const auto failed = [](const absl::Status& status) {
    const v1::Faults faults = FaultsOf(status);
    return Check{"scheduler", Health::kFailure, faults.faults(0).message(), faults.faults(0).fix()};
  };
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return {failed(client.status())};
  const absl::Time start = absl::Now();
  const absl::StatusOr<v1::ServerInfo> server = (*client)->GetServerInfo({});
  if (!server.ok()) return {failed(server.status())};
  const client::Endpoint& endpoint = (*client)->endpoint();
  return {Ok("scheduler", absl::StrCat(endpoint.address, " (", endpoint.address_source,
                                       "), version ", server->version(), ", answers in ",
                                       absl::ToInt64Milliseconds(absl::Now() - start), " ms")),
          Ok("you", absl::StrCat(server->principal(), ", ", v1::Role_Name(server->role()))),
          NodesCheck(*client)};
}

}  // namespace trainyard::cli
