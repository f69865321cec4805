// The HTTP face as a client meets it: every verb, who may and who may not, limits, keep-alive, TLS.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/blob/blob.h"
#include "common/blob/http_connection.h"
#include "common/errors.h"
#include "common/sha256.h"
#include "scheduler/store/store.h"
#include "tests/scheduler/store/store_fixture.h"
#include "tests/scheduler/store/test_certificate.h"

namespace trainyard::store {
namespace {

using blob::HttpConnection;
using blob::HttpReply;
using nlohmann::json;
using testing::HasSubstr;

class HttpServerTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    store_ = *OpenStore(folder_ + "/store");
    auto server = StartHttpServer(store_.get(), Options());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    connection_ = Connect("all");
  }
  void TearDown() override {
    connection_.reset();
    server_.reset();
    store_.reset();
    FolderTest::TearDown();
  }
  // Tokens: all, read, write, blue and red (projects), later (cannot be checked now).
  static HttpServer::Options Options() {
    HttpServer::Options options;
    options.threads = 2;
    options.authorize = [](absl::string_view token) -> absl::StatusOr<HttpServer::Access> {
      if (token == "all") return HttpServer::Access{true, true, ""};
      if (token == "read") return HttpServer::Access{true, false, ""};
      if (token == "write") return HttpServer::Access{false, true, ""};
      if (token == "none") return HttpServer::Access{};
      if (token == "blue" || token == "red") {
        return HttpServer::Access{true, true, std::string(token)};
      }
      if (token == "later") return absl::UnavailableError("recovering");
      return absl::InternalError("the tokens table says: secret things");
    };
    return options;
  }
  std::unique_ptr<HttpConnection> Connect(const std::string& token) const {
    return HttpConnection::Make({.address = server_->address(), .token = token, .ca_file = ""});
  }
  static HttpReply Ask(HttpConnection* connection, const std::string& method,
                       const std::string& target, absl::string_view body = "",
                       std::vector<std::pair<std::string, std::string>> headers = {}) {
    const auto reply = connection->Exchange({method, target, std::move(headers), body}, nullptr);
    EXPECT_TRUE(reply.ok()) << method << " " << target << ": " << reply.status();
    return reply.ok() ? *reply : HttpReply();
  }
  HttpReply Ask(const std::string& method, const std::string& target, absl::string_view body = "",
                std::vector<std::pair<std::string, std::string>> headers = {}) {
    return Ask(connection_.get(), method, target, body, std::move(headers));
  }
  static std::string Reason(const HttpReply& reply) {
    const json body = json::parse(reply.body, nullptr, false);
    if (!body.is_object() || !body.contains("faults")) return "";
    return body["faults"][0].value("reason", "");
  }
  std::string PutBlob(const std::string& bytes) {
    const auto digest = blob::DigestOfBytes(bytes);
    for (size_t i = 0; i < digest.chunks.size(); ++i) {
      EXPECT_TRUE(store_->blobs()
                      .PutChunk(digest.chunks[i], absl::string_view(bytes).substr(
                                                      i * blob::kChunkBytes, blob::kChunkBytes))
                      .ok());
    }
    return HexOf(*store_->blobs().PutBlob(digest.size, digest.chunks));
  }
  // Sends raw bytes and returns all that comes until the server hangs up.
  std::string Raw(const std::string& bytes) const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    int port = 0;
    EXPECT_TRUE(
        absl::SimpleAtoi(server_->address().substr(server_->address().rfind(':') + 1), &port));
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    std::string out;
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      out.append(buffer, static_cast<size_t>(n));
    }
    close(fd);
    return out;
  }
  std::unique_ptr<Store> store_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<HttpConnection> connection_;
};

TEST_F(HttpServerTest, HealthNeedsNoToken) {
  auto nobody = Connect("");
  EXPECT_EQ(Ask(nobody.get(), "GET", "/healthz").body, "ok");
  EXPECT_EQ(Ask(nobody.get(), "HEAD", "/healthz").status, 200);
  EXPECT_EQ(Ask(nobody.get(), "POST", "/healthz").status, 401);
  EXPECT_EQ(Ask(nobody.get(), "GET", "/healthz/").status, 401);
  EXPECT_EQ(Ask(nobody.get(), "GET", "/healthz?x").status, 401);
}

struct Verb {
  const char* method;
  std::string target;
  std::string body;
  bool writes;
};

std::vector<Verb> Verbs(const std::string& blob, const std::string& chunk) {
  return {
      {"POST", "/v1/missing", "", true},
      {"PUT", "/v1/chunks/" + chunk, "chunk", true},
      {"POST", "/v1/blobs", R"({"size":0,"chunks":[]})", true},
      {"POST", "/v1/missing-blobs", "", true},
      {"POST", "/v1/fetch", "", false},
      {"POST", "/v1/small", std::string("\0\0\0\2hi", 6), true},
      {"GET", "/v1/blobs/" + blob, "", false},
      {"HEAD", "/v1/blobs/" + blob, "", false},
      {"GET", "/v1/objects/team", "", false},
      {"HEAD", "/v1/objects/team", "", false},
      {"PUT", "/v1/objects/team/x", R"({"digest":")" + blob + R"("})", true},
      {"GET", "/v1/objects/team/x", "", false},
      {"HEAD", "/v1/objects/team/x", "", false},
      {"DELETE", "/v1/objects/team/x", "", true},
  };
}

TEST_F(HttpServerTest, EveryVerbWorksWithTheRightTokenAndNoOther) {
  const std::string blob = PutBlob("content");
  for (const Verb& verb : Verbs(blob, HexOf(Sha256Of("chunk")))) {
    const std::string name = absl::StrCat(verb.method, " ", verb.target);
    for (const char* token : {"", "wrong", "al", "ALL"}) {
      auto other = Connect(token);
      const HttpReply reply = Ask(other.get(), verb.method, verb.target, verb.body);
      EXPECT_EQ(reply.status, 401) << name << " with '" << token << "'";
      EXPECT_EQ(reply.Header("www-authenticate"), "Bearer");
      EXPECT_FALSE(absl::StrContains(reply.body, "secret things")) << name;
    }
    auto none = Connect("none");
    EXPECT_EQ(Ask(none.get(), verb.method, verb.target, verb.body).status, 403) << name;
    auto lesser = Connect(verb.writes ? "read" : "write");
    EXPECT_EQ(Ask(lesser.get(), verb.method, verb.target, verb.body).status, 403) << name;
    auto later = Connect("later");
    EXPECT_EQ(Ask(later.get(), verb.method, verb.target, verb.body).status, 503) << name;
    EXPECT_EQ(Ask(verb.method, verb.target, verb.body).status, 200) << name;
  }
}

TEST_F(HttpServerTest, OtherPathsAndVerbsAreClosedToo) {
  for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"}) {
    for (const char* target : {"/", "/v1", "/v1/blobs", "/v1/x", "/index.html", "/v2/blobs"}) {
      auto nobody = Connect("");
      EXPECT_EQ(Ask(nobody.get(), method, target).status, 401) << method << " " << target;
      const int status = Ask(method, target).status;
      EXPECT_TRUE(status == 404 || status == 405 || status == 400) << method << " " << target;
    }
  }
  EXPECT_EQ(Ask("DELETE", "/v1/blobs/" + std::string(64, 'a')).status, 405);
}

TEST_F(HttpServerTest, OtherSchemesOfAuthorizationAreRefused) {
  auto nobody = Connect("");
  for (const char* value : {"Basic YWxsOg==", "all", "Bearer", "Bearer ", "Bearerall"}) {
    EXPECT_EQ(Ask(nobody.get(), "GET", "/v1/objects/team", "", {{"authorization", value}}).status,
              401)
        << value;
  }
  EXPECT_EQ(
      Ask(nobody.get(), "GET", "/v1/objects/team", "", {{"authorization", "bearer all"}}).status,
      200);
}

TEST_F(HttpServerTest, WebPagesAreRefusedAlsoWithAToken) {
  EXPECT_EQ(Ask("GET", "/v1/objects/team", "", {{"origin", "http://evil.example"}}).status, 403);
  EXPECT_EQ(Ask("GET", "/v1/objects/team", "", {{"origin", "null"}}).status, 403);
}

TEST_F(HttpServerTest, TraversingNamesAreRefused) {
  const std::string body = R"({"digest":")" + PutBlob("content") + R"("})";
  for (const char* name : {"..", "../x", "a/../../x", "%2e%2e", "%2e%2e/x", "a%2f..%2fx", "a//b",
                           "/etc/passwd", "a/", ".", "%00", "a%5", "\\..\\x/.."}) {
    const std::string target = absl::StrCat("/v1/objects/team/", name);
    const HttpReply reply = Ask("PUT", target, body);
    EXPECT_EQ(reply.status, 400) << name;
    EXPECT_EQ(Reason(reply), "BAD_NAME") << name;
    EXPECT_EQ(Ask("GET", target).status, 400) << name;
  }
  for (const char* target : {"/v1/chunks/../../x", "/v1/blobs/..%2f..%2fetc%2fpasswd",
                             "/v1/chunks/zz", "/v1/objects/../x", "/v1/objects/T EAM/x"}) {
    EXPECT_NE(Ask("PUT", target, "x").status, 200) << target;
  }
  EXPECT_EQ(Ask("PUT", "/v1/objects/..a/x", body).status, 400);
}

TEST_F(HttpServerTest, RangesAreServed) {
  const std::string bytes = RandomBytes(2 * blob::kChunkBytes + 1000, 9);
  const std::string target = "/v1/blobs/" + PutBlob(bytes);
  const int64_t size = static_cast<int64_t>(bytes.size());
  const int64_t c = blob::kChunkBytes;
  EXPECT_TRUE(Ask("GET", target, "", {{"range", "bytes=5-5"}}).body == bytes.substr(5, 1));
  for (const auto& [first, last] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 0},
                                                {0, c - 1},
                                                {c - 1, c},
                                                {c, 2 * c},
                                                {c + 1, size - 2},
                                                {size - 1, size - 1},
                                                {size - 10, size + 10}}) {
    const HttpReply reply =
        Ask("GET", target, "", {{"range", absl::StrCat("bytes=", first, "-", last)}});
    const int64_t end = std::min(last + 1, size);
    EXPECT_EQ(reply.status, 206) << first;
    EXPECT_EQ(reply.Header("content-range"),
              absl::StrCat("bytes ", first, "-", end - 1, "/", size));
    EXPECT_TRUE(reply.body ==
                bytes.substr(static_cast<size_t>(first), static_cast<size_t>(end - first)))
        << first;
  }
  EXPECT_TRUE(Ask("GET", target, "", {{"range", "bytes=-7"}}).body ==
              bytes.substr(bytes.size() - 7));
  EXPECT_EQ(Ask("GET", target, "", {{"range", absl::StrCat("bytes=", size, "-")}}).status, 416);
  EXPECT_EQ(Ask("GET", target, "", {{"range", "bytes=-0"}}).status, 416);
  for (const char* odd : {"bytes=9-2", "bytes=a-b", "bytes=1-2,5-6", "lines=1-2", "bytes=-", "-"}) {
    EXPECT_EQ(Ask("HEAD", target, "", {{"range", odd}}).status, 200) << odd;
  }
  const HttpReply head = Ask("HEAD", target);
  EXPECT_EQ(head.Header("content-length"), absl::StrCat(size));
  EXPECT_EQ(head.body, "");
}

TEST_F(HttpServerTest, WholeBlobIsStreamed) {
  // Longer than the client takes in one reply, so by hand.
  const std::string bytes = RandomBytes(3 * blob::kChunkBytes + 5, 10);
  const std::string reply = Raw(absl::StrCat("GET /v1/blobs/", PutBlob(bytes),
                                             " HTTP/1.1\r\nhost: x\r\nauthorization: Bearer all\r\n"
                                             "connection: close\r\n\r\n"));
  const size_t body = reply.find("\r\n\r\n") + 4;
  EXPECT_THAT(reply.substr(0, body), HasSubstr(absl::StrCat(bytes.size())));
  EXPECT_TRUE(reply.substr(body) == bytes);
}

TEST_F(HttpServerTest, DamageIsAnErrorOrAnEarlyEndNeverWrongBytes) {
  std::string bytes = RandomBytes(2 * blob::kChunkBytes, 11);
  const std::string digest = PutBlob(bytes);
  const auto spoil = [&](size_t chunk) {
    const std::string hex = HexOf(
        Sha256Of(absl::string_view(bytes).substr(chunk * blob::kChunkBytes, blob::kChunkBytes)));
    std::fstream(folder_ + "/store/chunks/" + hex.substr(0, 2) + "/" + hex,
                 std::ios::in | std::ios::out | std::ios::binary)
        .seekp(1000)
        .put('!');
  };
  spoil(1);
  const std::string reply = Raw(absl::StrCat(
      "GET /v1/blobs/", digest, " HTTP/1.1\r\nhost: x\r\nauthorization: Bearer all\r\n\r\n"));
  EXPECT_EQ(reply.size() - reply.find("\r\n\r\n") - 4, static_cast<size_t>(blob::kChunkBytes));
  spoil(0);
  const HttpReply first = Ask("GET", "/v1/blobs/" + digest, "", {{"range", "bytes=0-9"}});
  EXPECT_EQ(first.status, 500);
  EXPECT_EQ(Reason(first), "STORE_CORRUPT");
}

TEST_F(HttpServerTest, MissingChunksAreNamed) {
  const std::string here = Sha256Of("here"), absent = Sha256Of("absent");
  ASSERT_EQ(Ask("PUT", "/v1/chunks/" + HexOf(here), "here").status, 200);
  EXPECT_EQ(Ask("POST", "/v1/missing", here + absent).body, absent);
  EXPECT_EQ(Ask("POST", "/v1/missing", "short").status, 400);
  const HttpReply reply =
      Ask("POST", "/v1/blobs", json{{"size", 6}, {"chunks", json::array({HexOf(absent)})}}.dump());
  EXPECT_EQ(reply.status, 409);
  EXPECT_EQ(json::parse(reply.body)["missing"], json::array({HexOf(absent)}));
  const HttpReply wrong = Ask("PUT", "/v1/chunks/" + HexOf(here), "there");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(Reason(wrong), "STORE_CORRUPT");
}

TEST_F(HttpServerTest, MalformedBodiesAreRefused) {
  for (const char* body : {"", "[]", "{", "{\"size\":1}", R"({"size":"1","chunks":[]})",
                           R"({"size":1,"chunks":["zz"]})", R"({"size":1,"chunks":[1]})",
                           R"({"size":1.5,"chunks":[]})", R"({"size":-1,"chunks":[]})"}) {
    EXPECT_EQ(Ask("POST", "/v1/blobs", body).status, 400) << body;
    EXPECT_EQ(Ask("PUT", "/v1/objects/team/x", body).status, 400) << body;
  }
}

TEST_F(HttpServerTest, SmallContentsCutShortAreRefused) {
  for (const std::string& body : {std::string("\0\0\0", 3), std::string("\0\0\0\3hi", 6),
                                  std::string("\xff\xff\xff\xffhi", 6)}) {
    EXPECT_EQ(Ask("POST", "/v1/small", body).status, 400);
  }
  EXPECT_EQ(Ask("POST", "/v1/small", "").body, "");
}

TEST_F(HttpServerTest, SmallContentsAreFetchedTogether) {
  const std::string one = *BytesOfHex(PutBlob("one")), none = *BytesOfHex(PutBlob(""));
  const std::string absent(32, 'x');
  EXPECT_EQ(Ask("POST", "/v1/fetch", one + none + one).body,
            std::string("\0\0\0\3one\0\0\0\0\0\0\0\3one", 18));
  EXPECT_EQ(Ask("POST", "/v1/fetch", one + absent).status, 404);
  EXPECT_EQ(Ask("POST", "/v1/fetch", "short").status, 400);
  EXPECT_EQ(Ask("POST", "/v1/missing-blobs", one + absent).body, absent);
}

TEST_F(HttpServerTest, ObjectsWithGenerationsAndListing) {
  const std::string body = R"({"digest":")" + PutBlob("content") + R"("})";
  const HttpReply first =
      Ask("PUT", "/v1/objects/team/m%20x/1", body, {{"x-trainyard-if-generation", "0"}});
  ASSERT_EQ(first.status, 200) << first.body;
  const HttpReply again =
      Ask("PUT", "/v1/objects/team/m%20x/1", body, {{"x-trainyard-if-generation", "0"}});
  EXPECT_EQ(again.status, 412);
  EXPECT_EQ(Reason(again), "ETAG_MISMATCH");
  EXPECT_EQ(Ask("PUT", "/v1/objects/team/m", body, {{"x-trainyard-if-generation", "soon"}}).status,
            400);
  const HttpReply got = Ask("GET", "/v1/objects/team/m%20x/1");
  EXPECT_EQ(got.body, "content");
  EXPECT_EQ(got.Header("x-trainyard-generation"),
            absl::StrCat(json::parse(first.body)["generation"].get<int64_t>()));
  const json list = json::parse(Ask("GET", "/v1/objects/team?prefix=m%20").body);
  ASSERT_EQ(list["objects"].size(), 1u);
  EXPECT_EQ(list["objects"][0]["name"], "m x/1");
  EXPECT_EQ(list["objects"][0]["size"], 7);
  EXPECT_EQ(Ask("DELETE", "/v1/objects/team/m%20x/1").status, 200);
  EXPECT_EQ(Ask("GET", "/v1/objects/team/m%20x/1").status, 404);
  const std::string absent = R"({"digest":")" + std::string(64, 'a') + R"("})";
  EXPECT_EQ(Ask("PUT", "/v1/objects/team/x", absent).status, 409);
}

TEST_F(HttpServerTest, BucketsOfOtherProjectsAreClosed) {
  const std::string body = R"({"digest":")" + PutBlob("content") + R"("})";
  auto blue = Connect("blue"), red = Connect("red");
  ASSERT_EQ(Ask(blue.get(), "PUT", "/v1/objects/team/x", body).status, 200);
  EXPECT_EQ(Ask(blue.get(), "GET", "/v1/objects/team/x").status, 200);
  for (const char* method : {"GET", "PUT", "DELETE"}) {
    EXPECT_EQ(Ask(red.get(), method, "/v1/objects/team/x", body[0] && method[0] == 'P' ? body : "")
                  .status,
              403)
        << method;
  }
  EXPECT_EQ(Ask(red.get(), "GET", "/v1/objects/team").status, 403);
  EXPECT_EQ(Ask("GET", "/v1/objects/team/x").status, 200);
}

TEST_F(HttpServerTest, OversizedBodiesAndHeadsAreRefusedAndTheServerLives) {
  const std::string big(blob::kChunkBytes + 1, 'x');
  const HttpReply reply = Ask("PUT", "/v1/chunks/" + HexOf(Sha256Of(big)), big);
  EXPECT_EQ(reply.status, 413);
  const std::string head = "GET /healthz HTTP/1.1\r\nhost: x\r\n";
  EXPECT_THAT(Raw(head + "x: " + std::string(20 << 10, 'y') + "\r\n\r\n"), HasSubstr("431"));
  EXPECT_THAT(Raw("PUT /v1/objects/team/x HTTP/1.1\r\nauthorization: Bearer all\r\n"
                  "content-length: 99999999999\r\n\r\n"),
              HasSubstr("413"));
  EXPECT_THAT(Raw("PUT /v1/objects/team/x HTTP/1.1\r\nauthorization: Bearer all\r\n"
                  "content-length: 70000\r\n\r\n"),
              HasSubstr("413"));
  EXPECT_THAT(Raw("PUT /v1/objects/team/x HTTP/1.1\r\nauthorization: Bearer all\r\n"
                  "transfer-encoding: chunked\r\n\r\n11170\r\n" +
                  std::string(70000, 'z') + "\r\n0\r\n\r\n"),
              HasSubstr("413"));
  EXPECT_EQ(Ask("GET", "/healthz").status, 200);
}

TEST_F(HttpServerTest, RefusedUploadIsNotReadAndIsTold) {
  // The whole body is sent before the answer is read: it must arrive all the same.
  auto nobody = Connect("wrong");
  const std::string big(blob::kChunkBytes, 'x');
  EXPECT_EQ(Ask(nobody.get(), "PUT", "/v1/chunks/" + HexOf(Sha256Of(big)), big).status, 401);
}

TEST_F(HttpServerTest, NonsenseIsAnsweredOrDropped) {
  EXPECT_THAT(Raw("nonsense\r\n\r\n"), HasSubstr("400"));
  EXPECT_THAT(Raw(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9) + "\r\n\r\n"),
              HasSubstr("400"));
  EXPECT_THAT(Raw("GET /healthz HTTP/1.1\r\ncontent-length: x\r\n\r\n"), HasSubstr("400"));
  EXPECT_EQ(Ask("GET", "/healthz").status, 200);
}

TEST_F(HttpServerTest, ManyRequestsShareAConnection) {
  for (int i = 0; i < 50; ++i) {
    const HttpReply reply = Ask("GET", i % 2 == 0 ? "/healthz" : "/v1/objects/team");
    EXPECT_EQ(reply.status, 200);
    EXPECT_NE(reply.Header("connection"), "close");
  }
  const std::string two =
      "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
      "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
  const std::string reply = Raw(two);
  EXPECT_NE(reply.find("ok"), reply.rfind("ok"));
}

TEST_F(HttpServerTest, ExpectContinueIsAnswered) {
  const std::string chunk = "chunk";
  const std::string reply = Raw(absl::StrCat(
      "PUT /v1/chunks/", HexOf(Sha256Of(chunk)),
      " HTTP/1.1\r\nauthorization: Bearer all\r\nexpect: 100-continue\r\nconnection: close\r\n"
      "content-length: 5\r\n\r\n",
      chunk));
  EXPECT_THAT(reply, testing::StartsWith("HTTP/1.1 100 "));
  EXPECT_THAT(reply, HasSubstr("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, ClientsInParallel) {
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 6; ++t) {
    threads.emplace_back([this, t] {
      auto client = blob::Client::Make(server_->address(), "all");
      for (uint64_t i = 0; i < 10; ++i) {
        const std::string bytes = RandomBytes(10000, i * 3 + t % 3);
        const auto digest = client->UploadBytes(bytes);
        ASSERT_TRUE(digest.ok()) << digest.status();
        EXPECT_TRUE(*client->DownloadBytes(*digest, 1 << 20) == bytes);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(HttpServerTest, ServerStopsWithOpenConnections) {
  EXPECT_EQ(Ask("GET", "/healthz").status, 200);
  server_.reset();
  EXPECT_TRUE(
      absl::IsUnavailable(connection_->Exchange({"GET", "/healthz", {}, ""}, nullptr).status()));
}

TEST_F(HttpServerTest, InsecureAddressesAreRefusedWithTheRemedy) {
  auto options = Options();
  options.listen = "0.0.0.0:0";
  const auto status = StartHttpServer(store_.get(), options).status();
  EXPECT_EQ(ReasonOf(status), "INSECURE_ADDRESS");
  EXPECT_THAT(FaultsOf(status).faults(0).fix(), HasSubstr("--tls_cert"));
  for (const char* listen : {"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "host:1", ":80"}) {
    options.listen = listen;
    EXPECT_EQ(ReasonOf(StartHttpServer(store_.get(), options).status()), "BAD_VALUE") << listen;
  }
  options.listen = server_->address();
  EXPECT_TRUE(absl::IsUnavailable(StartHttpServer(store_.get(), options).status()));
}

TEST_F(HttpServerTest, NoAuthorizerMeansNobody) {
  auto options = Options();
  options.authorize = nullptr;
  server_ = *StartHttpServer(store_.get(), options);
  connection_ = Connect("all");
  EXPECT_EQ(Ask("GET", "/v1/objects/team").status, 401);
}

TEST_F(HttpServerTest, TlsIsServedAndCheckedByTheClient) {
  const std::string key = folder_ + "/key.pem", certificate = folder_ + "/cert.pem";
  ASSERT_TRUE(WriteTestCertificate(certificate, key));
  auto options = Options();
  options.tls_certificate_file = certificate;
  options.tls_key_file = key;
  server_ = *StartHttpServer(store_.get(), options);
  const std::string address = "https://" + server_->address();
  auto client = blob::Client::Make(address, "all", certificate);
  const std::string bytes = RandomBytes(100000, 12);
  const auto digest = client->UploadBytes(bytes);
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_TRUE(*client->DownloadBytes(*digest, 1 << 20) == bytes);
  // Not signed by anybody the system knows.
  EXPECT_FALSE(blob::Client::Make(address, "all")->UploadBytes("x").ok());
  // No plain text.
  EXPECT_FALSE(blob::Client::Make(server_->address(), "all")->UploadBytes("x").ok());
  options.tls_key_file = "";
  EXPECT_EQ(ReasonOf(StartHttpServer(store_.get(), options).status()), "BAD_VALUE");
  options.tls_key_file = certificate;
  EXPECT_EQ(ReasonOf(StartHttpServer(store_.get(), options).status()), "BAD_VALUE");
}

}  // namespace
}  // namespace trainyard::store
