// See http_connection.h. Beast's asynchronous calls are run to their end on the caller's thread,
// because only those take a deadline.
#include "common/blob/http_connection.h"

#include <sys/socket.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <cerrno>
#include <type_traits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace trainyard::blob {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Error = boost::system::error_code;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

constexpr uint64_t kReplyBytesMax = 16 << 20;

boost::string_view Boost(absl::string_view text) { return {text.data(), text.size()}; }

template <class Stream>
class Connection : public HttpConnection {
 public:
  Connection(Options options, std::string host, std::string port)
      : options_(std::move(options)), host_(std::move(host)), port_(std::move(port)) {}

  absl::StatusOr<HttpReply> Exchange(const HttpRequest& request, bool* sent) override {
    if (sent != nullptr) *sent = false;
    for (bool fresh = false;; fresh = true) {
      const bool reused = stream_ != nullptr && !fresh && StillOpen();
      if (!reused) {
        if (auto status = Connect(); !status.ok()) return status;
      }
      HttpReply reply;
      bool answered = false;
      const Error error = Talk(request, &reply, &answered);
      if (!error) return reply;
      stream_.reset();
      // The server may close an idle connection at any time: what then fails before any byte of
      // the answer is asked once more on a new connection.
      const bool idle_close = reused && !answered && error != beast::error::timeout;
      if (idle_close && request.method != "PUT" && request.method != "DELETE") continue;
      if (idle_close && absl::StartsWith(request.target, "/v1/chunks/")) continue;
      if (sent != nullptr) *sent = true;
      return Unreachable(error);
    }
  }

  void SetToken(std::string token) override { options_.token = std::move(token); }

 private:
  absl::Status Unreachable(const Error& error) const {
    return absl::UnavailableError(
        absl::StrCat("store at ", options_.address, ": ", error.message()));
  }

  // Runs what was started until it has ended; the deadline is the stream's.
  void Run() {
    io_.restart();
    io_.run();
  }

  // False when the server has hung up, or said something nobody asked for.
  bool StillOpen() {
    char byte = 0;
    const ssize_t n = recv(Lowest().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    // Over TLS tickets may wait there unread.
    return n < 0 ? errno == EAGAIN : n > 0 && std::is_same_v<Stream, TlsStream>;
  }

  beast::tcp_stream& Lowest() { return beast::get_lowest_layer(*stream_); }

  absl::Status Connect() {
    Error error;
    asio::ip::tcp::resolver resolver(io_);
    const auto endpoints = resolver.resolve(host_, port_, error);
    if (error) return Unreachable(error);
    if (auto status = MakeStream(); !status.ok()) return status;
    Lowest().expires_after(absl::ToChronoMilliseconds(options_.connect_timeout));
    Lowest().async_connect(endpoints, [&error](Error e, const auto&) { error = e; });
    Run();
    if (!error) {
      Lowest().socket().set_option(asio::ip::tcp::no_delay(true), error);
      error = Handshake();
    }
    buffer_.clear();
    if (error) {
      stream_.reset();
      return Unreachable(error);
    }
    return absl::OkStatus();
  }

  absl::Status MakeStream() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      Error error;
      tls_.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                       asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                       asio::ssl::context::no_tlsv1_1);
      if (options_.ca_file.empty()) {
        tls_.set_default_verify_paths(error);
      } else {
        tls_.load_verify_file(options_.ca_file, error);
      }
      if (error) {
        return absl::FailedPreconditionError(
            absl::StrCat("cannot load certificates ", options_.ca_file, ": ", error.message()));
      }
      stream_ = std::make_unique<Stream>(io_, tls_);
      stream_->set_verify_mode(asio::ssl::verify_peer);
      stream_->set_verify_callback(asio::ssl::host_name_verification(host_));
      SSL_set_tlsext_host_name(stream_->native_handle(), host_.c_str());
    } else {
      stream_ = std::make_unique<Stream>(io_);
    }
    return absl::OkStatus();
  }

  Error Handshake() {
    Error error;
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_->async_handshake(asio::ssl::stream_base::client, [&error](Error e) { error = e; });
      Run();
    }
    return error;
  }

  Error Talk(const HttpRequest& request, HttpReply* reply, bool* answered) {
    http::request<http::span_body<const char>> message;
    message.version(11);
    message.method_string(Boost(request.method));
    message.target(Boost(request.target));
    message.set(http::field::host, absl::StrCat(host_, ":", port_));
    if (!options_.token.empty()) {
      message.set(http::field::authorization, absl::StrCat("Bearer ", options_.token));
    }
    for (const auto& [name, value] : request.headers) message.set(name, value);
    message.body() = {request.body.data(), request.body.size()};
    message.prepare_payload();
    Lowest().expires_after(absl::ToChronoMilliseconds(options_.exchange_timeout));
    Error write_error;
    http::async_write(*stream_, message, [&write_error](Error e, size_t) { write_error = e; });
    Run();
    // A server that refuses may answer before it has read everything: its words are worth more
    // than the broken pipe.
    http::response_parser<http::string_body> parser;
    parser.body_limit(kReplyBytesMax);
    parser.skip(request.method == "HEAD");
    Error error;
    size_t bytes = 0;
    http::async_read(*stream_, buffer_, parser, [&](Error e, size_t n) {
      error = e;
      bytes = n;
    });
    Run();
    *answered = bytes > 0;
    if (error) return write_error ? write_error : error;
    FillReply(parser.get(), reply);
    if (write_error || !parser.get().keep_alive()) stream_.reset();
    return {};
  }

  static void FillReply(http::response<http::string_body>& from, HttpReply* reply) {
    reply->status = from.result_int();
    for (const auto& field : from) {
      reply->headers.emplace_back(absl::AsciiStrToLower(field.name_string().to_string()),
                                  field.value().to_string());
    }
    reply->body = std::move(from.body());
  }

  Options options_;
  const std::string host_;
  const std::string port_;
  asio::io_context io_{1};
  asio::ssl::context tls_{asio::ssl::context::tls_client};
  std::unique_ptr<Stream> stream_;
  beast::flat_buffer buffer_;
};

}  // namespace

absl::string_view HttpReply::Header(absl::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

std::unique_ptr<HttpConnection> HttpConnection::Make(Options options) {
  absl::string_view address = options.address;
  const bool tls = absl::ConsumePrefix(&address, "https://");
  absl::ConsumePrefix(&address, "http://");
  absl::ConsumeSuffix(&address, "/");
  const size_t colon = address.rfind(':');
  absl::string_view host = address.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  const std::string port(colon == absl::string_view::npos ? (tls ? "443" : "80")
                                                          : address.substr(colon + 1));
  std::string host_text(host);
  if (tls) return std::make_unique<Connection<TlsStream>>(std::move(options), host_text, port);
  return std::make_unique<Connection<beast::tcp_stream>>(std::move(options), host_text, port);
}

}  // namespace trainyard::blob
