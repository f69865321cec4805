// Memory that all ranks of one node map, and how they find each other: the first rank listens on an
// abstract unix socket, makes a memfd and hands it to the others. Both vanish with the processes,
// whatever ends them; nothing is left in a file system.
//  - The region is sparse: pages exist once touched. All ranks carve the same pieces in the same
//    order, so that no message is needed for a piece.
//  - The sockets stay open: a closed one tells that its rank has ended. What a rank forks keeps its
//    socket open, so that the process itself is looked at too, where the kernel shows it.
// One thread at a time; the memory itself is shared by its users' own protocol.
#ifndef TRAINYARD_WORKER_TRAINING_SHARED_REGION_H_
#define TRAINYARD_WORKER_TRAINING_SHARED_REGION_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/file.h"

namespace trainyard::training {

class SharedRegion {
 public:
  // Joins the gang of `name`, as one of `size` local ranks. All must come within `limit`.
  // UNAVAILABLE when they do not (the first rank names who is missing), PERMISSION_DENIED when
  // another user holds the name.
  static absl::StatusOr<std::unique_ptr<SharedRegion>> Join(const std::string& name, int rank,
                                                            int size, absl::Duration limit);
  // A region without peers, for threads of one process as ranks.
  static absl::StatusOr<std::unique_ptr<SharedRegion>> Alone();
  ~SharedRegion();
  SharedRegion(const SharedRegion&) = delete;
  SharedRegion& operator=(const SharedRegion&) = delete;

  char* base() const { return base_; }
  static size_t bytes_max();
  // Makes the pages of a piece exist. RESOURCE_EXHAUSTED when there is no memory for them.
  absl::Status Reserve(size_t offset, size_t bytes);
  // A rank whose process has ended, -1 if none: rank 0 sees all, the others see rank 0.
  int FindDead() const;

 private:
  SharedRegion() = default;
  absl::Status Create();
  absl::Status Map();
  absl::Status Invite(const std::string& name, int size, absl::Time deadline);
  // Takes in who has said a number. False: a stranger.
  absl::StatusOr<bool> Welcome(FileDescriptor peer);
  // Who has not come, in words.
  std::string Missing() const;
  absl::Status Accept(const std::string& name, int rank, absl::Time deadline);

  FileDescriptor memory_;
  char* base_ = nullptr;
  struct Peer {
    FileDescriptor socket;
    FileDescriptor process;  // a pidfd; invalid where there is none
  };
  static Peer PeerOf(FileDescriptor socket);

  std::vector<Peer> peers_;  // by rank on rank 0; [0] elsewhere
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_SHARED_REGION_H_
