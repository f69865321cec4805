// What must lie on this node before a member starts: its packages, unpacked once per digest and
// node in a cache, and the checkpoint it goes on from. Blocking; any pool thread, several at once:
// the same digest is fetched by one of them while the others wait.
#ifndef TRAINYARD_WORKER_AGENT_STAGER_H_
#define TRAINYARD_WORKER_AGENT_STAGER_H_

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/blob/blob.h"
#include "common/mutex.h"
#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::worker {

class Stager {
 public:
  using MakeClient =
      std::function<std::unique_ptr<blob::Client>(const std::string& address, std::string token)>;
  // `cache`: a folder of ours.
  explicit Stager(std::string cache) : cache_(std::move(cache)) {}

  // Whether there is anything to do for this assignment.
  static bool NeedsStaging(const agent::v1::Assignment& assignment);

  // Fills `folder` (an attempt folder that exists): package/N for each package, their contents
  // linked into work/, the checkpoint into checkpoints/. Errors name the package and how to mend
  // it.
  absl::Status Stage(const agent::v1::Assignment& assignment, blob::Client* client,
                     const std::string& folder);

  // What python has to look in, in order: absolute paths below `folder`.
  static std::vector<std::string> PackagePaths(const agent::v1::Assignment& assignment,
                                               const std::string& folder);

 private:
  // The folder in the cache, filled.
  absl::StatusOr<std::string> Fetch(blob::Client* client, const v1::PackageRef& package);
  absl::Status Fill(blob::Client* client, const v1::PackageRef& package, const std::string& folder);

  const std::string cache_;
  Mutex mutex_;
  CondVar changed_;
  std::set<std::string> fetching_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_STAGER_H_
