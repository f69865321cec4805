// The two JSON-lines protocols of a supervisor: reporter.sock (programs, shims) and control.sock
// (the agent). Text to struct and back; what to do with a request is the supervisor's. Pure.
#ifndef TRAINYARD_WORKER_SUPERVISOR_REQUESTS_H_
#define TRAINYARD_WORKER_SUPERVISOR_REQUESTS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace trainyard::worker {

struct Request {
  enum class Kind {
    kInvalid,
    // Reporter.
    kHello,
    kReport,
    kCheckpoint,
    kShouldStop,
    kRankExited,  // from the shim: the program under it ended
    kRankFailed,  // from the shim: the program could not be started
    kSpawn,       // from mpirun's launch agent: a daemon is to run on another node
    // Control.
    kStop,
    kLease,
    kEarlyStop,
    kDaemon,       // mpirun of the gang's head asks for its daemon here
    kSpawnFailed,  // the daemon of another node cannot be had
  };
  Kind kind = Kind::kInvalid;
  std::string error;  // kInvalid: what was wrong
  int32_t rank = -1;  // -1: not said
  int32_t pid = 0;
  int64_t step = 0;
  std::vector<std::pair<std::string, double>> metrics;
  std::string path;                // of a checkpoint or a program
  int32_t status = 0;              // kRankExited: as waitpid gives it; kRankFailed: errno
  int64_t time_ns = 0;             // kRankExited: CLOCK_MONOTONIC
  std::string reason;              // kStop; kSpawnFailed: a sentence
  std::string host;                // kSpawn
  std::vector<std::string> words;  // kSpawn: as mpirun gave them; kDaemon: argv
  int64_t millis = -1;             // kLease; kStop: grace, -1: the spec's
};

Request ParseReporterRequest(const std::string& line);
Request ParseControlRequest(const std::string& line);

std::string OkReply();
std::string ReportReply(bool should_stop);
std::string ShouldStopReply(bool should_stop);
std::string ErrorReply(const std::string& what);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_REQUESTS_H_
