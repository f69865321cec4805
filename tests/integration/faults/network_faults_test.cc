// A node behind a network of its own (a namespace joined by a veth pair), cut off both ways and one
// way. While it is cut off its ranks run on; after its lease the job runs elsewhere, and when the
// network is back the first attempt is ended and nothing of it is published.
// By itself: build/release/tests/network_faults_test
#include <functional>

#include "tests/integration/faults/network_fixture.h"

namespace trainyard::testing {
namespace {

class NetworkFaultsTest : public NetworkTest {
 protected:
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
