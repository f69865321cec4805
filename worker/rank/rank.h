// Pure parts of trainyard-rank: from Open MPI's variables and the rank's table to the program's
// environment, and the lines it tells the supervisor. Standard library only.
#ifndef TRAINYARD_WORKER_RANK_RANK_H_
#define TRAINYARD_WORKER_RANK_RANK_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace trainyard::worker {

using Variables = std::vector<std::pair<std::string, std::string>>;

// RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE from OMPI_COMM_WORLD_*; those that are unset are
// left out. `get` is getenv or a fake.
Variables FromOpenMpi(const char* (*get)(const char* name));

// A table is "NAME=value" entries, each ended by a zero byte; malformed ones are skipped.
Variables ParseTable(const std::string& bytes);

// The digits of `text` as a number, -1 when it is anything else.
int32_t ParseRank(const char* text);

std::string HelloLine(int32_t rank, int pid);
std::string ExitedLine(int32_t rank, int wait_status, int64_t time_ns);
// What mpirun's launch agent hands on: `host` and the words of the daemon's command.
std::string SpawnLine(const std::string& host, const std::vector<std::string>& words);
// The entries of a table of words, each ended by a zero byte.
std::vector<std::string> ParseWords(const std::string& bytes);
std::string ExecFailedLine(int32_t rank, int error, const std::string& path);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_RANK_RANK_H_
