// What must lie on this node before a member starts: its packages, made ready once per digest and
// node in a cache, and the checkpoint it goes on from. Blocking; any pool thread, several at once:
// the same digest is fetched by one of them while the others wait.
//  - A member gets copies: nothing that it does to its packages reaches the cache.
//  - What was installed by running a package's own code is kept per user and interpreter.
//  - At most 200 packages of 20 GiB together are kept; the one that was not used for the longest
//    goes first. Those in use stay.
//  - Who waits for a package that another fetches gives up by its own time.
#ifndef TRAINYARD_WORKER_AGENT_STAGER_H_
#define TRAINYARD_WORKER_AGENT_STAGER_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/blob/blob.h"
#include "common/mutex.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "worker/agent/pip.h"

namespace trainyard::worker {

class Stager {
 public:
  using MakeClient =
      std::function<std::unique_ptr<blob::Client>(const std::string& address, std::string token)>;
  struct Limits {
    size_t packages = 200;
    int64_t bytes = int64_t{20} << 30;
  };
  // `cache`: a folder of ours.
  Stager(std::string cache, Limits limits) : cache_(std::move(cache)), limits_(limits) {}

  // Whether there is anything to do for this assignment.
  static bool NeedsStaging(const agent::v1::Assignment& assignment);
  // Whether code of its packages may have to run first, which takes as long as it likes.
  static bool MayInstall(const agent::v1::Assignment& assignment);

  // Fills `folder` (an attempt folder that exists): package/N for each package, the contents of
  // those that are plain folders linked into work/, the checkpoint into checkpoints/; all of it
  // belongs to `options.user_id`. Errors name the package and how to mend it.
  absl::Status Stage(const agent::v1::Assignment& assignment, blob::Client* client,
                     const std::string& folder, const PipOptions& options);

  // What python has to look in, in order: absolute paths below `folder`.
  static std::vector<std::string> PackagePaths(const agent::v1::Assignment& assignment,
                                               const std::string& folder);

 private:
  // One package of the cache, kept from being removed.
  class Use;
  absl::Status CopyOne(blob::Client* client, const v1::PackageRef& package, const std::string& to,
                       const PipOptions& options);
  void RemoveOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The folder in the cache, filled; by somebody else's work when that is under way.
  absl::Status Fetch(const std::string& name, blob::Client* client, const v1::PackageRef& package,
                     const PipOptions& options);
  absl::Status Fill(blob::Client* client, const v1::PackageRef& package, const std::string& folder,
                    const PipOptions& options);

  const std::string cache_;
  const Limits limits_;
  Mutex mutex_;
  CondVar changed_;
  std::set<std::string> fetching_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> users_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int64_t> bytes_ ABSL_GUARDED_BY(mutex_);  // of packages looked at before
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_STAGER_H_
