// See fault_point.h.
#include "common/fault_point.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/mutex.h"

namespace trainyard::fault {
namespace {

struct Action {
  enum class Kind { kExit, kStall } kind = Kind::kExit;
  int stall_ms = 0;
  int at_pass = 1;
};

struct Table {
  Mutex mutex;
  std::map<std::string, Action, std::less<>> actions ABSL_GUARDED_BY(mutex);
  std::map<std::string, int, std::less<>> passes ABSL_GUARDED_BY(mutex);
};

Table& GetTable() {
  static Table* const table = new Table;
  return *table;
}

bool ParseOne(absl::string_view text, std::string* name, Action* action) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  const std::pair<absl::string_view, absl::string_view> what =
      absl::StrSplit(parts.second, absl::MaxSplits('@', 1));
  *name = std::string(parts.first);
  if (!what.second.empty() && !absl::SimpleAtoi(what.second, &action->at_pass)) return false;
  if (what.first == "exit") return true;
  const std::pair<absl::string_view, absl::string_view> stall =
      absl::StrSplit(what.first, absl::MaxSplits(':', 1));
  action->kind = Action::Kind::kStall;
  return stall.first == "stall" && absl::SimpleAtoi(stall.second, &action->stall_ms);
}

}  // namespace

std::atomic<bool> g_armed{[] {
  const char* text = std::getenv("TRAINYARD_FAULTS");
  if (text == nullptr || *text == '\0') return false;
  Arm(text);
  return true;
}()};

void Arm(absl::string_view text) {
  Table& table = GetTable();
  MutexLock lock(&table.mutex);
  table.actions.clear();
  table.passes.clear();
  for (absl::string_view one : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    std::string name;
    Action action;
    if (ParseOne(one, &name, &action)) table.actions[name] = action;
  }
  g_armed.store(!text.empty(), std::memory_order_relaxed);
}

void Pass(absl::string_view name) {
  Table& table = GetTable();
  Action action;
  {
    MutexLock lock(&table.mutex);
    const int pass = ++table.passes[std::string(name)];
    const auto it = table.actions.find(name);
    if (it == table.actions.end() || it->second.at_pass != pass) return;
    action = it->second;
  }
  if (action.kind == Action::Kind::kExit) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  usleep(static_cast<useconds_t>(action.stall_ms) * 1000);
}

std::vector<std::string> Seen() {
  Table& table = GetTable();
  MutexLock lock(&table.mutex);
  std::vector<std::string> names;
  for (const auto& [name, count] : table.passes) names.push_back(name);
  return names;
}

}  // namespace trainyard::fault
