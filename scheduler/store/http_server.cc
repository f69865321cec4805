// The HTTP server on Beast: own threads, one strand a connection. Meaning and permission are in
// http_handler; here are sockets, limits and deadlines. The disk is read and written on these
// threads too, so their number bounds the parallel disk work.
//
// Limits, each with its answer: head 16 KiB (431), body by route (413), bodies in memory 256 MiB
// (503), connections 512 (503), idle or slow head 60 s, body 120 s, one write 60 s (closed).
#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <optional>
#include <thread>
#include <type_traits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/store/http_handler.h"
#include "scheduler/store/store.h"

namespace trainyard::store {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using Error = boost::system::error_code;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

constexpr uint32_t kHeadBytesMax = 16 << 10;
constexpr int64_t kBodiesBytesMax = 256 << 20;
constexpr int kConnectionsMax = 512;
constexpr std::chrono::seconds kIdleTimeout{60};
constexpr std::chrono::seconds kBodyTimeout{120};
constexpr std::chrono::seconds kWriteTimeout{60};
constexpr std::chrono::seconds kLingerTimeout{2};
constexpr size_t kTogetherBytesMax = 64 << 10;
constexpr size_t kLingerBytesMax = 16 << 20;

// What all connections share.
struct Shared {
  explicit Shared(HttpHandler handler_in) : handler(std::move(handler_in)) {}
  const HttpHandler handler;
  std::atomic<int> connections{0};
  std::atomic<int64_t> body_bytes{0};
};

// One connection; keeps itself alive through its pending calls.
template <class Stream>
class Session : public std::enable_shared_from_this<Session<Stream>> {
 public:
  Session(Shared* shared, Stream stream) : shared_(shared), stream_(std::move(stream)) {
    shared_->connections.fetch_add(1);
  }
  ~Session() {
    ReleaseBody();
    shared_->connections.fetch_sub(1);
  }

  void Start() {
    Lowest().expires_after(kIdleTimeout);
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [self = this->shared_from_this()](Error error) {
                                if (!error) self->ReadHead();
                              });
    } else {
      asio::dispatch(stream_.get_executor(),
                     [self = this->shared_from_this()] { self->ReadHead(); });
    }
  }

 private:
  beast::tcp_stream& Lowest() { return beast::get_lowest_layer(stream_); }

  void ReadHead() {
    parser_.emplace();
    parser_->header_limit(kHeadBytesMax);
    parser_->body_limit(kHttpBodyBytesMax);
    Lowest().expires_after(kIdleTimeout);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = this->shared_from_this()](Error error, size_t) { self->OnHead(error); });
  }

  void OnHead(const Error& error) {
    // The rest of a refused request is not read: the connection ends after the answer.
    if (error == http::error::body_limit) return Refuse(TooLarge(kHttpBodyBytesMax));
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return Refuse(Fault(431, "INVALID_ARGUMENT", "the request's head is over 16 KiB",
                          "send fewer or shorter headers"));
    }
    if (error && error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message) {
      return Refuse(Fault(400, "INVALID_ARGUMENT", "this is no HTTP request", ""));
    }
    if (error) return;
    const auto& head = parser_->get();
    call_ = HttpCall();
    call_.method = head.method_string().to_string();
    call_.target = head.target().to_string();
    call_.authorization = head[http::field::authorization].to_string();
    call_.origin = head[http::field::origin].to_string();
    call_.range = head[http::field::range].to_string();
    call_.if_generation = head["x-trainyard-if-generation"].to_string();
    HttpAnswer refusal;
    if (!shared_->handler.Admit(call_, &route_, &refusal)) return Refuse(std::move(refusal));
    const auto length = parser_->content_length();
    const int64_t wanted =
        length ? static_cast<int64_t>(*length) : (parser_->chunked() ? route_.body_bytes_max : 0);
    if (wanted > route_.body_bytes_max) return Refuse(TooLarge(route_.body_bytes_max));
    if (!ReserveBody(wanted)) {
      HttpAnswer busy = Fault(503, "UNAVAILABLE", "the store is busy with other uploads",
                              "try again in a second");
      busy.headers.emplace_back("retry-after", "1");
      return Refuse(std::move(busy));
    }
    parser_->body_limit(static_cast<uint64_t>(route_.body_bytes_max));
    if (beast::iequals(head[http::field::expect], "100-continue")) return Continue();
    ReadBody();
  }

  void Continue() {
    interim_ = http::response<http::empty_body>(http::status::continue_, 11);
    http::async_write(stream_, interim_, [self = this->shared_from_this()](Error error, size_t) {
      if (!error) self->ReadBody();
    });
  }

  void ReadBody() {
    Lowest().expires_after(kBodyTimeout);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = this->shared_from_this()](Error error, size_t) { self->OnBody(error); });
  }

  void OnBody(const Error& error) {
    if (error == http::error::body_limit) return Refuse(TooLarge(route_.body_bytes_max));
    if (error) return;
    keep_alive_ = parser_->get().keep_alive();
    call_.body = std::move(parser_->get().body());
    HttpAnswer answer = shared_->handler.Perform(call_, route_);
    call_.body = std::string();
    ReleaseBody();
    Write(std::move(answer));
  }

  static HttpAnswer TooLarge(int64_t bytes_max) {
    return Fault(413, "INVALID_ARGUMENT",
                 absl::StrCat("the body is longer than the ", bytes_max, " bytes allowed here"),
                 "send chunks of 8 MiB, and nothing where nothing is asked for");
  }

  bool ReserveBody(int64_t bytes) {
    if (shared_->body_bytes.fetch_add(bytes) + bytes > kBodiesBytesMax) {
      shared_->body_bytes.fetch_sub(bytes);
      return false;
    }
    reserved_ = bytes;
    return true;
  }
  void ReleaseBody() { shared_->body_bytes.fetch_sub(std::exchange(reserved_, 0)); }

  void Refuse(HttpAnswer answer) {
    const bool whole = parser_->is_done();
    keep_alive_ = whole && parser_->get().keep_alive();
    linger_ = !whole;
    Write(std::move(answer));
  }

  void Write(HttpAnswer answer) {
    answer_ = std::move(answer);
    response_ = http::response<http::empty_body>();
    response_.version(11);
    response_.result(static_cast<unsigned>(answer_.status));
    response_.set(http::field::content_type, answer_.content_type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("x-content-type-options", "nosniff");
    for (const auto& [name, value] : answer_.headers) response_.set(name, value);
    response_.keep_alive(keep_alive_);
    const bool streams = answer_.stream_bytes >= 0;
    left_ = streams ? answer_.stream_bytes : static_cast<int64_t>(answer_.body.size());
    response_.content_length(static_cast<uint64_t>(left_));
    if (call_.method == "HEAD") left_ = 0;
    Lowest().expires_after(kWriteTimeout);
    // A small body goes in one write with the head. (One buffer: a sequence of two loses its second
    // in this Beast's TLS stream.)
    head_ = HeadText();
    const bool together = !streams && answer_.body.size() <= kTogetherBytesMax;
    if (together && left_ > 0) head_ += answer_.body;
    asio::async_write(stream_, asio::buffer(head_),
                      [self = this->shared_from_this(), together](Error error, size_t) {
                        self->OnWritten(error, together ? self->left_ : 0);
                      });
  }

  std::string HeadText() {
    beast::flat_buffer buffer;
    beast::ostream(buffer) << response_.base();
    return beast::buffers_to_string(buffer.data());
  }

  // `bytes` of the body have gone.
  void OnWritten(const Error& error, int64_t bytes) {
    if (error) return;
    left_ -= bytes;
    if (left_ > 0) return WritePiece();
    answer_ = HttpAnswer();
    if (keep_alive_) return ReadHead();
    Close();
  }

  void WritePiece() {
    if (answer_.next_piece != nullptr) {
      auto piece = answer_.next_piece();
      // The length is promised already: a damaged chunk can only be told by ending early.
      if (!piece.ok() || piece->empty() || static_cast<int64_t>(piece->size()) > left_) {
        return Close();
      }
      answer_.body = *std::move(piece);
    }
    Lowest().expires_after(kWriteTimeout);
    asio::async_write(stream_, asio::buffer(answer_.body),
                      [self = this->shared_from_this()](Error error, size_t n) {
                        self->OnWritten(error, static_cast<int64_t>(n));
                      });
  }

  void Close() {
    Lowest().expires_after(kLingerTimeout);
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_.async_shutdown([self = this->shared_from_this()](Error) {});
    } else {
      Error ignored;
      Lowest().socket().shutdown(tcp::socket::shutdown_send, ignored);
      if (linger_) Linger(0);
    }
  }

  // Swallows what the client still sends, so that the kernel does not reset the connection before
  // the answer is read.
  void Linger(size_t swallowed) {
    if (swallowed > kLingerBytesMax) return;
    scratch_.resize(64 << 10);
    Lowest().async_read_some(asio::buffer(scratch_),
                             [self = this->shared_from_this(), swallowed](Error error, size_t n) {
                               if (!error) self->Linger(swallowed + n);
                             });
  }

  Shared* const shared_;
  Stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  HttpCall call_;
  HttpHandler::Route route_;
  HttpAnswer answer_;
  http::response<http::empty_body> response_, interim_;
  std::string head_, scratch_;
  int64_t left_ = 0;
  int64_t reserved_ = 0;
  bool keep_alive_ = false;
  bool linger_ = false;
};

class Server : public HttpServer {
 public:
  Server(Store* store, Options options)
      : options_(std::move(options)), shared_(HttpHandler(store, options_.authorize)) {}
  ~Server() override {
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  }
  std::string address() const override { return address_; }

  absl::Status Start() {
    const size_t colon = options_.listen.rfind(':');
    std::string host = options_.listen.substr(0, colon == std::string::npos ? 0 : colon);
    int port = -1;
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    if (host == "localhost") host = "127.0.0.1";
    Error error;
    const auto ip = asio::ip::make_address(host, error);
    if (error || !absl::SimpleAtoi(options_.listen.substr(colon + 1), &port) || port < 0 ||
        port > 65535) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                       absl::StrCat("\"", options_.listen, "\" is no address to listen on"),
                       "write IP:PORT, for example 127.0.0.1:0");
    }
    if (auto status = LoadTls(ip.is_loopback()); !status.ok()) return status;
    return Listen(tcp::endpoint(ip, static_cast<uint16_t>(port)));
  }

 private:
  absl::Status LoadTls(bool loopback) {
    const std::string& certificate = options_.tls_certificate_file;
    if (certificate.empty() != options_.tls_key_file.empty()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                       "TLS needs both a certificate and a key", "give both files or none");
    }
    if (certificate.empty() && !loopback) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "INSECURE_ADDRESS",
          absl::StrCat("the store does not listen on ", options_.listen, " without TLS"),
          "add --tls_cert=FILE --tls_key=FILE, or listen on 127.0.0.1");
    }
    if (certificate.empty()) return absl::OkStatus();
    Error error;
    tls_.emplace(asio::ssl::context::tls_server);
    tls_->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                      asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                      asio::ssl::context::no_tlsv1_1);
    tls_->use_certificate_chain_file(certificate, error);
    if (!error) tls_->use_private_key_file(options_.tls_key_file, asio::ssl::context::pem, error);
    if (!error) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("cannot use the certificate ", certificate, " with the key ",
                                  options_.tls_key_file, ": ", error.message()),
                     "give a PEM certificate chain and its private key");
  }

  absl::Status Listen(const tcp::endpoint& endpoint) {
    Error error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return MakeError(absl::StatusCode::kUnavailable, "UNAVAILABLE",
                       absl::StrCat("cannot listen on ", options_.listen, ": ", error.message()),
                       "choose another port");
    }
    const auto local = acceptor_.local_endpoint(error);
    const std::string host = local.address().to_string();
    address_ = local.address().is_v6() ? absl::StrCat("[", host, "]:", local.port())
                                       : absl::StrCat(host, ":", local.port());
    Accept();
    for (int i = 0; i < std::max(1, options_.threads); ++i) {
      threads_.emplace_back([this] { io_.run(); });
    }
    return absl::OkStatus();
  }

  void Accept() {
    acceptor_.async_accept(asio::make_strand(io_), [this](Error error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) return AcceptLater();
      Serve(std::move(socket));
      Accept();
    });
  }
  // Out of descriptors, most likely: at once would be a busy loop.
  void AcceptLater() {
    pause_.expires_after(std::chrono::milliseconds(100));
    pause_.async_wait([this](Error error) {
      if (!error) Accept();
    });
  }

  void Serve(tcp::socket socket) {
    Error error;
    socket.set_option(tcp::no_delay(true), error);
    if (shared_.connections.load() >= kConnectionsMax) {
      constexpr absl::string_view kBusy =
          "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
      socket.non_blocking(true, error);
      if (!tls_) socket.send(asio::buffer(kBusy.data(), kBusy.size()), 0, error);
      return;
    }
    beast::tcp_stream stream(std::move(socket));
    if (tls_) {
      std::make_shared<Session<TlsStream>>(&shared_, TlsStream(std::move(stream), *tls_))->Start();
    } else {
      std::make_shared<Session<beast::tcp_stream>>(&shared_, std::move(stream))->Start();
    }
  }

  const Options options_;
  Shared shared_;
  std::optional<asio::ssl::context> tls_;
  asio::io_context io_;
  tcp::acceptor acceptor_{io_};
  asio::steady_timer pause_{io_};
  std::string address_;
  std::vector<std::thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> StartHttpServer(Store* store,
                                                            HttpServer::Options options) {
  auto server = std::make_unique<Server>(store, std::move(options));
  if (auto status = server->Start(); !status.ok()) return status;
  return server;
}

}  // namespace trainyard::store
