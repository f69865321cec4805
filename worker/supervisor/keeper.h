// Keeps one program and all that it starts: whatever it forks, also into sessions of its own, ends
// with it, with the keeper, or with the process that started the keeper. The program's output is
// kept to its last 64 KiB. A mode of trainyard-supervisor, used for the code of packages while they
// are installed. Single-threaded.
#ifndef TRAINYARD_WORKER_SUPERVISOR_KEEPER_H_
#define TRAINYARD_WORKER_SUPERVISOR_KEEPER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace trainyard::worker {

inline constexpr char kKeepWord[] = "keep";
// Exit statuses of a keeper beside those of its program: 128 + N when signal N ended that, and
inline constexpr int kKeeperFailed = 125;  // it could not be started; the log says why

struct KeeperSpec {
  pid_t parent = 0;      // ends with it
  int64_t user_id = -1;  // of the program; -1: as the keeper
  int64_t group_id = -1;
  std::string log;                // written when the program has ended
  std::vector<std::string> argv;  // argv[0]: the program's path
};
// The words of trainyard-supervisor that make it keep this, without its own name; and back (false:
// they are none).
std::vector<std::string> KeeperWords(const KeeperSpec& spec);
bool ParseKeeperWords(const std::vector<std::string>& words, KeeperSpec* spec);

// Runs the program in the root folder with this process's environment and waits for its end, or for
// SIGTERM; then nothing of it is left. Returns the exit status for main.
int RunKeeper(const KeeperSpec& spec);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_KEEPER_H_
