// A unix stream socket that speaks one JSON line per request and one per reply, driven by the
// owner's poll loop (no thread of its own). At most 256 connections; a request line is at most 64
// KiB, a longer one is answered with an error and its connection closed. Replies that a peer does
// not take beyond 1 MiB close its connection.
#ifndef TRAINYARD_WORKER_SUPERVISOR_LINE_SERVER_H_
#define TRAINYARD_WORKER_SUPERVISOR_LINE_SERVER_H_

#include <poll.h>
#include <sys/types.h>

#include <functional>
#include <list>
#include <string>
#include <vector>

namespace trainyard::worker {

struct Connection {
  int fd = -1;
  pid_t peer = 0;  // by the kernel, at connect
  std::string in;
  std::string out;
  bool closing = false;
};

class LineServer {
 public:
  // `handler` gets a line without its end and returns the reply without its end.
  using Handler = std::function<std::string(const Connection& from, const std::string& line)>;

  LineServer() = default;
  ~LineServer();
  LineServer(const LineServer&) = delete;
  LineServer& operator=(const LineServer&) = delete;

  // `name`: a file name in the current folder (so that long paths fit); replaced when it exists.
  // Mode 0600; with `owner` >= 0 it belongs to that user. Only that user, our own and root are
  // answered. False with errno when it cannot listen.
  bool Listen(const std::string& name, int64_t owner, Handler handler);
  void AddTo(std::vector<pollfd>* fds) const;
  // Handles what poll() found for this server's descriptors.
  void Serve(const std::vector<pollfd>& fds);
  // Takes what connected peers have sent already, without waiting.
  void Drain();

 private:
  void Accept();
  bool Read(Connection* connection);
  void Answer(Connection* connection);
  bool Flush(Connection* connection);

  int fd_ = -1;
  int64_t owner_ = -1;
  Handler handler_;
  std::list<Connection> connections_;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_LINE_SERVER_H_
