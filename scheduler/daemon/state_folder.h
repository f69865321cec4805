// The scheduler's state folder: one instance at a time, owner-only, with the secrets made at first
// start. Layout: lock, secret, token, agent.token, endpoint.json, scheduler/journal.db, store/.
#ifndef TRAINYARD_SCHEDULER_DAEMON_STATE_FOLDER_H_
#define TRAINYARD_SCHEDULER_DAEMON_STATE_FOLDER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/file.h"

namespace trainyard::daemon {

struct Endpoint {
  std::string grpc;      // unix:///path
  std::string grpc_tcp;  // host:port
  std::string http;      // host:port
  uint64_t incarnation = 0;
};

class StateFolder {
 public:
  // Makes the folder (0700) and takes its lock for the life of the object. FAILED_PRECONDITION
  // (ALREADY_RUNNING) when another scheduler holds it; refused when others may write there.
  static absl::StatusOr<StateFolder> Open(const std::string& path);

  // ${TRAINYARD_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/trainyard}
  static std::string DefaultPath();

  std::string Path(absl::string_view name) const { return JoinPath(path_, name); }
  // 32 secret bytes, made at first use, 0600.
  absl::StatusOr<std::string> Secret() const;
  // The secret token in a file, made when absent, 0600; without the line end.
  absl::StatusOr<std::string> TokenIn(absl::string_view file) const;
  absl::Status WriteEndpoint(const Endpoint& endpoint) const;
  void RemoveEndpoint() const;

 private:
  StateFolder(std::string path, FileDescriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  FileDescriptor lock_;
};

}  // namespace trainyard::daemon

#endif  // TRAINYARD_SCHEDULER_DAEMON_STATE_FOLDER_H_
