// Which processes the kernel's out-of-memory killer took. Its log names each victim: where that may
// be read and counts processes as we do, nothing else is believed. Elsewhere the counter of the
// process's own memory cgroup is looked at every second, and only a rise within the last look
// counts; where no cgroup counts, the machine's counter does, and only against a process that held
// a good part of the machine's memory. A rank that fails because a process below it was taken is
// told from others by who was below it at the last looks. Errs towards "no". Single-threaded.
#ifndef TRAINYARD_WORKER_SUPERVISOR_MEMORY_KILLS_H_
#define TRAINYARD_WORKER_SUPERVISOR_MEMORY_KILLS_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace trainyard::worker {

class MemoryKills {
 public:
  // Where the kernel tells it; other places in tests.
  struct Places {
    std::string log = "/dev/kmsg";
    std::string proc = "/proc";
    std::string cgroups = "/sys/fs/cgroup";
  };

  MemoryKills() : MemoryKills(Places()) {}
  explicit MemoryKills(Places places) : places_(std::move(places)) {}
  ~MemoryKills();
  MemoryKills(const MemoryKills&) = delete;
  MemoryKills& operator=(const MemoryKills&) = delete;

  // What happened before does not count. True: the log is what is believed.
  bool Begin();
  // To be called every second while the process lives: notes where it is counted, how much it holds
  // and what is below it.
  void Look(pid_t pid);
  // The process has ended by a SIGKILL; true when there is evidence that the kernel sent it for
  // want of memory. Waits at most a twentieth of a second for the kernel to write it down.
  bool Took(pid_t pid);
  // The process has failed by itself; when there is evidence that the kernel took one below it for
  // want of memory shortly before, which one that was: "its process 17 (python3)". Else "".
  std::string TookBelow(pid_t pid);

 private:
  struct Seen {
    std::string file;      // with the counter of its cgroup; "": none
    long kills = -1;       // -1: unknown
    long pages = 0;        // resident
    int64_t rise_ms = 0;   // when a look found more than the one before; 0: never
    bool is_alone = true;  // nothing was below it at the last look
  };
  struct Below {
    pid_t above = 0;  // the process that is watched
    std::string name;
    int64_t seen_ms = 0;  // alive
  };
  void ReadLog();
  void LookBelow(pid_t pid);
  void LookAtCounters(pid_t pid);
  std::string CounterOf(pid_t pid) const;
  long MachineKills() const;

  const Places places_;
  int log_ = -1;
  bool named_ = false;                // the log names victims as we number processes
  std::string rest_;                  // of a line of the log that is not whole yet
  std::map<pid_t, int64_t> victims_;  // that the log names, and when it was read
  std::map<pid_t, Below> below_;
  std::map<pid_t, Seen> seen_;
  long machine_kills_ = -1;  // at Begin(), or at the last look where that counts
};

// The process that this line of the kernel's log says was killed for want of memory; -1: none.
pid_t VictimOf(const std::string& line);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_MEMORY_KILLS_H_
