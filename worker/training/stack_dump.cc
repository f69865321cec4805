// See stack_dump.h.
#include "worker/training/stack_dump.h"

#include <execinfo.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/string_view.h"

namespace trainyard::training {
namespace {

constexpr int kSignal = SIGUSR2;
constexpr int kFramesMax = 64;
constexpr useconds_t kMoment = 100'000;

void Dump(int) {
  const int before = errno;
  constexpr absl::string_view kTitle = "stack of this rank, which others wait for:\n";
  void* frames[kFramesMax];
  const int count = backtrace(frames, kFramesMax);
  if (write(STDERR_FILENO, kTitle.data(), kTitle.size()) > 0) {
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
  }
  errno = before;
}

}  // namespace

bool DumpStackOnSignal() {
  const char* const wish = std::getenv("TRAINYARD_STACK_DUMP");
  const absl::string_view text = wish == nullptr ? "" : wish;
  if (text == "0") return false;
  struct sigaction now = {};
  if (sigaction(kSignal, nullptr, &now) != 0) return false;
  const bool plain = (now.sa_flags & SA_SIGINFO) == 0;
  if (plain && now.sa_handler == Dump) return true;
  if (!plain || now.sa_handler != SIG_DFL) return text == "own";
  // The first call loads a library, which a handler must not.
  void* frame = nullptr;
  backtrace(&frame, 1);
  struct sigaction action = {};
  action.sa_handler = Dump;
  action.sa_flags = SA_RESTART;
  return sigaction(kSignal, &action, nullptr) == 0;
}

void AskForStacks(const std::vector<pid_t>& processes) {
  bool any = false;
  for (const pid_t process : processes) any |= process > 0 && kill(process, kSignal) == 0;
  if (any) usleep(kMoment);
}

}  // namespace trainyard::training
