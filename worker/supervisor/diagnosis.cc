// See diagnosis.h.
#include "worker/supervisor/diagnosis.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <algorithm>
#include <optional>

namespace trainyard::worker {
namespace {

bool Has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// The last line that says something, at most 300 bytes of it.
std::string LastLine(const std::string& text) {
  size_t end = text.size();
  while (end > 0) {
    size_t start = text.rfind('\n', end - 1);
    start = start == std::string::npos ? 0 : start + 1;
    const std::string line = text.substr(start, end - start);
    if (line.find_first_not_of(" \t\r\n") != std::string::npos) return line.substr(0, 300);
    if (start == 0) break;
    end = start - 1;
  }
  return "";
}

// What a program said last: of a Python traceback its exception with all the lines of its message,
// else the last line. At most 300 bytes.
std::string LastWords(const std::string& text) {
  const size_t traceback = text.rfind("Traceback (most recent call last):");
  if (traceback == std::string::npos) return LastLine(text);
  std::string words;
  size_t at = text.find('\n', traceback);
  while (at != std::string::npos && words.size() < 300) {
    const size_t start = at + 1;
    at = text.find('\n', start);
    const std::string line = text.substr(start, at == std::string::npos ? at : at - start);
    // The frames and their code are indented; the exception begins the first line that is not.
    if (line.empty() || (words.empty() && (line[0] == ' ' || line[0] == '\t'))) continue;
    words += (words.empty() ? "" : " ") + line;
  }
  return words.empty() ? LastLine(text) : words.substr(0, 300);
}

// What follows `marker` up to one of `ends` or the line's end.
std::optional<std::string> After(const std::string& text, const std::string& marker,
                                 const char* ends) {
  const size_t at = text.rfind(marker);
  if (at == std::string::npos) return std::nullopt;
  const size_t start = at + marker.size();
  const size_t end = text.find_first_of(std::string(ends) + "\r\n", start);
  const std::string found =
      text.substr(start, end == std::string::npos ? std::string::npos : end - start);
  if (found.empty()) return std::nullopt;
  return found;
}

// How common argument parsers say that they do not know an argument: argparse, absl and gflags,
// click, getopt, CLI11, optparse.
std::optional<std::string> RefusedArgument(const std::string& text) {
  struct Form {
    const char* marker;
    const char* ends;
    const char* prefix;
  };
  static constexpr Form kForms[] = {
      {"unrecognized arguments: ", "", ""},
      {"Unknown command line flag '", "'", "--"},
      {"unknown command line flag '", "'", "--"},
      {"No such option: ", " ", ""},
      {"no such option: ", " ", ""},
      {"unrecognized option '", "'", ""},
      {"The following argument was not expected: ", "", ""},
      {"The following arguments were not expected: ", "", ""},
      {"unknown flag: ", " ", ""},
      {"unknown argument: ", " ", ""},
  };
  for (const Form& form : kForms) {
    if (auto found = After(text, form.marker, form.ends)) return form.prefix + *found;
  }
  return std::nullopt;
}

bool Names(const std::string& arguments, const std::string& option) {
  const std::string padded = " " + arguments + " ";
  for (const char* end : {" ", "="}) {
    if (Has(padded, (" --" + option + end).c_str())) return true;
  }
  return false;
}

std::string HowToLeaveOut(const LaunchSpec& spec, const std::string& arguments) {
  if (!spec.job_dir_argument.empty() && Names(arguments, "job-dir")) {
    return "Leave --job-dir (jobDir in a spec) out of the submission, or let the program accept "
           "--job-dir; the folder is in TRAINYARD_JOB_DIR and AIP_MODEL_DIR either way.";
  }
  for (const std::string& name : spec.parameters) {
    if (Names(arguments, name)) {
      return "--" + name + " is a parameter of the study and is passed as --" + name +
             "=VALUE: let the program accept it, or rename or remove the parameter in the "
             "study's spec.";
    }
  }
  return "Leave it out of the arguments after \"--\" (args in a spec), or let the program accept "
         "it.";
}

// Whether the end of a traceback shows a program that writes, so that a refusal is not of a read.
bool WasWriting(const std::string& text) {
  for (const char* sign : {"Read-only file system", "makedirs", "mkdir", "'w", "\"w", "'a'",
                           "\"a\"", ".save", "write", ".dump", "O_WRONLY", "O_CREAT"}) {
    if (Has(text, sign)) return true;
  }
  return false;
}

std::optional<Diagnosis> DiagnoseText(const LaunchSpec& spec, const std::string& text) {
  for (const char* sign : {"CUDA out of memory", "cudaErrorMemoryAllocation",
                           "CUDA error: out of memory", "OutOfMemoryError: CUDA"}) {
    if (!Has(text, sign)) continue;
    return Diagnosis{"OOM_DEVICE", "PROGRAM_FAILED",
                     "The GPU's memory was too small: " + LastLine(text) +
                         ". Use a smaller batch or model, or ask for a GPU with more memory."};
  }
  for (const char* sign : {"uncorrectable ECC error", "GPU has fallen off the bus",
                           "cudaErrorECCUncorrectable", "CUDA error: unknown error"}) {
    if (!Has(text, sign)) continue;
    return Diagnosis{"DEVICE_FAULT", "PROGRAM_FAILED",
                     "The GPU failed: " + LastLine(text) +
                         ". The attempt is repeated elsewhere; have the node looked at."};
  }
  for (const char* sign : {"\nMemoryError", "std::bad_alloc"}) {
    if (!Has("\n" + text, sign)) continue;
    return Diagnosis{"OOM_HOST", "PROGRAM_FAILED",
                     "The program could not get memory: " + LastLine(text) +
                         ". Ask for more memory per replica or load less at once."};
  }
  // As our library says it; a stack dump may follow.
  if (const auto hang = After(text, "hang: ", "");
      hang.has_value() && Has(*hang, " not come to ") && Has(*hang, ", since ")) {
    return Diagnosis{"HANG", "PROGRAM_FAILED", "The gang hung: " + *hang + "."};
  }
  if (const auto refused = RefusedArgument(text)) {
    return Diagnosis{"USER_ERROR", "ARGUMENT_REFUSED",
                     "The program does not know the argument " + *refused + ". " +
                         HowToLeaveOut(spec, *refused)};
  }
  for (const char* marker : {"Permission denied: '", "Read-only file system: '"}) {
    const auto path = After(text, marker, "'");
    if (!path || !WasWriting(text)) continue;
    return Diagnosis{"USER_ERROR", "OUTPUT_NOT_WRITABLE",
                     "The program may not write to " + *path +
                         ". Write below AIP_MODEL_DIR, AIP_CHECKPOINT_DIR or the job dir; other "
                         "folders belong to somebody else."};
  }
  for (const char* marker :
       {"ModuleNotFoundError: No module named '", "No module named '", "No module named "}) {
    const auto module = After(text, marker, "'; )");
    if (!module) continue;
    return Diagnosis{"USER_ERROR", "MODULE_NOT_FOUND",
                     "Python finds no module named " + *module +
                         ". If it is yours, check --package-path and --module-name; if it is a "
                         "library, install it on the nodes or ship it with --packages."};
  }
  return std::nullopt;
}

// Where the last `lines` lines that say something begin.
size_t LastLines(const std::string& text, int lines) {
  size_t at = text.find_last_not_of("\r\n");
  for (int i = 0; i < lines && at != std::string::npos && at > 0; ++i)
    at = text.rfind('\n', at - 1);
  return at == std::string::npos || at == 0 ? 0 : at + 1;
}

// Where the exception of the last Python traceback is told: behind its indented frames.
size_t LastException(const std::string& text, size_t traceback) {
  size_t at = text.find('\n', traceback);
  while (at != std::string::npos && at + 1 < text.size() &&
         (text[at + 1] == ' ' || text[at + 1] == '\t')) {
    at = text.find('\n', at + 1);
  }
  return at == std::string::npos ? text.size() : at + 1;
}

// What ended the program, of all that it printed: the last traceback or C++ exception with what
// follows it, else the last few lines. What a program printed and survived is no cause.
std::string LastPart(const std::string& text) {
  constexpr int kLines = 6;
  constexpr size_t kBytes = 2048;
  constexpr int kLinesOfAnException = 30;  // they can be long
  if (const size_t at = text.rfind("terminate called"); at != std::string::npos) {
    return text.substr(at);
  }
  const size_t traceback = text.rfind("Traceback (most recent call last):");
  if (traceback != std::string::npos &&
      LastException(text, traceback) >= LastLines(text, kLinesOfAnException)) {
    return text.substr(traceback);
  }
  const size_t from = text.size() > kBytes ? text.size() - kBytes : 0;
  return text.substr(std::max(from, LastLines(text, kLines)));
}

std::string Seconds(int64_t millis) {
  char text[32];
  snprintf(text, sizeof text, "%g", static_cast<double>(millis) / 1000);
  return text;
}

std::string SignalName(int signal) {
  const char* const name = sigabbrev_np(signal);
  return name == nullptr ? "signal " + std::to_string(signal) : "SIG" + std::string(name);
}

std::string How(int wait_status) {
  if (WIFSIGNALED(wait_status)) return "was killed by " + SignalName(WTERMSIG(wait_status));
  return "exited with code " + std::to_string(WEXITSTATUS(wait_status));
}

std::string StartHint(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      return "There is no such file, or the interpreter that its first line names is missing. "
             "Check the name, or give an absolute path that exists on the node.";
    case EACCES:
      return "It is not executable for the user that runs jobs: chmod +x " + path +
             ", or start it through its interpreter (python3 " + path + ").";
    case ENOEXEC:
      return "It is no program and has no \"#!\" line: start it through its interpreter "
             "(python3 " +
             path + ") or add one.";
    default:
      return "The node could not start it; the node's log may have more.";
  }
}

}  // namespace

Diagnosis DiagnoseStart(const LaunchSpec& spec, const std::string& step, const std::string& path,
                        int error) {
  const std::string where = spec.node.empty() ? "" : " on node " + spec.node;
  if (step == "find") {
    const auto found = spec.env.find("PATH");
    return {"LAUNCH", "PROGRAM_FAILED",
            "Program \"" + path + "\" is in no folder of PATH" + where + " (" +
                (found == spec.env.end() ? "unset" : found->second) +
                "). Install it there, give its absolute path, or set PATH in the spec's env."};
  }
  if (step == "exec") {
    return {"LAUNCH", "PROGRAM_FAILED",
            "Program \"" + path + "\" cannot be started" + where + ": " + strerror(error) + ". " +
                StartHint(path, error)};
  }
  if (step == "daemon") {
    return {"INTERNAL", "INTERNAL", "The gang's daemon cannot be started" + where + ": " + path};
  }
  return {"INTERNAL", "INTERNAL",
          "The launch of \"" + path + "\" failed" + where + " at " + step + ": " + strerror(error) +
              "."};
}

Diagnosis DiagnoseEnd(const LaunchSpec& spec, const RankEnd& end, const std::string& stderr_tail) {
  if (!end.still.empty()) {
    return {"HANG", "PROGRAM_FAILED", "Rank " + std::to_string(end.rank) + " " + end.still};
  }
  const std::string who = "Rank " + std::to_string(end.rank) + " " + How(end.wait_status);
  if (!end.victim.empty()) {
    return {"OOM_HOST", "PROGRAM_FAILED",
            who + " after " + end.victim +
                " was killed: the node ran out of memory. Ask for more memory per replica, load "
                "less at once or start fewer processes."};
  }
  if (end.killed_by_host) {
    return {"OOM_HOST", "PROGRAM_FAILED",
            who +
                ": the node ran out of memory. Ask for more memory per replica or load less at "
                "once."};
  }
  if (auto known = DiagnoseText(spec, LastPart(stderr_tail))) {
    known->message = who + ". " + known->message;
    return *known;
  }
  const std::string last = LastWords(stderr_tail);
  return {"USER_ERROR", "PROGRAM_FAILED",
          last.empty() ? who +
                             " and wrote nothing to standard error. Its standard output may say "
                             "more: trainyard jobs logs."
                       : who + ": " + last};
}

Diagnosis DiagnoseStop(const LaunchSpec& spec, const std::string& stop) {
  if (stop == "STOP_TIMEOUT") {
    return {"TIMED_OUT", "TIMED_OUT",
            "The program ran longer than its time limit of " + Seconds(spec.timeout_ms) +
                " s. Raise scheduling.timeout in the spec, or let it do less."};
  }
  if (stop == "STOP_EARLY") return {"STOPPED_EARLY", "", "Stopped early by the study's rule."};
  if (stop == "STOP_RESIZE") {
    return {"PREEMPTED_CAUSE", "",
            "Stopped to go on from its checkpoint with another number of replicas."};
  }
  if (stop == kNodeStops) {
    return {"PREEMPTED_CAUSE", "",
            "The node is being shut down; it goes on from its checkpoint elsewhere."};
  }
  if (stop == "STOP_PREEMPT" || stop == "STOP_PAUSE") {
    return {"PREEMPTED_CAUSE", "", "Stopped to make room; it goes on from its checkpoint."};
  }
  if (stop == "STOP_STALE") {
    return {"NODE_LOST", "SCHEDULER_UNREACHABLE",
            "Stopped because the node had no word from the scheduler for too long."};
  }
  if (stop == "STOP_PEER_FAILED") {
    return {"CANCELLED_CAUSE", "", "Stopped because another member of the gang failed."};
  }
  return {"CANCELLED_CAUSE", "", "Cancelled on request."};
}

Diagnosis DiagnoseLauncher(const LaunchSpec& spec, int wait_status,
                           const std::string& stderr_tail) {
  const std::string last = LastLine(stderr_tail);
  return {"LAUNCH", "PROGRAM_FAILED",
          spec.mpirun + " " + How(wait_status) + " although no rank failed" +
              (last.empty() ? "." : ": " + last)};
}

Diagnosis DiagnoseDaemon(const LaunchSpec& spec) {
  return {"NODE_LOST", "",
          "The gang's mpirun on node " + spec.gang[0].node +
              " ended or could not be reached any more, and the ranks on node " + spec.node +
              " with it."};
}

const GangNode* FindLostNode(const LaunchSpec& spec, const std::string& stderr_tail) {
  // Open MPI 4 and 5: "Remote daemon: [[1,0],1] on node NAME".
  const size_t lost = stderr_tail.find("lost communication");
  const size_t remote = stderr_tail.find("Remote daemon", lost == std::string::npos ? 0 : lost);
  if (lost == std::string::npos || remote == std::string::npos) return nullptr;
  const size_t end = stderr_tail.find('\n', remote);
  const std::string line = stderr_tail.substr(remote, end - remote);
  const size_t name = line.rfind(' ');
  if (name == std::string::npos) return nullptr;
  for (const GangNode& node : spec.gang) {
    if (node.address == line.substr(name + 1)) return &node;
  }
  return nullptr;
}

Diagnosis DiagnoseLostNode(const GangNode& node) {
  return {"NODE_LOST", "",
          "Node " + node.node + " (" + node.address +
              ") could not be reached any more by the gang's other nodes."};
}

bool LostItsPeers(const std::string& stderr_tail) {
  const size_t from = stderr_tail.size() > 4096 ? stderr_tail.size() - 4096 : 0;
  const std::string end = stderr_tail.substr(from);
  for (const char* sign :
       {"peer process has unexpectedly disconnected", "Connection closed by peer",
        "Connection reset by peer", "ncclRemoteError", "remote process exited", "Broken pipe",
        "recv failed: Connection", "the store might be unavailable"}) {
    if (Has(end, sign)) return true;
  }
  return false;
}

}  // namespace trainyard::worker
