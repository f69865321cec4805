// A node `far` behind a network of its own (a namespace joined by a veth pair), with an agent that
// speaks TLS; settings for another agent beside the scheduler. Needs root and the program ip; a
// test is skipped without them. Names are of this process alone.
#ifndef TRAINYARD_TESTS_INTEGRATION_FAULTS_NETWORK_FIXTURE_H_
#define TRAINYARD_TESTS_INTEGRATION_FAULTS_NETWORK_FIXTURE_H_

#include <unistd.h>

#include <string>
#include <vector>

#include "tests/integration/faults/faults_fixture.h"

namespace trainyard::testing {

class NetworkTest : public FaultsTest {
 protected:
  void SetUp() override {
    const int number = getpid() % 200;
    here_ = absl::StrCat("10.213.", number, ".1");
    there_ = absl::StrCat("10.213.", number, ".2");
    space_ = absl::StrCat("trainyard", getpid());
    outer_ = absl::StrCat("tyo", getpid());
    inner_ = absl::StrCat("tyi", getpid());
    if (Ip({"netns", "add", space_}) != 0) {
      GTEST_SKIP() << "network namespaces need root and the program ip";
    }
    ASSERT_EQ(Ip({"link", "add", outer_, "type", "veth", "peer", "name", inner_}), 0);
    ASSERT_EQ(Ip({"link", "set", inner_, "netns", space_}), 0);
    ASSERT_EQ(Ip({"addr", "add", here_ + "/24", "dev", outer_}), 0);
    ASSERT_EQ(Ip({"link", "set", outer_, "up"}), 0);
    ASSERT_EQ(Inside({"addr", "add", there_ + "/24", "dev", inner_}), 0);
    ASSERT_EQ(Inside({"link", "set", inner_, "up"}), 0);
    ASSERT_EQ(Inside({"link", "set", "lo", "up"}), 0);
    StartBoth();
  }
  void TearDown() override {
    FaultsTest::TearDown();
    Ip({"link", "del", outer_});
    Ip({"netns", "del", space_});
  }

  int Ip(std::vector<std::string> words) {
    words.insert(words.begin(), "ip");
    return RunToEnd({words, {}, "", cluster_.Path("log/ip"), ""});
  }
  // By nsenter: "ip -n" mounts /sys anew, which cannot be done in a chroot.
  int Inside(std::vector<std::string> words) {
    words.insert(words.begin(), {"nsenter", "--net=/run/netns/" + space_, "ip"});
    return RunToEnd({words, {}, "", cluster_.Path("log/ip"), ""});
  }

  // A scheduler with TLS on our end, node `far` in the namespace and node `near` beside us.
  void StartBoth() {
    const std::string certificate = cluster_.Path("cert.pem");
    const std::string key = cluster_.Path("key.pem");
    ASSERT_EQ(RunToEnd({{"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                         "-subj", "/CN=trainyard", "-addext", "subjectAltName=IP:" + here_,
                         "-keyout", key, "-out", certificate},
                        {},
                        "",
                        cluster_.Path("log/openssl"),
                        ""}),
              0);
    Start({}, {"--lease=2s", absl::StrCat("--listen=", here_, ":0"),
               absl::StrCat("--http_listen=", here_, ":0"),
               absl::StrCat("--tls_cert=", certificate), absl::StrCat("--tls_key=", key)});
    AgentSettings settings;
    settings.target = cluster_.Endpoint("grpc_tcp");
    settings.flags = {absl::StrCat("--ca_file=", certificate)};
    settings.network = space_;
    const absl::Status far = cluster_.StartAgent("far", settings);
    ASSERT_TRUE(far.ok()) << far;
    settings.network.clear();
    near_ = settings;
  }

  std::string here_;
  std::string there_;
  std::string space_;
  std::string outer_;
  std::string inner_;
  AgentSettings near_;
};

}  // namespace trainyard::testing

#endif  // TRAINYARD_TESTS_INTEGRATION_FAULTS_NETWORK_FIXTURE_H_
