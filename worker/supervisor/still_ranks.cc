// See still_ranks.h.
#include "worker/supervisor/still_ranks.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "worker/supervisor/files.h"

namespace trainyard::worker {
namespace {

constexpr char kLimitVariable[] = "TRAINYARD_HANG_TIMEOUT";
// The library, which knows more, speaks first where a program uses it.
constexpr int64_t kLibraryFirstMillis = 2000;
constexpr int64_t kTogetherMillis = 1500;  // ranks that fall silent within it did so together
constexpr int64_t kIdleNanos = 500'000;    // used in no time at all: nothing
constexpr int64_t kIdlePart = 1000;        // a part of the time that passed: nothing either
constexpr int kFieldOfUserTime = 11;       // after the state; of the system's time: the next
constexpr size_t kStatBytesMax = 4096;
constexpr int kDepthMax = 256;
constexpr int64_t kLookGapMillisMax = 5000;

// The number that is the n-th field after the state in "PID (NAME) S PPID ...".
int64_t Field(const std::string& text, size_t at, int n) {
  for (; n > 0 && at != std::string::npos; --n) at = text.find(' ', at + 1);
  return at == std::string::npos ? 0 : strtoll(text.c_str() + at, nullptr, 10);
}

}  // namespace

int64_t HangLimitMillis(const Environment& env) {
  const auto found = env.find(kLimitVariable);
  if (found == env.end()) return 0;
  char* end = nullptr;
  const double seconds = strtod(found->second.c_str(), &end);
  const bool good = end != found->second.c_str() && *end == '\0' && seconds > 0 && seconds < 1e9;
  return good ? static_cast<int64_t>(seconds * 1000) + kLibraryFirstMillis : 0;
}

std::map<pid_t, StillRanks::Process> StillRanks::ReadProcesses() const {
  std::map<pid_t, Process> processes;
  const int64_t tick_ns = 1'000'000'000 / std::max(1L, sysconf(_SC_CLK_TCK));
  DIR* const folder = opendir(proc_.c_str());
  if (folder == nullptr) return processes;
  while (const dirent* entry = readdir(folder)) {
    const int pid = atoi(entry->d_name);
    std::string stat;
    if (pid <= 0 || !ReadWhole(proc_ + "/" + entry->d_name + "/stat", kStatBytesMax, &stat)) {
      continue;
    }
    const size_t bracket = stat.rfind(')');  // the name may hold anything
    if (bracket == std::string::npos || bracket + 4 >= stat.size()) continue;
    const size_t state = bracket + 2;
    Process& process = processes[pid];
    process.state = stat[state];
    process.parent = static_cast<pid_t>(Field(stat, state, 1));
    for (int i = 0; i < 2; ++i) {
      process.used_ns += Field(stat, state, kFieldOfUserTime + i) * tick_ns;
    }
  }
  closedir(folder);
  return processes;
}

std::string StillRanks::Doing(pid_t pid, char state) const {
  if (state == 'T' || state == 't') return "is stopped by a signal";
  std::string where;
  ReadWhole(proc_ + "/" + std::to_string(pid) + "/wchan", kStatBytesMax, &where);
  if (where.size() <= 1) where.clear();  // "0": not told
  const std::string in = where.empty() ? "" : " in " + where;
  return (state == 'D' ? "waits for a device" : "is asleep") + in;
}

// Of all threads that live, to the nanosecond where the kernel counts so.
int64_t StillRanks::UsedNanos(pid_t pid, const Process& process) const {
  const std::string tasks = proc_ + "/" + std::to_string(pid) + "/task";
  DIR* const folder = opendir(tasks.c_str());
  if (folder == nullptr) return process.used_ns;
  int64_t sum = 0;
  bool counted = false;
  while (const dirent* entry = readdir(folder)) {
    std::string text;
    if (entry->d_name[0] == '.') continue;
    if (!ReadWhole(tasks + "/" + entry->d_name + "/schedstat", kStatBytesMax, &text)) continue;
    sum += strtoll(text.c_str(), nullptr, 10);
    counted = true;
  }
  closedir(folder);
  return counted ? sum : process.used_ns;
}

std::map<pid_t, StillRanks::Sum> StillRanks::SumsOf(
    const std::vector<Watched>& ranks, const std::map<pid_t, Process>& processes) const {
  std::map<pid_t, Sum> sums;
  for (const auto& [pid, process] : processes) {
    pid_t at = pid;
    const auto is_rank = [&](const Watched& rank) { return rank.pid == at; };
    for (int depth = 0; at > 1 && depth < kDepthMax; ++depth) {
      if (std::any_of(ranks.begin(), ranks.end(), is_rank)) {
        sums[at].used_ns += UsedNanos(pid, process);
        sums[at].runs |= process.state == 'R';
        break;
      }
      const auto parent = processes.find(at);
      at = parent == processes.end() ? 0 : parent->second.parent;
    }
  }
  return sums;
}

std::optional<StillRank> StillRanks::Look(const std::vector<Watched>& ranks, int64_t now_ms,
                                          int64_t limit_ms) {
  const std::map<pid_t, Process> processes = ReadProcesses();
  const std::map<pid_t, Sum> sums = SumsOf(ranks, processes);
  if (now_ms - look_ms_ > kLookGapMillisMax) seen_.clear();
  look_ms_ = now_ms;
  std::map<pid_t, Seen> seen;
  std::optional<StillRank> still;
  for (const Watched& rank : ranks) {
    const auto sum = sums.find(rank.pid);
    if (sum == sums.end()) continue;  // it has ended, or never began
    const auto before = seen_.find(rank.pid);
    Seen now{now_ms, sum->second.used_ns};
    if (before != seen_.end() && !sum->second.runs) {
      const int64_t passed_ns = (now_ms - before->second.time_ms) * 1'000'000;
      // Less than before: a thread or a process below it has ended, which is something done.
      const int64_t used_ns = sum->second.used_ns - before->second.used_ns;
      if (used_ns >= 0 && used_ns <= kIdleNanos + passed_ns / kIdlePart) now = before->second;
    }
    seen[rank.pid] = now;
    if (now_ms - now.time_ms < limit_ms) continue;
    const char state = processes.at(rank.pid).state;
    const bool is_stopped = state == 'T' || state == 't';
    const bool first = !still.has_value() || now.time_ms + kTogetherMillis < still->since_ms;
    if (first || (is_stopped && !still->is_stopped)) {
      still = {rank.rank, rank.pid, now.time_ms, Doing(rank.pid, state), is_stopped};
    }
  }
  seen_ = std::move(seen);
  return still;
}

}  // namespace trainyard::worker
