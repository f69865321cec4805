// A reserve on the journal's disk: a file that takes up space until the disk is full, then is given
// up so that facts, cancels and leases can still be written. While the disk is full submits are
// refused. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_DISK_GUARD_H_
#define TRAINYARD_SCHEDULER_RUNTIME_DISK_GUARD_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace trainyard::runtime {

class DiskGuard {
 public:
  // `folder` "": guards nothing. `reserve_bytes` are taken at once where there is room for twice
  // as much.
  DiskGuard(std::string folder, int64_t reserve_bytes);

  // The journal said the disk is full: gives the reserve up.
  void Full();
  // The journal wrote again; enough where nothing is guarded.
  void Written();
  // Looks at the disk again; full is over when there is room for the reserve and as much again.
  void Look();
  bool full() const { return full_.load(std::memory_order_relaxed); }
  // Submits are refused with this.
  absl::Status Refusal() const;

 private:
  int64_t FreeBytes() const;
  bool Reserve() const;

  const std::string folder_;
  const int64_t reserve_bytes_;
  std::atomic<bool> full_{false};
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_DISK_GUARD_H_
