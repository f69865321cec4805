// See mpirun_launcher.h; the arguments are in mpirun_arguments.cc.
#include "worker/supervisor/mpirun_launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/core/daemon_command.h"
#include "worker/supervisor/files.h"
#include "worker/supervisor/process.h"

namespace trainyard::worker {
namespace {

int RemoveOne(const char* path, const struct stat*, int, FTW*) { return remove(path); }

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// What the head and the other nodes have in common.
class MpirunLauncher : public Launcher {
 public:
  pid_t pid() const override { return pid_; }
  bool ranks_register() const override { return true; }
  void Finish() override {
    for (const std::string& folder : {session_, memory_}) {
      if (!folder.empty()) nftw(folder.c_str(), RemoveOne, 16, FTW_DEPTH | FTW_PHYS);
    }
  }

 protected:
  // One file a rank, and one with the program: the shim reads them and nothing else.
  bool WriteTables(const LaunchSpec& spec, const std::string& program, LaunchFailure* failure) {
    mkdir(layout::kRankTables, 0700);
    bool ok = Own(layout::kRankTables, spec);
    for (const RankLaunch& rank : spec.ranks) {
      std::string bytes;
      for (const auto& [name, value] : rank.env) bytes += name + "=" + value + '\0';
      // The daemon's PATH leads to the shim first; interfaces have other names on other nodes.
      if (const auto path = spec.env.find("PATH"); path != spec.env.end()) {
        bytes += "PATH=" + path->second + '\0';
      }
      if (!spec.gang.empty() && !spec.network_interface.empty()) {
        bytes += "OMPI_MCA_btl_tcp_if_include=" + spec.network_interface + '\0';
      }
      if (!memory_.empty()) bytes += "OMPI_MCA_btl_vader_backing_directory=" + memory_ + '\0';
      ok = ok && WriteOne(layout::RankTable(rank.rank), bytes, spec);
    }
    std::string words = program + '\0';
    for (size_t i = 1; i < spec.argv.size(); ++i) words += spec.argv[i] + '\0';
    ok = ok && WriteOne(layout::kRankArguments, words, spec);
    if (!ok) *failure = {-1, "open", layout::kRankTables, errno};
    return ok;
  }

  // Open MPI puts sockets there: the path has to be short.
  bool MakeSession(const LaunchSpec& spec, LaunchFailure* failure) {
    std::string name = std::string(kScratchPrefixes[0]) + "XXXXXX";
    if (mkdtemp(name.data()) == nullptr || !Own(name, spec)) {
      *failure = {-1, "open", name, errno};
      return false;
    }
    session_ = name;
    NoteScratch(name);
    return true;
  }

  // Open MPI names a rank's shared memory by host and local rank: two members of one gang that
  // share a host's name and memory would take each other's. What killed ranks left goes with the
  // folder.
  void MakeMemory(const LaunchSpec& spec) {
    std::string name = std::string(kScratchPrefixes[1]) + "XXXXXX";
    if (spec.gang.empty() || mkdtemp(name.data()) == nullptr) return;
    NoteScratch(name);
    if (Own(name, spec)) memory_ = name;
  }

  static void NoteScratch(const std::string& path) {
    const int fd = open(layout::kScratch, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;  // then a kill leaves it behind
    WriteFully(fd, path + "\n");
    close(fd);
  }

  static ProcessSpec ProcessFor(const LaunchSpec& spec, const std::string& folder) {
    ProcessSpec process;
    process.env = spec.env;
    process.env[kAttemptVariable] = folder;
    if (!spec.gang.empty()) {
      process.env["PATH"] = FolderOf(spec.rank_shim) + ":" + process.env["PATH"];
    }
    process.folder = layout::kWork;
    process.output_path = kLauncherOut;
    process.error_path = kLauncherErr;
    process.user_id = spec.user_id;
    process.group_id = spec.group_id;
    return process;
  }

  static bool AsRoot(const LaunchSpec& spec) { return geteuid() == 0 && spec.user_id <= 0; }

  static bool Own(const std::string& path, const LaunchSpec& spec) {
    if (spec.user_id < 0) return true;
    return chown(path.c_str(), static_cast<uid_t>(spec.user_id),
                 static_cast<gid_t>(spec.group_id)) == 0;
  }

  static bool WriteOne(const std::string& path, const std::string& bytes, const LaunchSpec& spec) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool ok = fd >= 0 && WriteFully(fd, bytes) && Own(path, spec);
    if (fd >= 0) close(fd);
    return ok;
  }

  pid_t pid_ = -1;
  std::string session_;
  std::string memory_;  // folder for shared memory; "": Open MPI's own place
};

// The gang's first node, or its only one.
class HeadLauncher : public MpirunLauncher {
 public:
  bool Start(const LaunchSpec& spec, const std::string& folder, std::vector<RankState>*,
             LaunchFailure* failure) override {
    std::string program;
    if (!ResolveProgram(spec, &program, failure)) return false;
    ProcessSpec process = ProcessFor(spec, folder);
    process.path = FindProgram(spec.mpirun, spec.env);
    if (process.path.empty()) {
      *failure = {spec.ranks[0].rank, "find", spec.mpirun, ENOENT};
      return false;
    }
    MakeMemory(spec);
    if (!WriteTables(spec, program, failure) || !MakeSession(spec, failure)) return false;
    // A link in the short folder: mpirun splits the value at blanks and colons.
    const std::string agent = session_ + "/" + kLaunchAgentName;
    if (!spec.gang.empty() && symlink(spec.rank_shim.c_str(), agent.c_str()) != 0) {
      *failure = {-1, "open", agent, errno};
      return false;
    }
    process.argv = MpirunArguments(spec, program, session_, agent, AsRoot(spec));
    const StartedProcess started = StartProcess(process);
    if (started.pid < 0) *failure = {-1, started.step, process.path, started.error};
    pid_ = started.pid;
    return pid_ >= 0;
  }
};

// Another node of the gang: nothing runs until mpirun asks for its daemon.
class PeerLauncher : public MpirunLauncher {
 public:
  bool Start(const LaunchSpec& spec, const std::string& folder, std::vector<RankState>*,
             LaunchFailure* failure) override {
    spec_ = spec;
    folder_ = folder;
    std::string program;
    if (!ResolveProgram(spec, &program, failure)) return false;
    if (spec.daemon.empty() || access(spec.daemon.c_str(), X_OK) != 0) {
      *failure = {spec.ranks[0].rank, "find", spec.open_mpi >= 5 ? "prted" : "orted", ENOENT};
      return false;
    }
    MakeMemory(spec);
    return WriteTables(spec, program, failure) && MakeSession(spec, failure);
  }

  std::string StartDaemon(const std::vector<std::string>& asked) override {
    if (pid_ >= 0) return asked == asked_ ? "" : "the daemon runs already";
    DaemonLimits limits;
    limits.open_mpi = spec_.open_mpi;
    limits.program = spec_.daemon;
    limits.head_address = spec_.gang.empty() ? "" : spec_.gang[0].address;
    limits.members = static_cast<int32_t>(spec_.gang.size());
    limits.interface = spec_.network_interface;
    limits.port_range = spec_.port_range;
    limits.session_folder = session_;
    limits.as_root = AsRoot(spec_);
    std::string error;
    ProcessSpec process = ProcessFor(spec_, folder_);
    if (!BuildDaemonArguments(asked, limits, &process.argv, &error)) return error;
    process.path = spec_.daemon;
    const StartedProcess started = StartProcess(process);
    if (started.pid < 0) {
      return spec_.daemon + " cannot be started: " + started.step + ", error " +
             std::to_string(started.error);
    }
    pid_ = started.pid;
    asked_ = asked;
    return "";
  }

 private:
  LaunchSpec spec_;
  std::string folder_;
  std::vector<std::string> asked_;
};

}  // namespace

std::unique_ptr<Launcher> MakeMpirunLauncher(const LaunchSpec& spec) {
  if (spec.gang.size() > 1 && spec.member != 0) return std::make_unique<PeerLauncher>();
  return std::make_unique<HeadLauncher>();
}

}  // namespace trainyard::worker
