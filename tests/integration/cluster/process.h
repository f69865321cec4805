// Child processes of a test, and the search for processes that a cluster left behind. A child dies
// with the test (by the kernel), so that nothing survives a test that was killed. A process belongs
// to a cluster when its environment, its command line or its current folder names the cluster's
// folder: that finds daemons, supervisors, launchers, ranks and what ranks started. Main thread.
#ifndef TRAINYARD_TESTS_INTEGRATION_CLUSTER_PROCESS_H_
#define TRAINYARD_TESTS_INTEGRATION_CLUSTER_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard::testing {

struct Command {
  std::vector<std::string> words;  // argv; argv[0] is looked up in PATH
  std::vector<std::string> env;    // "NAME=value", on top of our own environment
  std::string out;                 // file for standard output; "" : our own
  std::string errors;              // file for standard error, appended; "" : our own
  std::string network;             // name of a network namespace to run in; "" : ours
};

class Process {
 public:
  Process() = default;
  explicit Process(const Command& command);
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process() { Kill(); }

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  // SIGKILL, and waits for the end.
  void Kill();
  // SIGTERM; exit code within `limit`, else it is killed and the answer is -1.
  int Stop(absl::Duration limit = absl::Seconds(60));
  // Exit code, or 128 + signal, when it has ended.
  std::optional<int> Ended();
  // Waits for its end; -1 when it did not come in `limit`.
  int Await(absl::Duration limit = absl::Seconds(60));

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
};

// Runs to its end. -1: could not be started or took longer than a minute.
int RunToEnd(const Command& command);

struct Found {
  pid_t pid = -1;
  pid_t parent = -1;
  std::string name;     // the program's file name
  std::string command;  // whole command line
  char state = '?';     // of /proc: R S D Z T
};
// Processes that belong to the cluster in `folder`, but zombies and ourselves.
std::vector<Found> ProcessesOf(absl::string_view folder);
// Those of them whose program is `name`, lowest pid first.
std::vector<pid_t> PidsOf(absl::string_view folder, absl::string_view name);
bool IsAlive(pid_t pid);

}  // namespace trainyard::testing

#endif  // TRAINYARD_TESTS_INTEGRATION_CLUSTER_PROCESS_H_
