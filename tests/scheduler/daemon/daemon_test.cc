// The real program: what it refuses, what it leaves on disk, one instance per folder, an orderly
// stop, TLS.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "trainyard/v1/admin.grpc.pb.h"
#include "trainyard/v1/job.grpc.pb.h"

extern char** environ;

namespace trainyard {
namespace {

using ::testing::HasSubstr;

class DaemonTest : public ::testing::Test {
 protected:
  DaemonTest() {
    char path[] = "/tmp/trainyard-daemon-XXXXXX";
    folder_ = mkdtemp(path);
  }
  ~DaemonTest() override {
    for (const pid_t pid : running_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    RemoveTree(folder_).IgnoreError();
  }

  // Starts a program; its standard error goes to `errors`.
  pid_t Spawn(std::vector<std::string> words, const std::string& errors) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, errors.c_str(), O_CREAT | O_WRONLY | O_TRUNC,
                                     0600);
    pid_t pid = -1;
    EXPECT_EQ(posix_spawnp(&pid, words[0].c_str(), &actions, nullptr, arguments.data(), environ),
              0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }
  pid_t Start(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {SCHEDULER_PATH, absl::StrCat("--state_dir=", State())});
    return Spawn(flags, Errors());
  }
  // Starts and waits until it serves.
  pid_t Serve(const std::vector<std::string>& flags) {
    const pid_t pid = Start(flags);
    running_.push_back(pid);
    for (int i = 0; i < 3000 && !Exists(Endpoint()); ++i) {
      if (waitpid(pid, nullptr, WNOHANG) != 0) break;
      absl::SleepFor(absl::Milliseconds(10));
    }
    EXPECT_TRUE(Exists(Endpoint())) << ReadFile(Errors()).value_or("");
    return pid;
  }
  // Exit code; what it wrote is in Errors().
  int Await(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    std::erase(running_, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  std::string State() const { return JoinPath(folder_, "state"); }
  std::string Errors() const { return JoinPath(folder_, "errors"); }
  std::string Endpoint() const { return JoinPath(State(), "endpoint.json"); }
  std::string Token(const std::string& file) {
    std::string token = ReadFile(JoinPath(State(), file)).value_or("");
    absl::StripAsciiWhitespace(&token);
    return token;
  }
  grpc::Status Ask(const std::shared_ptr<grpc::Channel>& channel, const std::string& token,
                   v1::ServerInfo* info) {
    grpc::ClientContext call;
    if (!token.empty()) call.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return v1::AdminService::NewStub(channel)->GetServerInfo(&call, {}, info);
  }

  std::string folder_;
  std::vector<pid_t> running_;
};

TEST_F(DaemonTest, ServesAndStopsInOrder) {
  const pid_t pid = Serve({"--embedded_node=local"});
  struct stat info {};
  ASSERT_EQ(stat(State().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  for (const char* file : {"token", "secret", "agent.token", "endpoint.json"}) {
    ASSERT_EQ(stat(JoinPath(State(), file).c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 0077, 0u) << file << " is the owner's alone";
  }
  const auto endpoint = nlohmann::json::parse(ReadFile(Endpoint()).value());
  EXPECT_EQ(endpoint["pid"], pid);
  for (const std::string address : {endpoint["grpc"], endpoint["grpc_tcp"]}) {
    auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    v1::ServerInfo server;
    EXPECT_TRUE(Ask(channel, Token("token"), &server).ok()) << address;
    EXPECT_EQ(server.role(), v1::ADMIN);
    EXPECT_EQ(server.http_address(), endpoint["http"]);
    EXPECT_EQ(Ask(channel, "", &server).error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(Ask(channel, Token("agent.token"), &server).error_code(),
              grpc::StatusCode::PERMISSION_DENIED);
  }
  kill(pid, SIGTERM);
  EXPECT_EQ(Await(pid), 0);
  EXPECT_FALSE(Exists(Endpoint()));
}

TEST_F(DaemonTest, OneInstancePerFolder) {
  Serve({});
  const std::string token = Token("token");
  EXPECT_EQ(Await(Start({})), 1);
  const std::string errors = ReadFile(Errors()).value();
  EXPECT_THAT(errors, HasSubstr("a scheduler runs already"));
  EXPECT_THAT(errors, HasSubstr("trainyard down"));
  EXPECT_TRUE(Exists(Endpoint())) << "the first one is not disturbed";
  EXPECT_EQ(Token("token"), token);
}

TEST_F(DaemonTest, OtherAddressesNeedTlsAndTheAnswerSaysHow) {
  for (const char* flag : {"--listen=0.0.0.0:0", "--http_listen=0.0.0.0:0"}) {
    EXPECT_EQ(Await(Start({flag})), 1);
    const std::string errors = ReadFile(Errors()).value();
    EXPECT_THAT(errors, HasSubstr("openssl req -x509"));
    EXPECT_THAT(errors, HasSubstr("--tls_cert=cert.pem --tls_key=key.pem"));
  }
}

TEST_F(DaemonTest, ParametersOfThePolicyAreChecked) {
  for (const char* wrong : {"--policy_set=agein=1", "--policy_set=aging", "--policy_set=aging=x"}) {
    EXPECT_EQ(Await(Start({wrong})), 1) << wrong;
    EXPECT_THAT(ReadFile(Errors()).value(), HasSubstr("with one of aging, aging_exponent"));
  }
  Serve({"--policy_set=aging=3600,front_share=0.5"});
}

TEST_F(DaemonTest, FolderThatOthersMayWriteIsRefused) {
  ASSERT_TRUE(MakeFolders(State(), 0700).ok());
  ASSERT_EQ(chmod(State().c_str(), 0777), 0);
  EXPECT_EQ(Await(Start({})), 1);
  EXPECT_THAT(ReadFile(Errors()).value(), HasSubstr("chmod 700"));
}

TEST_F(DaemonTest, TlsCarriesTokensToOtherAddresses) {
  const std::string certificate = JoinPath(folder_, "cert.pem");
  const std::string key = JoinPath(folder_, "key.pem");
  const pid_t openssl =
      Spawn({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
             key, "-out", certificate},
            Errors());
  ASSERT_EQ(Await(openssl), 0);
  Serve({"--listen=0.0.0.0:0", absl::StrCat("--tls_cert=", certificate),
         absl::StrCat("--tls_key=", key)});
  const auto endpoint = nlohmann::json::parse(ReadFile(Endpoint()).value());
  const std::string tcp = endpoint["grpc_tcp"];
  const std::string address = absl::StrCat("127.0.0.1", tcp.substr(tcp.rfind(':')));
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ReadFile(certificate).value();
  const auto secure = grpc::CreateChannel(address, grpc::SslCredentials(options));
  v1::ServerInfo server;
  EXPECT_TRUE(Ask(secure, Token("token"), &server).ok());
  EXPECT_EQ(Ask(secure, "wrong", &server).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  const auto plain = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  EXPECT_FALSE(Ask(plain, Token("token"), &server).ok()) << "no plain text on that address";
}

TEST_F(DaemonTest, RestartKeepsTokensAndRaisesTheIncarnation) {
  pid_t pid = Serve({});
  const std::string token = Token("token");
  v1::ServerInfo first;
  const std::string address = absl::StrCat("unix://", State(), "/scheduler.sock");
  ASSERT_TRUE(
      Ask(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()), token, &first).ok());
  kill(pid, SIGKILL);
  Await(pid);
  unlink(Endpoint().c_str());
  pid = Serve({});
  v1::ServerInfo second;
  ASSERT_TRUE(
      Ask(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()), token, &second).ok());
  EXPECT_GT(second.incarnation(), first.incarnation());
}

}  // namespace
}  // namespace trainyard
