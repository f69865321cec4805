// Where the scheduler is: order of sources, tokens never paired with foreign addresses, refusals.
#include "client/sdk/endpoint.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <map>

#include "common/errors.h"
#include "common/file.h"

namespace trainyard::client {
namespace {

class EndpointTest : public testing::Test {
 protected:
  EndpointTest() {
    std::string path = "/tmp/trainyard-endpoint-XXXXXX";
    home_ = mkdtemp(path.data());
    variables_["HOME"] = home_;
  }
  ~EndpointTest() override { (void)RemoveTree(home_); }

  void WriteConfig(const std::string& text) {
    ASSERT_TRUE(MakeFolders(home_ + "/.config/trainyard").ok());
    ASSERT_TRUE(WriteFileAtomically(home_ + "/.config/trainyard/config.yaml", text).ok());
  }
  void StartEmbedded() {
    const std::string state = home_ + "/.local/state/trainyard";
    ASSERT_TRUE(MakeFolders(state).ok());
    ASSERT_TRUE(WriteFileAtomically(state + "/endpoint.json",
                                    R"({"grpc":"unix:/x/s.sock","grpc_tcp":"127.0.0.1:4100",)"
                                    R"("http":"127.0.0.1:4101","pid":7,"incarnation":3})")
                    .ok());
    ASSERT_TRUE(WriteFileAtomically(state + "/token", "ty_admin\n").ok());
  }
  absl::StatusOr<Endpoint> FindAt(const std::string& endpoint, const std::string& token = "") {
    EndpointFlags flags;
    flags.endpoint = endpoint;
    flags.token = token;
    return Find(flags);
  }
  absl::StatusOr<Endpoint> Find(const EndpointFlags& flags = {}) {
    return FindEndpoint(flags, [this](const char* name) {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::string() : found->second;
    });
  }

  std::string home_;
  std::map<std::string, std::string> variables_;
};

TEST_F(EndpointTest, NothingNamedIsNotRunningAndSaysWhatToType) {
  const absl::Status status = Find().status();
  EXPECT_EQ(ReasonOf(status), "NOT_RUNNING");
  EXPECT_NE(status.message().find("trainyard up"), absl::string_view::npos);
  EXPECT_NE(status.message().find("trainyard doctor"), absl::string_view::npos);
  EXPECT_NE(status.message().find(home_), absl::string_view::npos);
}

TEST_F(EndpointTest, EmbeddedClusterIsFoundWithItsToken) {
  StartEmbedded();
  const auto endpoint = Find();
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_EQ(endpoint->address, "unix:/x/s.sock");
  EXPECT_EQ(endpoint->token, "ty_admin");
  EXPECT_FALSE(endpoint->tls);
  EXPECT_NE(endpoint->address_source.find("endpoint.json"), std::string::npos);
  EXPECT_EQ(endpoint->project, "default");
}

TEST_F(EndpointTest, FlagBeatsVariableBeatsConfigBeatsEmbedded) {
  StartEmbedded();
  WriteConfig("endpoint: config.example:1\ntoken: c\nproject: vision\n");
  EXPECT_EQ(Find()->address, "config.example:1");
  EXPECT_EQ(Find()->project, "vision");
  variables_["TRAINYARD_ENDPOINT"] = "env.example:2";
  variables_["TRAINYARD_TOKEN"] = "e";
  EXPECT_EQ(Find()->address, "env.example:2");
  EXPECT_EQ(Find()->token, "e");
  EXPECT_EQ(Find()->token_source, "TRAINYARD_TOKEN");
  EXPECT_EQ(FindAt("flag.example:3", "f")->address, "flag.example:3");
  EXPECT_EQ(FindAt("flag.example:3", "f")->address_source, "--endpoint");
  EXPECT_EQ(FindAt("flag.example:3", "f")->token, "f");
}

TEST_F(EndpointTest, AdminTokenOfTheEmbeddedClusterGoesToNoOtherAddress) {
  StartEmbedded();
  EXPECT_EQ(FindAt("other.example:4100")->token, "");
  EXPECT_EQ(FindAt("127.0.0.1:4999")->token, "");
  EXPECT_EQ(FindAt("127.0.0.1:4100")->token, "ty_admin");
}

TEST_F(EndpointTest, EverythingBeyondTheLoopbackIsTls) {
  EXPECT_TRUE(FindAt("trains.example:7450")->tls);
  EXPECT_TRUE(FindAt("https://trains.example:7450")->tls);
  EXPECT_EQ(FindAt("https://trains.example:7450/")->address, "trains.example:7450");
  EXPECT_TRUE(FindAt("https://127.0.0.1:7450")->tls);
  EXPECT_TRUE(FindAt("127.example.org:7450")->tls) << "a name, anybody's";
  EXPECT_FALSE(FindAt("127.0.0.1:7450")->tls);
  EXPECT_FALSE(FindAt("[::1]:7450")->tls);
  EXPECT_EQ(ReasonOf(FindAt("http://trains.example:7450").status()), "INSECURE_ADDRESS");
}

TEST_F(EndpointTest, BadAddressesAreRefusedWithTheForm) {
  for (const char* address : {"host", "host:", ":80", "host:99999", "host:abc"}) {
    const absl::Status status = FindAt(address).status();
    EXPECT_EQ(ReasonOf(status), "BAD_VALUE") << address;
    EXPECT_NE(status.message().find("HOST:PORT"), absl::string_view::npos) << address;
  }
}

TEST_F(EndpointTest, TokenFileOfTheConfigIsRead) {
  ASSERT_TRUE(WriteFileAtomically(home_ + "/t", "  ty_file \n").ok());
  WriteConfig("endpoint: config.example:1\ntoken_file: " + home_ + "/t\n");
  EXPECT_EQ(Find()->token, "ty_file");
  WriteConfig("endpoint: config.example:1\ntoken_file: " + home_ + "/absent\n");
  EXPECT_EQ(ReasonOf(Find().status()), "UNAUTHENTICATED");
}

TEST_F(EndpointTest, CaFileMustBeReadable) {
  WriteConfig("endpoint: config.example:1\nca_file: " + home_ + "/ca.pem\n");
  EXPECT_EQ(ReasonOf(Find().status()), "BAD_VALUE");
  ASSERT_TRUE(WriteFileAtomically(home_ + "/ca.pem", "pem").ok());
  EXPECT_EQ(Find()->ca_file, home_ + "/ca.pem");
}

TEST_F(EndpointTest, DamagedEndpointFileIsAnErrorNotACrash) {
  StartEmbedded();
  const std::string path = home_ + "/.local/state/trainyard/endpoint.json";
  for (const char* text : {"", "{", "[]", R"({"grpc": 5})"}) {
    ASSERT_TRUE(WriteFileAtomically(path, text).ok());
    EXPECT_FALSE(Find().ok()) << text;
  }
}

}  // namespace
}  // namespace trainyard::client
