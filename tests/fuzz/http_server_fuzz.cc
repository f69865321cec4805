// libFuzzer on the store's HTTP server as it runs: real sockets, sessions, handler and a store on
// disk (in memory). Whatever comes over a connection is answered with a status that blames the
// sender, or not at all, and the server goes on. tests/fuzz/run.py builds and runs it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/store/store.h"

namespace trainyard {
namespace {

constexpr int kHealthEvery = 64;

std::string Folder() { return absl::StrCat("/dev/shm/trainyard_http_server_fuzz_", getpid()); }

class Server {
 public:
  Server() {
    store_ = store::OpenStore(Folder()).value();
    store::HttpServer::Options options;
    options.threads = 1;
    options.authorize = [](absl::string_view token) -> absl::StatusOr<store::HttpServer::Access> {
      if (token == "rw") return store::HttpServer::Access{true, true, "default"};
      if (token == "admin") return store::HttpServer::Access{true, true, ""};
      return MakeError(absl::StatusCode::kUnauthenticated, "GRANT_INVALID", "no", "ask");
    };
    server_ = store::StartHttpServer(store_.get(), options).value();
    const std::string address = server_->address();
    if (!absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port_)) abort();
    std::atexit([] { std::filesystem::remove_all(Folder()); });
  }

  // All that is answered to `bytes` until the server closes.
  std::string Ask(const char* bytes, size_t size) const {
    const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port_));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(connection, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) abort();
    if (size > 0) send(connection, bytes, size, MSG_NOSIGNAL);
    shutdown(connection, SHUT_WR);
    std::string answer;
    char buffer[4096];
    for (ssize_t got = 0; (got = recv(connection, buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(got));
    }
    // Closed by a reset, so that no port waits for a minute.
    const linger at_once{1, 0};
    setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(connection);
    return answer;
  }

 private:
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::HttpServer> server_;
  int port_ = 0;
};

}  // namespace
}  // namespace trainyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const trainyard::Server* const server = new trainyard::Server;  // serves to the end
  static int inputs = 0;
  const std::string answer = server->Ask(reinterpret_cast<const char*>(data), size);
  if (!answer.empty() && !absl::StartsWith(answer, "HTTP/1.")) abort();
  if (absl::StrContains(answer, "HTTP/1.1 5")) {
    std::cerr << answer << "\n";
    abort();
  }
  const std::string health = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
  if (++inputs % trainyard::kHealthEvery == 0 &&
      !absl::StrContains(server->Ask(health.data(), health.size()), " 200 OK")) {
    abort();
  }
  return 0;
}
