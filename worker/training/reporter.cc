// See reporter.h.
#include "worker/training/reporter.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace trainyard::training {
namespace {

using Json = nlohmann::json;

constexpr size_t kRequestBytesMax = 64 << 10;
constexpr size_t kReplyBytesMax = 64 << 10;
constexpr int kQuietMax = 6;  // times the patience

Json NumberOf(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

std::string LineOf(const Json& request) {
  // Names that are not UTF-8 must not end the training: they are replaced.
  return request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Reporter::Reporter(std::string socket, int rank, absl::Duration patience)
    : socket_(std::move(socket)), rank_(rank), patience_(patience), quiet_(patience) {}

// Silence is not broken by asking again: each time would hold the training up as long.
absl::Status Reporter::Broken(int error) {
  const bool silent = error == EAGAIN || error == EWOULDBLOCK;
  if (silent) {
    quiet_until_ = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(quiet_);
    quiet_ = std::min(2 * quiet_, kQuietMax * patience_);
  }
  const std::string why = error == 0 ? "it closed" : silent ? "it is silent" : std::strerror(error);
  return absl::UnavailableError(
      absl::StrCat("the supervisor at ", socket_, " does not answer: ", why));
}

absl::Status Reporter::Connect() {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("TRAINYARD_SOCKET is too long: ", socket_));
  }
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  FileDescriptor connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection.valid()) return Broken(errno);
  const timeval limit = absl::ToTimeval(patience_);
  setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return Broken(errno);
  }
  connection_ = std::move(connection);
  unread_.clear();
  auto reply = AskOnce(LineOf({{"hello", {{"rank", rank_}, {"pid", getpid()}}}}));
  return reply.ok() ? Understand(*reply) : reply.status();
}

absl::StatusOr<std::string> Reporter::AskOnce(absl::string_view line) {
  while (!line.empty()) {
    const ssize_t sent = send(connection_.get(), line.data(), line.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return Broken(errno);
    line.remove_prefix(static_cast<size_t>(sent));
  }
  while (true) {
    if (const size_t end = unread_.find('\n'); end != std::string::npos) {
      std::string reply = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      quiet_ = patience_;
      return reply;
    }
    if (unread_.size() > kReplyBytesMax) return Broken(EMSGSIZE);
    char bytes[4096];
    const ssize_t received = recv(connection_.get(), bytes, sizeof(bytes), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return Broken(received < 0 ? errno : 0);
    unread_.append(bytes, static_cast<size_t>(received));
  }
}

absl::StatusOr<std::string> Reporter::Ask(absl::string_view line) {
  if (connection_.valid()) {
    auto reply = AskOnce(line);
    if (reply.ok()) return reply;
    connection_ = FileDescriptor();
    if (Quiet()) return reply;
  }
  if (absl::Status status = Connect(); !status.ok()) {
    connection_ = FileDescriptor();
    return status;
  }
  auto reply = AskOnce(line);
  if (!reply.ok()) connection_ = FileDescriptor();
  return reply;
}

absl::Status Reporter::Understand(const std::string& reply) {
  const Json answer = Json::parse(reply, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) {
    return absl::InternalError(absl::StrCat("the supervisor answered no JSON object: ", reply));
  }
  if (const auto error = answer.find("error"); error != answer.end()) {
    return absl::InvalidArgumentError(error->is_string() ? error->get<std::string>() : reply);
  }
  const auto stop = answer.find("should_stop");
  if (stop != answer.end() && stop->is_boolean()) should_stop_ = stop->get<bool>();
  return absl::OkStatus();
}

absl::Status Reporter::Exchange(const std::string& request) {
  if (request.size() > kRequestBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("a request of ", request.size(),
                                                   " bytes; at most ", kRequestBytesMax,
                                                   " are taken: report fewer metrics at once"));
  }
  auto reply = Ask(request);
  return reply.ok() ? Understand(*reply) : reply.status();
}

absl::Status Reporter::Report(int64_t step, const Metrics& metrics) {
  if (!active()) return absl::OkStatus();
  if (Quiet()) return absl::UnavailableError(absl::StrCat(socket_, ": the supervisor is silent"));
  Json values = Json::object();
  for (const auto& [name, value] : metrics) values[name] = NumberOf(value);
  return Exchange(LineOf({{"report", {{"step", step}, {"metrics", std::move(values)}}}}));
}

absl::Status Reporter::Checkpoint(int64_t step, const std::string& path) {
  if (!active()) return absl::OkStatus();
  return Exchange(LineOf({{"checkpoint", {{"step", step}, {"path", path}}}}));
}

bool Reporter::ShouldStop() {
  if (active() && !Quiet()) Exchange(LineOf({{"should_stop", true}})).IgnoreError();
  return should_stop_;
}

}  // namespace trainyard::training
