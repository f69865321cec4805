// A folder's files and links into a new folder of ours: copied, so that nobody who can write to the
// one can change the other, or linked, so that nobody can take them away. Blocking; any thread.
#ifndef TRAINYARD_WORKER_AGENT_COPY_FOLDER_H_
#define TRAINYARD_WORKER_AGENT_COPY_FOLDER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace trainyard::worker {

struct CopyOptions {
  int64_t user_id = -1;  // whom the copies are given to; -1: ours
  int64_t group_id = -1;
  int64_t from_user = -1;  // not -1: what does not belong to this user (or to us) is refused
};

// Copies `from` to `to`, which must not exist. Follows no link in `from`, not even one put there
// meanwhile: links are copied as links. Contents share their blocks with the originals where the
// file system can do that. Modification times are kept; of the modes only whether a file may be
// executed. PERMISSION_DENIED for a foreign file, INVALID_ARGUMENT for what is neither file, folder
// nor link.
absl::Status CopyFolder(const std::string& from, const std::string& to,
                        const CopyOptions& options = {});

// Gives `path`, a file or folder below `from`, the same place below `to` by hard links: what is
// removed from `from` later stays there. `to` is made anew, 0700. Follows no link, neither in
// `path` nor below it. INVALID_ARGUMENT for a path that leads out; the error of link() where the
// file system or the kernel allows no hard links. What was linked until an error stays.
absl::Status LinkBelow(const std::string& from, const std::string& path, const std::string& to);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_COPY_FOLDER_H_
