// See launcher.h.
#include "worker/supervisor/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/supervisor/files.h"
#include "worker/supervisor/process.h"

namespace trainyard::worker {
namespace {

constexpr char kLauncherOut[] = "log/launcher.out";
constexpr char kLauncherErr[] = "log/launcher.err";

Environment Merged(const LaunchSpec& spec, const RankLaunch& rank) {
  Environment env = rank.env;
  env.insert(spec.env.begin(), spec.env.end());  // what the rank has already stays
  return env;
}

bool Resolve(const LaunchSpec& spec, std::string* program, LaunchFailure* failure) {
  *program = FindProgram(spec.argv[0], spec.env);
  if (!program->empty()) return true;
  *failure = {spec.ranks[0].rank, "find", spec.argv[0], ENOENT};
  return false;
}

class DirectLauncher : public Launcher {
 public:
  bool Start(const LaunchSpec& spec, const std::string& folder, std::vector<RankState>* ranks,
             LaunchFailure* failure) override {
    ProcessSpec process;
    if (!Resolve(spec, &process.path, failure)) return false;
    process.argv = spec.argv;
    process.folder = layout::kWork;
    process.user_id = spec.user_id;
    process.group_id = spec.group_id;
    for (size_t i = 0; i < spec.ranks.size(); ++i) {
      const RankLaunch& rank = spec.ranks[i];
      process.env = Merged(spec, rank);
      process.env.try_emplace("PWD", folder + "/" + layout::kWork);
      process.output_path = layout::RankLog(rank.rank, false);
      process.error_path = layout::RankLog(rank.rank, true);
      const StartedProcess started = StartProcess(process);
      if (started.pid < 0) {
        *failure = {rank.rank, started.step, process.path, started.error};
        return false;
      }
      (*ranks)[i].pid = started.pid;
    }
    return true;
  }
};

int RemoveOne(const char* path, const struct stat*, int, FTW*) { return remove(path); }

class MpirunLauncher : public Launcher {
 public:
  bool Start(const LaunchSpec& spec, const std::string& folder, std::vector<RankState>*,
             LaunchFailure* failure) override {
    std::string program;
    if (!Resolve(spec, &program, failure)) return false;
    ProcessSpec process;
    process.path = FindProgram(spec.mpirun, spec.env);
    if (process.path.empty()) {
      *failure = {spec.ranks[0].rank, "find", spec.mpirun, ENOENT};
      return false;
    }
    if (!WriteTables(spec, failure) || !MakeSession(spec, failure)) return false;
    const bool as_root = geteuid() == 0 && spec.user_id <= 0;
    process.argv = MpirunArguments(spec, program, session_, as_root);
    process.env = spec.env;
    process.env[kAttemptVariable] = folder;
    process.folder = layout::kWork;
    process.output_path = kLauncherOut;
    process.error_path = kLauncherErr;
    process.user_id = spec.user_id;
    process.group_id = spec.group_id;
    const StartedProcess started = StartProcess(process);
    if (started.pid < 0) *failure = {-1, started.step, process.path, started.error};
    pid_ = started.pid;
    return pid_ >= 0;
  }

  pid_t pid() const override { return pid_; }

  void Finish() override {
    if (!session_.empty()) nftw(session_.c_str(), RemoveOne, 16, FTW_DEPTH | FTW_PHYS);
  }

 private:
  // One file a rank: the shim reads its own and nothing else.
  bool WriteTables(const LaunchSpec& spec, LaunchFailure* failure) {
    mkdir(layout::kRankTables, 0700);
    bool ok = Own(layout::kRankTables, spec);
    for (const RankLaunch& rank : spec.ranks) {
      std::string bytes;
      for (const auto& [name, value] : rank.env) bytes += name + "=" + value + '\0';
      const std::string path = layout::RankTable(rank.rank);
      const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      ok = ok && fd >= 0 && WriteFully(fd, bytes) && Own(path, spec);
      if (fd >= 0) close(fd);
    }
    if (!ok) *failure = {-1, "open", layout::kRankTables, errno};
    return ok;
  }

  // Open MPI puts sockets there: the path has to be short.
  bool MakeSession(const LaunchSpec& spec, LaunchFailure* failure) {
    char name[] = "/tmp/trainyard-mpi-XXXXXX";
    if (mkdtemp(name) == nullptr || !Own(name, spec)) {
      *failure = {-1, "open", name, errno};
      return false;
    }
    session_ = name;
    return true;
  }

  static bool Own(const std::string& path, const LaunchSpec& spec) {
    if (spec.user_id < 0) return true;
    return chown(path.c_str(), static_cast<uid_t>(spec.user_id),
                 static_cast<gid_t>(spec.group_id)) == 0;
  }

  pid_t pid_ = -1;
  std::string session_;
};

}  // namespace

std::vector<std::string> MpirunArguments(const LaunchSpec& spec, const std::string& program,
                                         const std::string& session_folder, bool as_root) {
  const std::string count = std::to_string(spec.ranks.size());
  std::vector<std::string> argv = {spec.mpirun};
  if (as_root) argv.push_back("--allow-run-as-root");
  // plm isolated: no remote shell is looked for. Oversubscribe and bind-to none: how many ranks
  // share a node is the scheduler's decision. After a rank failed mpirun would sleep a whole second
  // between SIGTERM and SIGKILL of the others, whether they are gone or not.
  for (const std::string& word : std::vector<std::string>{"-np",
                                                          count,
                                                          "--host",
                                                          "localhost:" + count,
                                                          "--oversubscribe",
                                                          "--bind-to",
                                                          "none",
                                                          "--mca",
                                                          "plm",
                                                          "isolated",
                                                          "--mca",
                                                          "oob_tcp_if_include",
                                                          spec.network_interface,
                                                          "--mca",
                                                          "btl_tcp_if_include",
                                                          spec.network_interface,
                                                          "--mca",
                                                          "odls_base_sigkill_timeout",
                                                          "0",
                                                          "--mca",
                                                          "orte_tmpdir_base",
                                                          session_folder,
                                                          spec.rank_shim,
                                                          "--",
                                                          program}) {
    argv.push_back(word);
  }
  argv.insert(argv.end(), spec.argv.begin() + 1, spec.argv.end());
  return argv;
}

std::unique_ptr<Launcher> MakeLauncher(const std::string& name) {
  if (name == "mpirun") return std::make_unique<MpirunLauncher>();
  return std::make_unique<DirectLauncher>();
}

}  // namespace trainyard::worker
