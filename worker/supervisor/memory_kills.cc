// See memory_kills.h.
#include "worker/supervisor/memory_kills.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "worker/supervisor/files.h"

namespace trainyard::worker {
namespace {

constexpr char kFirstNamespace[] = "pid:[4026531836]";  // of the machine itself, in every kernel
constexpr char kKilled[] = "Killed process ";
constexpr size_t kFileBytesMax = 65536;
constexpr size_t kRestMax = 8192;  // a record of the log is shorter
constexpr int kTries = 5;          // to find a victim in the log
constexpr int kTryMillis = 10;
constexpr long kLargePart = 10;  // a tenth of the machine's memory
constexpr size_t kBelowMax = 4096;
constexpr int64_t kBelowKeptMillis = 10'000;  // a program says soon that it lost a process
constexpr int64_t kRiseKeptMillis = 2000;     // a group may be shared: closer

// The number after `word`, which stands at the beginning of a line; -1 when there is none.
long NumberAfter(const std::string& text, const std::string& word) {
  size_t at = 0;
  if (text.compare(0, word.size(), word) != 0) {
    at = text.find("\n" + word);
    if (at == std::string::npos) return -1;
    ++at;
  }
  return atol(text.c_str() + at + word.size());
}

// The path of the process's memory cgroup in /proc/PID/cgroup: with the controller's name in
// version 1 ("4:memory:/a/b"), without any in version 2 ("0::/a/b").
bool MemoryPath(const std::string& text, bool* first_version, std::string* path) {
  bool found = false;
  for (size_t start = 0; start < text.size();) {
    size_t end = text.find('\n', start);
    if (end == std::string::npos) end = text.size();
    const std::string line = text.substr(start, end - start);
    start = end + 1;
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string names = ",";
    names.append(line, first + 1, second - first - 1);
    names += ',';
    const bool is_first = names.find(",memory,") != std::string::npos;
    if (!is_first && (found || names != ",,")) continue;
    *first_version = is_first;
    *path = line.substr(second + 1);
    found = true;
    if (is_first) break;
  }
  return found;
}

long KillsIn(const std::string& file) {
  std::string text;
  if (file.empty() || !ReadWhole(file, kFileBytesMax, &text)) return -1;
  return NumberAfter(text, "oom_kill ");
}

// Those that any thread of `pid` started and that live.
std::vector<pid_t> ChildrenOf(const std::string& proc, pid_t pid) {
  std::vector<pid_t> children;
  const std::string tasks = proc + "/" + std::to_string(pid) + "/task";
  DIR* const folder = opendir(tasks.c_str());
  if (folder == nullptr) return children;
  while (const dirent* entry = readdir(folder)) {
    std::string text;
    if (entry->d_name[0] == '.' ||
        !ReadWhole(tasks + "/" + entry->d_name + "/children", kFileBytesMax, &text)) {
      continue;
    }
    const char* at = text.c_str();
    for (char* end = nullptr; true; at = end) {
      const long child = strtol(at, &end, 10);
      if (end == at || child <= 0) break;
      children.push_back(static_cast<pid_t>(child));
    }
  }
  closedir(folder);
  return children;
}

}  // namespace

// "PRIORITY,SEQUENCE,MICROS,-;[Memory cgroup] out of memory: Killed process PID (NAME) ...".
// A priority of 8 and more is not the kernel's own word.
pid_t VictimOf(const std::string& line) {
  const size_t text = line.find(';');
  if (text == std::string::npos || atol(line.c_str()) >= 8) return -1;
  size_t at = text + 1;
  for (const char* const words : {"Out of memory: ", "Memory cgroup out of memory: "}) {
    if (line.compare(at, strlen(words), words) == 0) at += strlen(words);
  }
  if (line.compare(at, strlen(kKilled), kKilled) != 0) return -1;
  const char* const digits = line.c_str() + at + strlen(kKilled);
  char* end = nullptr;
  const long pid = strtol(digits, &end, 10);
  return end == digits || pid <= 0 ? -1 : static_cast<pid_t>(pid);
}

MemoryKills::~MemoryKills() {
  if (log_ >= 0) close(log_);
}

bool MemoryKills::Begin() {
  log_ = open(places_.log.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  char space[64];
  const ssize_t length =
      readlink((places_.proc + "/self/ns/pid").c_str(), space, sizeof(space) - 1);
  const bool counts_as_we_do =
      length > 0 && std::string(space, static_cast<size_t>(length)) == kFirstNamespace;
  named_ = log_ >= 0 && counts_as_we_do && lseek(log_, 0, SEEK_END) >= 0;
  machine_kills_ = MachineKills();
  return named_;
}

long MemoryKills::MachineKills() const { return KillsIn(places_.proc + "/vmstat"); }

// The nearest group upwards that counts. In a container the path may begin above what is mounted.
std::string MemoryKills::CounterOf(pid_t pid) const {
  std::string text;
  bool first_version = false;
  std::string path;
  if (!ReadWhole(places_.proc + "/" + std::to_string(pid) + "/cgroup", kFileBytesMax, &text) ||
      !MemoryPath(text, &first_version, &path)) {
    return "";
  }
  while (true) {
    if (first_version) {
      const std::string file = places_.cgroups + "/memory" + path + "/memory.oom_control";
      if (KillsIn(file) >= 0) return file;
    } else {
      for (const char* const name : {"/memory.events.local", "/memory.events"}) {
        const std::string file = places_.cgroups + path + name;
        if (KillsIn(file) >= 0) return file;
      }
    }
    const size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos) return "";
    path.resize(slash);
  }
}

void MemoryKills::Look(pid_t pid) {
  if (pid <= 0) return;
  LookBelow(pid);
  if (named_) {
    ReadLog();
  } else {
    LookAtCounters(pid);
  }
}

// All processes below `pid`, with their names; forgets those that are long gone.
void MemoryKills::LookBelow(pid_t pid) {
  const int64_t now = MonotonicMillis();
  std::vector<pid_t> open = ChildrenOf(places_.proc, pid);
  for (size_t i = 0; i < open.size() && open.size() < kBelowMax; ++i) {
    Below& below = below_[open[i]];
    if (below.seen_ms == 0 || below.above != pid) {
      below.above = pid;
      ReadWhole(places_.proc + "/" + std::to_string(open[i]) + "/comm", kFileBytesMax, &below.name);
      while (!below.name.empty() && below.name.back() == '\n') below.name.pop_back();
    }
    below.seen_ms = now;
    for (const pid_t child : ChildrenOf(places_.proc, open[i])) open.push_back(child);
  }
  for (auto it = below_.begin(); it != below_.end();) {
    it = now - it->second.seen_ms > kBelowKeptMillis ? below_.erase(it) : std::next(it);
  }
}

void MemoryKills::LookAtCounters(pid_t pid) {
  std::string text;
  if (!ReadWhole(places_.proc + "/" + std::to_string(pid) + "/statm", kFileBytesMax, &text)) return;
  const size_t space = text.find(' ');
  const long pages = space == std::string::npos ? 0 : atol(text.c_str() + space);
  if (pages <= 0) return;  // it has ended: what was seen before stands
  const std::string file = CounterOf(pid);
  Seen& seen = seen_[pid];
  const long kills = KillsIn(file);
  const bool rose = seen.file == file && seen.kills >= 0 && kills > seen.kills;
  const bool is_alone = std::none_of(
      below_.begin(), below_.end(), [pid](const auto& below) { return below.second.above == pid; });
  seen = {file, kills, pages, rose ? MonotonicMillis() : seen.rise_ms, is_alone};
  machine_kills_ = MachineKills();
}

// One record a read; what was overwritten before it was read is long past.
void MemoryKills::ReadLog() {
  char buffer[kRestMax];
  while (true) {
    const ssize_t length = read(log_, buffer, sizeof(buffer));
    if (length < 0 && (errno == EPIPE || errno == EINTR)) continue;
    if (length <= 0) return;
    rest_.append(buffer, static_cast<size_t>(length));
    size_t start = 0;
    for (size_t end; (end = rest_.find('\n', start)) != std::string::npos; start = end + 1) {
      const pid_t victim = VictimOf(rest_.substr(start, end - start));
      if (victim > 0) victims_[victim] = MonotonicMillis();
    }
    rest_.erase(0, start);
    if (rest_.size() > kRestMax) rest_.clear();
  }
}

bool MemoryKills::Took(pid_t pid) {
  if (named_) {
    // The kernel counts, then kills, then writes.
    const bool some = MachineKills() != machine_kills_;
    for (int i = 0; i < (some ? kTries : 1); ++i) {
      if (i > 0) {
        const timespec pause{0, kTryMillis * 1000000L};
        nanosleep(&pause, nullptr);
      }
      ReadLog();
      if (victims_.count(pid) > 0) return true;
    }
    return false;
  }
  const auto seen = seen_.find(pid);
  if (seen == seen_.end()) return false;
  if (seen->second.kills >= 0) return KillsIn(seen->second.file) > seen->second.kills;
  const bool large = seen->second.pages > sysconf(_SC_PHYS_PAGES) / kLargePart;
  return large && machine_kills_ >= 0 && MachineKills() > machine_kills_;
}

std::string MemoryKills::TookBelow(pid_t pid) {
  const int64_t now = MonotonicMillis();
  if (named_) {
    ReadLog();
    for (const auto& [victim, time_ms] : victims_) {
      const auto below = below_.find(victim);
      if (below == below_.end() || below->second.above != pid) continue;
      if (now - time_ms > kBelowKeptMillis) continue;
      return "its process " + std::to_string(victim) + " (" + below->second.name + ")";
    }
    return "";
  }
  const auto seen = seen_.find(pid);
  if (seen == seen_.end() || seen->second.kills < 0 || seen->second.is_alone) return "";
  const bool rose = KillsIn(seen->second.file) > seen->second.kills ||
                    (seen->second.rise_ms > 0 && now - seen->second.rise_ms < kRiseKeptMillis);
  return rose ? "one of its processes" : "";
}

}  // namespace trainyard::worker
