// What mpirun asks its launch agent to run on another node, taken apart and put together anew. The
// words come from another machine: each is compared with a list, its value with a form, and what is
// run is our own daemon program with arguments that this node chose or checked. Nothing is ever
// given to a shell. Standard library alone, for the supervisor. Pure; thread-safe.
#ifndef TRAINYARD_WORKER_CORE_DAEMON_COMMAND_H_
#define TRAINYARD_WORKER_CORE_DAEMON_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

namespace trainyard::worker {

// What this node allows the daemon of one member.
struct DaemonLimits {
  int32_t open_mpi = 4;        // major version: 4 starts orted, 5 starts prted
  std::string program;         // absolute path of the daemon here
  std::string head_address;    // the only address it may report to; "": any
  int32_t members = 2;         // nodes of the gang
  std::string interface;       // of this node; "": every one
  std::string port_range;      // "LOW-HIGH" of its listening port; "": any
  std::string session_folder;  // for its sockets
  bool as_root = false;
};

// Takes off one layer of double quotes around words and values, and splits words at blanks: mpirun
// writes for a shell. False with a sentence when a word holds anything only a shell understands.
bool SplitDaemonWords(const std::vector<std::string>& words, std::vector<std::string>* argv,
                      std::string* error);

// argv of the daemon, argv[0] included, for the `asked` words of mpirun (argv[0] too: it must be
// named orted or prted, its path counts for nothing). False with a sentence when a parameter is
// unknown, twice there, missing or of a wrong form, or leads to another node than the head.
bool BuildDaemonArguments(const std::vector<std::string>& asked, const DaemonLimits& limits,
                          std::vector<std::string>* argv, std::string* error);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_DAEMON_COMMAND_H_
