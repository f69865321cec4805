// Folders of members that are over. Small ones are moved aside and removed a minute later, many in
// one go: file systems of the ext family search past inodes that were freed a moment ago whenever
// they make a file, so that a removal after every short program halves how many can be started.
// What holds more than a little is removed at once. Any thread.
#ifndef TRAINYARD_WORKER_AGENT_ENDED_FOLDERS_H_
#define TRAINYARD_WORKER_AGENT_ENDED_FOLDERS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/mutex.h"

namespace trainyard::worker {

class EndedFolders {
 public:
  static constexpr absl::Duration kKept = absl::Minutes(1);
  static constexpr size_t kFoldersMax = 2048;  // beyond it the older half goes
  static constexpr int kEntriesMax = 64;       // of a small folder
  static constexpr int64_t kBytesMax = int64_t{1} << 20;

  // `aside` is made when something is put there; on the same file system as what comes.
  explicit EndedFolders(std::string aside) : aside_(std::move(aside)) {}
  EndedFolders(const EndedFolders&) = delete;
  EndedFolders& operator=(const EndedFolders&) = delete;

  // `path` does not exist any more when this returns OK. Blocks on the disk. `now` is monotonic.
  absl::Status Remove(const std::string& path, absl::Duration now);
  // Moves `path` aside at once, however large it is, for RemoveAll; where that cannot be, removes
  // it. `path` does not exist any more when this returns OK.
  absl::Status PutAside(const std::string& path);
  // Removes what was put aside kKept ago or earlier. Blocks.
  void Sweep(absl::Duration now);
  // Removes everything that lies aside, also what an earlier process left there. Blocks.
  absl::Status RemoveAll();
  size_t size() const;

 private:
  std::string NextAside() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  struct Folder {
    std::string path;
    absl::Duration since;
  };
  const std::string aside_;
  mutable Mutex mutex_;
  std::deque<Folder> folders_ ABSL_GUARDED_BY(mutex_);  // oldest first
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_ENDED_FOLDERS_H_
