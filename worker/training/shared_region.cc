// See shared_region.h.
#include "worker/training/shared_region.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/errors.h"
#include "common/sha256.h"

namespace trainyard::training {
namespace {

constexpr size_t kRegionBytes = size_t{1} << 38;

absl::Status NotFound(const std::string& what, int error) {
  return MakeError(
      absl::StatusCode::kUnavailable, "UNAVAILABLE",
      absl::StrCat("the ranks of this node do not find each other: ", what,
                   error == 0 ? "" : absl::StrCat(": ", std::strerror(error))),
      "start all ranks with one launcher; gangs started by hand need different MASTER_PORT");
}

absl::Status NoMemory(size_t bytes, int error) {
  return absl::ResourceExhaustedError(
      absl::StrCat("no memory for ", bytes, " shared bytes: ", std::strerror(error)));
}

// The abstract address of a gang. Hashed: names may be long, and addresses are 107 bytes.
socklen_t AddressOf(const std::string& name, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  const std::string text =
      absl::StrCat("trainyard-gang-", getuid(), "-", HexOf(Sha256Of(name)).substr(0, 32));
  std::memcpy(address->sun_path + 1, text.data(), text.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
}

// Abstract addresses have no owner in a file system: who is there must be asked.
bool SameUser(int socket) {
  ucred peer = {};
  socklen_t length = sizeof(peer);
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == getuid();
}

bool WaitReadable(int socket, absl::Time deadline) {
  pollfd entry = {socket, POLLIN, 0};
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    const int ready = poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1000)));
    if (ready > 0) return true;
    if (left <= 0 || (ready < 0 && errno != EINTR)) return false;
  }
}

absl::Status SendDescriptor(int socket, int descriptor) {
  char byte = 0;
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
  return sendmsg(socket, &message, MSG_NOSIGNAL) == 1 ? absl::OkStatus()
                                                      : NotFound("a peer went away", errno);
}

absl::StatusOr<FileDescriptor> ReceiveDescriptor(int socket) {
  char byte = 0;
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* header = received == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) {
    return NotFound("the first rank sent no memory", received < 0 ? errno : 0);
  }
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
  return FileDescriptor(descriptor);
}

}  // namespace

size_t SharedRegion::bytes_max() { return kRegionBytes; }

SharedRegion::~SharedRegion() {
  if (base_ != nullptr) munmap(base_, kRegionBytes);
}

absl::Status SharedRegion::Create() {
  memory_ = FileDescriptor(memfd_create("trainyard-gang", MFD_CLOEXEC));
  if (!memory_.valid() || ftruncate(memory_.get(), kRegionBytes) != 0) {
    return ErrnoError(errno, "cannot make shared memory");
  }
  return Map();
}

absl::Status SharedRegion::Map() {
  void* base = mmap(nullptr, kRegionBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                    memory_.get(), 0);
  if (base == MAP_FAILED) return ErrnoError(errno, "cannot map shared memory");
  base_ = static_cast<char*>(base);
  madvise(base_, kRegionBytes, MADV_DONTDUMP);
  return absl::OkStatus();
}

absl::Status SharedRegion::Reserve(size_t offset, size_t bytes) {
  // A signal that comes meanwhile undoes it.
  while (fallocate(memory_.get(), 0, static_cast<off_t>(offset), static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR) return NoMemory(bytes, errno);
  }
  return absl::OkStatus();
}

SharedRegion::Peer SharedRegion::PeerOf(FileDescriptor socket) {
  ucred peer = {};
  socklen_t length = sizeof(peer);
  Peer result;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid > 0) {
    result.process = FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0)));
  }
  result.socket = std::move(socket);
  return result;
}

absl::StatusOr<std::unique_ptr<SharedRegion>> SharedRegion::Alone() {
  std::unique_ptr<SharedRegion> region(new SharedRegion());
  if (absl::Status status = region->Create(); !status.ok()) return status;
  return region;
}

absl::StatusOr<std::unique_ptr<SharedRegion>> SharedRegion::Join(const std::string& name, int rank,
                                                                 int size, absl::Duration limit) {
  std::unique_ptr<SharedRegion> region(new SharedRegion());
  const absl::Time deadline = absl::Now() + limit;
  absl::Status status =
      rank == 0 ? region->Invite(name, size, deadline) : region->Accept(name, rank, deadline);
  if (!status.ok()) return status;
  return region;
}

absl::Status SharedRegion::Invite(const std::string& name, int size, absl::Time deadline) {
  if (absl::Status status = Create(); !status.ok()) return status;
  FileDescriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address;
  const socklen_t length = AddressOf(name, &address);
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      listen(listener.get(), size) != 0) {
    return NotFound("another gang has this gang's name", errno);
  }
  peers_.resize(static_cast<size_t>(size));
  std::vector<FileDescriptor> silent;  // connected, and have not said who they are
  for (int joined = 1; joined < size;) {
    std::vector<pollfd> entries = {{listener.get(), POLLIN, 0}};
    for (const FileDescriptor& peer : silent) entries.push_back({peer.get(), POLLIN, 0});
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    const int ready =
        poll(entries.data(), entries.size(), static_cast<int>(std::clamp<int64_t>(left, 0, 1000)));
    if (left <= 0 || (ready < 0 && errno != EINTR)) return NotFound(Missing(), 0);
    if (ready <= 0) continue;
    for (size_t i = silent.size(); i > 0; --i) {
      if (entries[i].revents == 0) continue;
      auto welcome = Welcome(std::move(silent[i - 1]));
      silent.erase(silent.begin() + static_cast<ptrdiff_t>(i) - 1);
      if (!welcome.ok()) return welcome.status();
      joined += *welcome ? 1 : 0;
    }
    if (entries[0].revents == 0) continue;
    FileDescriptor peer(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (peer.valid() && SameUser(peer.get())) silent.push_back(std::move(peer));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> SharedRegion::Welcome(FileDescriptor peer) {
  int32_t rank = 0;
  if (recv(peer.get(), &rank, sizeof(rank), MSG_DONTWAIT) != sizeof(rank) || rank < 1 ||
      static_cast<size_t>(rank) >= peers_.size() ||
      peers_[static_cast<size_t>(rank)].socket.valid()) {
    return false;  // a stranger
  }
  if (absl::Status status = SendDescriptor(peer.get(), memory_.get()); !status.ok()) return status;
  peers_[static_cast<size_t>(rank)] = PeerOf(std::move(peer));
  return true;
}

std::string SharedRegion::Missing() const {
  std::vector<size_t> ranks;
  for (size_t rank = 1; rank < peers_.size(); ++rank) {
    if (!peers_[rank].socket.valid()) ranks.push_back(rank);
  }
  return absl::StrCat(ranks.size() == 1 ? "local rank " : "local ranks ",
                      absl::StrJoin(ranks, ", "), " of ", peers_.size(), " did not come in time");
}

absl::Status SharedRegion::Accept(const std::string& name, int rank, absl::Time deadline) {
  sockaddr_un address;
  const socklen_t length = AddressOf(name, &address);
  absl::Duration pause = absl::Microseconds(200);
  while (true) {
    FileDescriptor peer(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(peer.get(), reinterpret_cast<sockaddr*>(&address), length) == 0) {
      if (!SameUser(peer.get())) {
        return absl::PermissionDeniedError("another user holds the name of this gang");
      }
      peers_.push_back(PeerOf(std::move(peer)));
      break;
    }
    if (absl::Now() > deadline) return NotFound("the first rank did not come", errno);
    absl::SleepFor(pause);  // the first rank may still read its data
    pause = std::min(pause * 2, absl::Milliseconds(10));
  }
  const int32_t number = rank;
  const int first = peers_[0].socket.get();
  if (send(first, &number, sizeof(number), MSG_NOSIGNAL) != sizeof(number) ||
      !WaitReadable(first, deadline)) {
    return NotFound("the first rank does not answer", errno);
  }
  auto memory = ReceiveDescriptor(first);
  if (!memory.ok()) return memory.status();
  memory_ = *std::move(memory);
  return Map();
}

int SharedRegion::FindDead() const {
  for (size_t rank = 0; rank < peers_.size(); ++rank) {
    const Peer& peer = peers_[rank];
    if (!peer.socket.valid()) continue;
    // poll() passes over a process of -1. Nothing is ever sent on the socket.
    pollfd entries[] = {{peer.socket.get(), POLLIN, 0}, {peer.process.get(), POLLIN, 0}};
    if (poll(entries, 2, 0) > 0) return static_cast<int>(rank);
  }
  return -1;
}

}  // namespace trainyard::training
