// See gang_sync.h.
#include "worker/training/gang_sync.h"

#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <ctime>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "worker/training/hang.h"
#include "worker/training/stack_dump.h"

namespace trainyard::training {
namespace {

// Waking a sleeper takes tens of microseconds, in virtual machines more, and a peer that copies
// megabytes comes late: so a wait spins for long, as MPI's do, before it sleeps.
constexpr int64_t kSpinMax = 2'000'000;           // nanoseconds
constexpr int64_t kSpinMin = 200'000;             // however often spinning did not pay lately
constexpr int64_t kSpinCrowded = 1'000;           // with more ranks than cores
constexpr int kPausesPerLook = 64;                // at the clock
constexpr int64_t kLookNanoseconds = 50'000'000;  // between looks for ended ranks

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Not FUTEX_PRIVATE: the word is shared between processes.
void FutexWait(const std::atomic<uint32_t>* word, uint32_t value) {
  const timespec limit = {0, kLookNanoseconds};
  syscall(SYS_futex, reinterpret_cast<const uint32_t*>(word), FUTEX_WAIT, value, &limit, nullptr,
          0);
}

void FutexWakeAll(const std::atomic<uint32_t>* word) {
  syscall(SYS_futex, reinterpret_cast<const uint32_t*>(word), FUTEX_WAKE, INT32_MAX, nullptr,
          nullptr, 0);
}

int64_t Nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

const char* NameOf(Collective collective) {
  switch (collective) {
    case Collective::kAllReduce:
      return "all-reduce";
    case Collective::kReduceScatter:
      return "reduce-scatter";
    case Collective::kAllGather:
      return "all-gather";
    case Collective::kBroadcast:
      return "broadcast";
    case Collective::kBarrier:
      return "barrier";
    case Collective::kAllocate:
      return "allocation";
  }
  return "";
}

}  // namespace

std::string Describe(const Call& call) {
  std::string text = NameOf(call.collective);
  if (call.collective == Collective::kBarrier) return text;
  if (call.collective == Collective::kAllocate) {
    return absl::StrCat(text, " of ", call.count, " bytes");
  }
  if (call.collective == Collective::kAllReduce || call.collective == Collective::kReduceScatter) {
    absl::StrAppend(&text, " (", training::NameOf(call.op), ")");
  }
  absl::StrAppend(&text, " of ", call.count, " ", training::NameOf(call.type));
  if (call.collective == Collective::kBroadcast) absl::StrAppend(&text, " from rank ", call.root);
  if (call.place != 0) absl::StrAppend(&text, " at ", call.place - 1, " of the arena");
  return text;
}

size_t GangSync::BytesFor(int size) {
  return sizeof(Cores) + static_cast<size_t>(size) * sizeof(Seat);
}

GangSync::GangSync(SharedRegion* region, int rank, int size, std::vector<int> numbers)
    : region_(region),
      rank_(rank),
      size_(size),
      numbers_(std::move(numbers)),
      patience_ns_(absl::ToInt64Nanoseconds(HangTimeout())),
      cores_(reinterpret_cast<Cores*>(region->base())),
      seats_(reinterpret_cast<Seat*>(region->base() + sizeof(Cores))) {
  SetSpin();
  struct stat info {};
  if (stat("/proc/self/ns/pid", &info) == 0) pids_ = info.st_ino;
  processes_.resize(static_cast<size_t>(size));
  seats_[rank_].pids.store(pids_, std::memory_order_relaxed);
  seats_[rank_].pid.store(getpid(), std::memory_order_release);
  seats_[rank_].dumps.store(DumpStackOnSignal() ? 1 : 0, std::memory_order_relaxed);
  cpu_set_t mine;
  if (sched_getaffinity(0, sizeof(mine), &mine) != 0) return;
  for (size_t core = 0; core < kCoresMax; ++core) {
    if (!CPU_ISSET(core, &mine)) continue;
    cores_->mask[core / 64].fetch_or(uint64_t{1} << core % 64, std::memory_order_relaxed);
  }
}

// Launchers may bind each rank to a core of its own: all ranks' cores together count.
int GangSync::CoreCount() const {
  int count = 0;
  for (const auto& mask : cores_->mask) {
    count += std::popcount(mask.load(std::memory_order_relaxed));
  }
  return count;
}

void GangSync::SetSpin() {
  // Before the first meeting not all ranks have said what they may run on.
  const int threads = background_ ? 2 * size_ : size_;
  const bool crowded = core_count_ > 0 && threads > core_count_;
  spin_max_ = crowded ? kSpinCrowded : kSpinMax;
  spin_ = std::clamp(spin_, std::min(kSpinMin, spin_max_), spin_max_);
}

void GangSync::set_background(bool background) {
  background_ = background;
  SetSpin();
}

absl::Status GangSync::Meet(const Call& call) {
  if (broken_.ok()) broken_ = MeetOnce(call);
  return broken_;
}

absl::Status GangSync::MeetOnce(const Call& call) {
  if (++meetings_ == 2) {
    core_count_ = CoreCount();
    SetSpin();
  }
  Seat& mine = seats_[rank_];
  mine.calls[meetings_ % 2] = call;
  // Sequentially consistent, as is the sleeper's side: either we see it or it sees us.
  mine.meetings.store(meetings_, std::memory_order_seq_cst);
  if (mine.sleepers.load(std::memory_order_seq_cst) != 0) FutexWakeAll(&mine.meetings);
  for (int i = 1; i < size_; ++i) {
    const int rank = (rank_ + i) % size_;
    const Seat& seat = seats_[rank];
    if (!HasCome(seat)) {
      if (absl::Status status = WaitFor(seat, rank, call); !status.ok()) return status;
    }
    // It writes this place again at its meeting after next, which needs us to have come to the
    // next.
    const Call& other = seat.calls[meetings_ % 2];
    if (other == call) continue;
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
        absl::StrCat("ranks are out of step: rank ", NumberOf(rank_), " is in ", Describe(call),
                     ", rank ", NumberOf(rank), " in ", Describe(other)),
        "all ranks must make the same calls in the same order");
  }
  return absl::OkStatus();
}

bool GangSync::HasCome(const Seat& seat) const {
  // Counters wrap: only their distance has a meaning.
  return static_cast<int32_t>(seat.meetings.load(std::memory_order_acquire) - meetings_) >= 0;
}

absl::Status GangSync::WaitFor(const Seat& seat, int rank, const Call& call) {
  if (Spin(seat)) return absl::OkStatus();
  return Sleep(seat, rank, call);
}

bool GangSync::Spin(const Seat& seat) {
  int64_t deadline = 0;
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      Pause();
      if (HasCome(seat)) {
        spin_ = std::min(spin_max_, 2 * spin_);
        return true;
      }
    }
    if (deadline == 0) deadline = Nanoseconds() + spin_;
  } while (Nanoseconds() < deadline);
  spin_ = std::max(std::min(kSpinMin, spin_max_), spin_ / 2);
  sched_yield();
  return HasCome(seat);
}

absl::Status GangSync::Sleep(const Seat& seat, int rank, const Call& call) {
  auto& sleepers = const_cast<Seat&>(seat).sleepers;
  absl::Status status;
  const int64_t start = Nanoseconds();
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (true) {
    const uint32_t seen = seat.meetings.load(std::memory_order_seq_cst);
    if (static_cast<int32_t>(seen - meetings_) >= 0) break;
    FutexWait(&seat.meetings, seen);
    if (HasCome(seat)) break;
    if (const int missing = FindMissing(); missing >= 0 && !HasCome(seat)) {
      status = Ended(missing, call);
      break;
    }
    const int dead = region_->FindDead();
    // It may have come and ended since: then nothing is wrong yet.
    if (dead >= 0 && !HasCome(seat)) {
      status = Ended(dead == 0 || rank_ == 0 ? dead : rank, call);
      break;
    }
    if (const int64_t waited = Nanoseconds() - start;
        waited - extra_patience_ns_ > patience_ns_ && !HasCome(seat)) {
      status = Late(call, waited);
      break;
    }
  }
  sleepers.fetch_sub(1, std::memory_order_seq_cst);
  return status;
}

// A number means another process in another namespace: it is neither looked at nor signalled.
bool GangSync::InSight(const Seat& seat) const {
  const pid_t pid = seat.pid.load(std::memory_order_acquire);
  return pid > 0 && pids_ != 0 && seat.pids.load(std::memory_order_relaxed) == pids_;
}

// Who has come and ended since is named last: it may have left because of another.
int GangSync::FindMissing() {
  int left = -1;
  for (int rank = 0; rank < size_; ++rank) {
    const Seat& seat = seats_[rank];
    if (rank == rank_ || !InSight(seat)) continue;
    const pid_t pid = seat.pid.load(std::memory_order_relaxed);
    if (pid == getpid()) continue;  // a thread
    Process& process = processes_[static_cast<size_t>(rank)];
    if (!process.file.valid() && !process.ended) {
      process.file = FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
      process.ended = !process.file.valid() && errno == ESRCH;
    }
    pollfd entry = {process.file.get(), POLLIN, 0};
    if (process.file.valid() && poll(&entry, 1, 0) > 0) process.ended = true;
    if (process.ended && !HasCome(seat)) return rank;
    if (process.ended && left < 0) left = rank;
  }
  return left;
}

absl::Status GangSync::Late(const Call& call, int64_t waited_ns) const {
  std::vector<std::string> names;
  std::vector<pid_t> dumping;
  for (int rank = 0; rank < size_; ++rank) {
    if (rank == rank_ || HasCome(seats_[rank])) continue;
    const pid_t pid = seats_[rank].pid.load(std::memory_order_relaxed);
    const bool in_sight = InSight(seats_[rank]);
    const std::string doing = in_sight ? DescribeProcess(pid) : "";
    // Ranks that are threads of this process would write our own.
    if (in_sight && seats_[rank].dumps.load(std::memory_order_relaxed) != 0 && pid != getpid()) {
      dumping.push_back(pid);
    }
    std::string note = doing.empty() ? "" : absl::StrCat(" (", doing, ")");
    // A stopped one waits for nobody.
    if (extra_patience_ns_ > 0 && !absl::StrContains(doing, "stopped")) {
      absl::StrAppend(&note, " (or one of another node for which it waits)");
    }
    names.push_back(absl::StrCat(NumberOf(rank), note));
  }
  AskForStacks(dumping);
  return Hang(absl::StrCat(names.size() == 1 ? "rank " : "ranks ", absl::StrJoin(names, ", "),
                           " on node ", NodeName(), names.size() == 1 ? " has" : " have"),
              Describe(call), absl::Nanoseconds(waited_ns));
}

absl::Status GangSync::Ended(int rank, const Call& call) const {
  return MakeError(absl::StatusCode::kUnavailable, "UNAVAILABLE",
                   absl::StrCat("rank ", NumberOf(rank), " has ended while rank ", NumberOf(rank_),
                                " waits in ", Describe(call)),
                   absl::StrCat("see the log of rank ", NumberOf(rank)));
}

}  // namespace trainyard::training
