// The meeting of all ranks of one node, in memory that they share: everybody says where it is and
// waits until all are there. Waiting spins for as long as spinning has paid lately, then sleeps on
// a futex, so that more ranks than cores work too.
//  - Each meeting carries the call it belongs to. Ranks that meet in different calls get an error
//    that names both, instead of a hang or wrong sums.
//  - An error is for ever: later meetings answer it at once, whatever was begun before.
//  - A rank whose process ends while others wait is named within about 100 ms; one that does not
//    come for TRAINYARD_HANG_TIMEOUT is named with what its process is doing, and asked to write
//    its stack to its log (stack_dump.h).
// One thread at a time per rank.
#ifndef TRAINYARD_WORKER_TRAINING_GANG_SYNC_H_
#define TRAINYARD_WORKER_TRAINING_GANG_SYNC_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/file.h"
#include "worker/training/communicator.h"
#include "worker/training/shared_region.h"

namespace trainyard::training {

enum class Collective : uint8_t {
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kBarrier,
  kAllocate
};

// What a rank is doing; must be equal on all ranks.
struct Call {
  Collective collective = Collective::kBarrier;
  DataType type = DataType::kFloat32;
  ReduceOp op = ReduceOp::kSum;
  int32_t root = 0;
  uint64_t count = 0;
  uint64_t place = 0;  // offset in the arena plus 1; 0: not in the arena
  bool operator==(const Call&) const = default;
};
// "all-reduce (sum) of 5 float32 in the arena".
std::string Describe(const Call& call);

class GangSync {
 public:
  // Bytes that the meeting needs at the start of the region, zeroed before anybody uses it.
  static size_t BytesFor(int size);

  // `numbers`: by which people know this node's ranks; empty: their own.
  GangSync(SharedRegion* region, int rank, int size, std::vector<int> numbers = {});

  // A thread beside the one that computes waits without burning a core that others need.
  void set_background(bool background);
  // Added to the hang timeout: who waits for a rank that may itself wait for another node lets that
  // one speak first, and says so when it does not.
  void set_extra_patience(absl::Duration extra) {
    extra_patience_ns_ = absl::ToInt64Nanoseconds(extra);
  }

  // UNAVAILABLE naming a rank that has ended; FAILED_PRECONDITION naming a rank in another call;
  // TIMED_OUT naming those that did not come.
  absl::Status Meet(const Call& call);

 private:
  // Of one rank, written by it alone but for `sleepers`.
  struct alignas(128) Seat {
    std::atomic<uint32_t> meetings;  // that it has come to
    std::atomic<uint32_t> sleepers;  // ranks asleep until `meetings` changes
    std::atomic<int32_t> pid;
    std::atomic<int32_t> dumps;  // it writes its stack when asked
    std::atomic<uint64_t> pids;  // the namespace in which `pid` is its number
    Call calls[2];               // of the last two meetings
  };

  // Of all ranks together.
  static constexpr size_t kCoresMax = 1024;
  struct alignas(128) Cores {
    std::atomic<uint64_t> mask[kCoresMax / 64];
  };

  // A peer's process as this one sees it.
  struct Process {
    FileDescriptor file;  // a pidfd, once it was looked for
    bool ended = false;
  };

  absl::Status MeetOnce(const Call& call);
  // Whether the process of a rank is to be seen under its number here.
  bool InSight(const Seat& seat) const;
  // A rank that has ended, rather one that has not come to this meeting; -1 if none is known.
  int FindMissing();
  int CoreCount() const;
  void SetSpin();
  absl::Status WaitFor(const Seat& seat, int rank, const Call& call);
  bool Spin(const Seat& seat);
  absl::Status Sleep(const Seat& seat, int rank, const Call& call);
  bool HasCome(const Seat& seat) const;
  int NumberOf(int rank) const {
    return numbers_.empty() ? rank : numbers_[static_cast<size_t>(rank)];
  }
  absl::Status Ended(int rank, const Call& call) const;
  absl::Status Late(const Call& call, int64_t waited_ns) const;

  SharedRegion* const region_;
  const int rank_;
  const int size_;
  const std::vector<int> numbers_;
  const int64_t patience_ns_;
  Cores* const cores_;
  Seat* const seats_;
  absl::Status broken_;  // the first error
  uint64_t pids_ = 0;    // this process's namespace of numbers, 0: not known
  std::vector<Process> processes_;
  int64_t extra_patience_ns_ = 0;
  uint32_t meetings_ = 0;
  int core_count_ = 0;  // 0: not known yet
  bool background_ = false;
  int64_t spin_max_ = 0;  // nanoseconds
  int64_t spin_ = 0;      // how long the next wait spins
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_GANG_SYNC_H_
