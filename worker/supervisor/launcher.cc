// See launcher.h.
#include "worker/supervisor/launcher.h"

#include <errno.h>

#include "worker/supervisor/mpirun_launcher.h"
#include "worker/supervisor/process.h"

namespace trainyard::worker {
namespace {

Environment Merged(const LaunchSpec& spec, const RankLaunch& rank) {
  Environment env = rank.env;
  env.insert(spec.env.begin(), spec.env.end());  // what the rank has already stays
  return env;
}

class DirectLauncher : public Launcher {
 public:
  bool Start(const LaunchSpec& spec, const std::string& folder, std::vector<RankState>* ranks,
             LaunchFailure* failure) override {
    ProcessSpec process;
    if (!ResolveProgram(spec, &process.path, failure)) return false;
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

}  // namespace

bool ResolveProgram(const LaunchSpec& spec, std::string* program, LaunchFailure* failure) {
  *program = FindProgram(spec.argv[0], spec.env);
  if (!program->empty()) return true;
  *failure = {spec.ranks[0].rank, "find", spec.argv[0], ENOENT};
  return false;
}

std::unique_ptr<Launcher> MakeLauncher(const LaunchSpec& spec) {
  if (spec.launcher == "mpirun") return MakeMpirunLauncher(spec);
  return std::make_unique<DirectLauncher>();
}

}  // namespace trainyard::worker
