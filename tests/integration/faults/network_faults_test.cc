// A node behind a network of its own (a namespace joined by a veth pair), cut off both ways and one
// way. While it is cut off its ranks run on; after its lease the job runs elsewhere, and when the
// network is back the first attempt is ended and nothing of it is published.
// By itself: build/release/tests/network_faults_test
#include <unistd.h>

#include "tests/integration/faults/faults_fixture.h"

namespace trainyard::testing {
namespace {

class NetworkFaultsTest : public FaultsTest {
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
  int Inside(std::vector<std::string> words) {
    words.insert(words.begin(), {"-n", space_});
    return Ip(words);
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

  // `cut` and `mend` change the network.
  template <typename Change>
  void Partition(const std::string& name, Change cut, Change mend) {
    const std::string job = StartBeating(name, 1);
    const std::vector<Beat> before = BeatsOf(name);
    cut();
    const absl::Status near = cluster_.StartAgent("near", near_);
    ASSERT_TRUE(near.ok()) << near;
    ASSERT_TRUE(Eventually([&] { return BeatsOf(name).size() == 2; })) << "not run elsewhere";
    EXPECT_EQ(api_->GetNode("nodes/far")->state(), v1::UNREACHABLE);
    const std::vector<Beat> both = BeatsOf(name);
    EXPECT_TRUE(IsAlive(before[0].pid)) << "the cut-off rank runs on";
    EXPECT_GT(both[1].epoch, before[0].epoch);
    mend();
    EXPECT_TRUE(Eventually([&] { return !IsAlive(before[0].pid); })) << "the first attempt lives";
    LetEnd(name);
    const v1::Job ended = ExpectEnd(job, v1::SUCCEEDED);
    ASSERT_EQ(ended.attempts_size(), 2) << ended.ShortDebugString();
    EXPECT_EQ(ended.attempts(1).epoch(), both[1].epoch);
    ASSERT_TRUE(Eventually([&] { return api_->GetNode("nodes/far")->state() == v1::READY; }));
    ExpectQuiet();
    EXPECT_EQ(cluster_.agent("near").Stop(), 0);
    ASSERT_TRUE(Eventually([&] { return api_->GetNode("nodes/near")->state() != v1::READY; }));
  }

  std::string here_;
  std::string there_;
  std::string space_;
  std::string outer_;
  std::string inner_;
  AgentSettings near_;
};

TEST_F(NetworkFaultsTest, CutBothWays) {
  for (int i = 0; i < Times(1); ++i) {
    Partition(absl::StrCat("job", i), std::function<void()>([&] {
                Ip({"link", "set", outer_, "down"});
              }),
              std::function<void()>([&] {
                Ip({"link", "set", outer_, "up"});
              }));
  }
}

// Nothing of the node's reaches the scheduler, whose words arrive.
TEST_F(NetworkFaultsTest, CutFromNodeToScheduler) {
  for (int i = 0; i < Times(1); ++i) {
    Partition(absl::StrCat("job", i), std::function<void()>([&] {
                Inside({"route", "add", "blackhole", here_ + "/32"});
              }),
              std::function<void()>([&] {
                Inside({"route", "del", "blackhole", here_ + "/32"});
              }));
  }
}

// The scheduler's words do not arrive, the node's do.
TEST_F(NetworkFaultsTest, CutFromSchedulerToNode) {
  for (int i = 0; i < Times(1); ++i) {
    Partition(absl::StrCat("job", i), std::function<void()>([&] {
                Ip({"route", "add", "blackhole", there_ + "/32"});
              }),
              std::function<void()>([&] {
                Ip({"route", "del", "blackhole", there_ + "/32"});
              }));
  }
}

}  // namespace
}  // namespace trainyard::testing
