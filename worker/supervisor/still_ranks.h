// Which rank stands still: neither it nor any process below it has used processor time for as long
// as its job allows (TRAINYARD_HANG_TIMEOUT of the spec's env). A rank that wakes up only to see
// that there is nothing, a beat of a background thread, stands still too; one that waits for a
// processor does not. Of several, the one that the kernel says is stopped, else the first to fall
// silent: the others wait for it. Reads /proc. Single-threaded.
#ifndef TRAINYARD_WORKER_SUPERVISOR_STILL_RANKS_H_
#define TRAINYARD_WORKER_SUPERVISOR_STILL_RANKS_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "worker/core/launch_spec.h"

namespace trainyard::worker {

// The limit that a program's variables ask for, in milliseconds; 0: none, or no number.
int64_t HangLimitMillis(const Environment& env);

struct StillRank {
  int32_t rank = 0;
  pid_t pid = -1;
  int64_t since_ms = 0;     // on the clock of Look
  std::string doing;        // "is stopped by a signal", "is asleep in futex_wait_queue"
  bool is_stopped = false;  // by a signal: it is the cause, not one who waits
};

class StillRanks {
 public:
  struct Watched {
    int32_t rank = 0;
    pid_t pid = -1;
  };

  // `proc`: another folder in tests.
  explicit StillRanks(std::string proc = "/proc") : proc_(std::move(proc)) {}

  // To be called about every half second with all ranks that live, on a clock that stands still
  // while the machine sleeps. The rank that has stood still for `limit_ms`, if any. When we were
  // not called for seconds, nobody can have done anything: then all begin anew.
  std::optional<StillRank> Look(const std::vector<Watched>& ranks, int64_t now_ms,
                                int64_t limit_ms);

 private:
  struct Process {
    pid_t parent = 0;
    char state = '?';
    int64_t used_ns = 0;  // of processor time, to the kernel's tick
  };
  struct Seen {
    int64_t time_ms = 0;  // when it last did something
    int64_t used_ns = 0;  // until then
  };

  struct Sum {
    int64_t used_ns = 0;
    bool runs = false;  // some process of it wants a processor or has one
  };

  std::map<pid_t, Process> ReadProcesses() const;
  // Of each rank that lives, with all processes below it.
  std::map<pid_t, Sum> SumsOf(const std::vector<Watched>& ranks,
                              const std::map<pid_t, Process>& processes) const;
  int64_t UsedNanos(pid_t pid, const Process& process) const;
  std::string Doing(pid_t pid, char state) const;

  const std::string proc_;
  std::map<pid_t, Seen> seen_;
  int64_t look_ms_ = 0;  // the last
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_STILL_RANKS_H_
