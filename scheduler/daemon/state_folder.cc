// See state_folder.h.
#include "scheduler/daemon/state_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/random.h"

namespace trainyard::daemon {
namespace {

constexpr size_t kSecretBytes = 32;

std::string EnvironmentOr(const char* name, absl::string_view otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? std::string(value) : std::string(otherwise);
}

absl::Status CheckOwner(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return ErrnoError(errno, "look at", path);
  if (info.st_uid == geteuid() && (info.st_mode & 022) == 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                   absl::StrCat("others may write in the state folder ", path),
                   absl::StrCat("make it yours alone: chmod 700 ", path));
}

}  // namespace

std::string StateFolder::DefaultPath() {
  const std::string home = EnvironmentOr("HOME", "/root");
  const std::string base = EnvironmentOr("XDG_STATE_HOME", JoinPath(home, ".local/state"));
  return EnvironmentOr("TRAINYARD_STATE", JoinPath(base, "trainyard"));
}

absl::StatusOr<StateFolder> StateFolder::Open(const std::string& path) {
  absl::Status status = MakeFolders(path, 0700);
  if (status.ok()) status = CheckOwner(path);
  if (status.ok()) status = MakeFolders(JoinPath(path, "scheduler"), 0700);
  if (!status.ok()) return status;
  const std::string lock_path = JoinPath(path, "lock");
  FileDescriptor lock(open(lock_path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!lock.valid()) return ErrnoError(errno, "open", lock_path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "ALREADY_RUNNING",
                     absl::StrCat("a scheduler runs already with the state folder ", path),
                     "use it as it is, end it with: trainyard down, or choose another folder with "
                     "--state_dir");
  }
  return StateFolder(path, std::move(lock));
}

absl::StatusOr<std::string> StateFolder::Secret() const {
  const std::string path = Path("secret");
  if (!Exists(path)) {
    absl::Status status = WriteFileDurably(path, SecretBytes(kSecretBytes), 0600);
    if (!status.ok()) return status;
  }
  absl::StatusOr<std::string> secret = ReadFile(path);
  if (secret.ok() && secret->size() < kSecretBytes) {
    return absl::DataLossError(absl::StrCat(path, " is shorter than ", kSecretBytes,
                                            " bytes; remove it to have a new one made"));
  }
  return secret;
}

absl::StatusOr<std::string> StateFolder::TokenIn(absl::string_view file) const {
  const std::string path = Path(file);
  if (!Exists(path)) {
    absl::Status status = WriteFileDurably(path, absl::StrCat(NewSecretToken(), "\n"), 0600);
    if (!status.ok()) return status;
  }
  absl::StatusOr<std::string> token = ReadFile(path);
  if (!token.ok()) return token.status();
  absl::StripAsciiWhitespace(&*token);
  if (token->size() < kSecretBytes) {
    return absl::DataLossError(
        absl::StrCat(path, " holds no token; remove it to have a new one made"));
  }
  return token;
}

absl::Status StateFolder::WriteEndpoint(const Endpoint& endpoint) const {
  const nlohmann::json json = {{"grpc", endpoint.grpc},
                               {"grpc_tcp", endpoint.grpc_tcp},
                               {"http", endpoint.http},
                               {"pid", getpid()},
                               {"incarnation", endpoint.incarnation}};
  return WriteFileAtomically(Path("endpoint.json"), json.dump(2) + "\n", 0600);
}

void StateFolder::RemoveEndpoint() const { unlink(Path("endpoint.json").c_str()); }

}  // namespace trainyard::daemon
