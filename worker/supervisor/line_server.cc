// See line_server.h.
#include "worker/supervisor/line_server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace trainyard::worker {
namespace {

constexpr size_t kConnectionsMax = 256;
constexpr size_t kLineMax = 64 << 10;
constexpr size_t kOutMax = 1 << 20;
constexpr int kReadsPerTurn = 16;

}  // namespace

LineServer::~LineServer() {
  for (const Connection& connection : connections_) close(connection.fd);
  if (fd_ >= 0) close(fd_);
}

bool LineServer::Listen(const std::string& name, int64_t owner, Handler handler) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  memcpy(address.sun_path, name.data(), name.size());
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return false;
  handler_ = std::move(handler);
  owner_ = owner;
  unlink(name.c_str());
  if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  if (chmod(name.c_str(), 0600) != 0) return false;
  if (owner >= 0 && chown(name.c_str(), static_cast<uid_t>(owner), static_cast<gid_t>(-1)) != 0) {
    return false;
  }
  return listen(fd_, 128) == 0;
}

void LineServer::AddTo(std::vector<pollfd>* fds) const {
  if (fd_ < 0) return;
  if (connections_.size() < kConnectionsMax) fds->push_back({fd_, POLLIN, 0});
  for (const Connection& connection : connections_) {
    const short events = static_cast<short>(POLLIN | (connection.out.empty() ? 0 : POLLOUT));
    fds->push_back({connection.fd, events, 0});
  }
}

void LineServer::Serve(const std::vector<pollfd>& fds) {
  for (const pollfd& ready : fds) {
    if (ready.revents == 0) continue;
    if (ready.fd == fd_) {
      Accept();
      continue;
    }
    for (auto it = connections_.begin(); it != connections_.end(); ++it) {
      if (it->fd != ready.fd) continue;
      const bool reading = Read(&*it);
      const bool open = Flush(&*it) && reading;
      if (!open || (it->closing && it->out.empty())) {
        close(it->fd);
        connections_.erase(it);
      }
      break;
    }
  }
}

void LineServer::Drain() {
  if (fd_ < 0) return;
  Accept();
  for (Connection& connection : connections_) {
    Read(&connection);
    Flush(&connection);
  }
}

void LineServer::Accept() {
  while (connections_.size() < kConnectionsMax) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    ucred peer{};
    socklen_t size = sizeof peer;
    const bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    const bool allowed = known && (peer.uid == getuid() || peer.uid == 0 ||
                                   (owner_ >= 0 && peer.uid == static_cast<uid_t>(owner_)));
    if (!allowed) {
      close(fd);
      continue;
    }
    Connection connection;
    connection.fd = fd;
    connection.peer = peer.pid;
    connections_.push_back(std::move(connection));
  }
}

bool LineServer::Read(Connection* connection) {
  char buffer[16384];
  // A program that never pauses must not keep the supervisor from its lease and its stops.
  for (int turn = 0; turn < kReadsPerTurn; ++turn) {
    const ssize_t n = read(connection->fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    if (connection->closing) continue;
    connection->in.append(buffer, static_cast<size_t>(n));
    Answer(connection);
    if (connection->out.size() > kOutMax) return false;
  }
  return true;
}

void LineServer::Answer(Connection* connection) {
  size_t start = 0;
  for (size_t end; (end = connection->in.find('\n', start)) != std::string::npos; start = end + 1) {
    connection->out += handler_(*connection, connection->in.substr(start, end - start)) + "\n";
  }
  connection->in.erase(0, start);
  if (connection->in.size() > kLineMax) {
    connection->out += "{\"error\":\"a request is one line of at most 65536 bytes\"}\n";
    connection->in.clear();
    connection->closing = true;
  }
}

bool LineServer::Flush(Connection* connection) {
  while (!connection->out.empty()) {
    const ssize_t n = send(connection->fd, connection->out.data(), connection->out.size(),
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    connection->out.erase(0, static_cast<size_t>(n));
  }
  return true;
}

}  // namespace trainyard::worker
