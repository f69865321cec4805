// AgentCore under random messages, happenings, losses of the session and restarts: what must hold
// after every step, whatever comes. Each seed is one history; a failing one is printed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "common/random.h"
#include "tests/worker/core/agent_scene.h"

namespace trainyard::worker {
namespace {

class Machine {
 public:
  explicit Machine(uint64_t seed) : random_(seed) {}

  void Step() {
    switch (random_.Below(14)) {
      case 0:
        return Reconnect();
      case 1:
        connected_ = false;
        scene_.Disconnect();
        return Look();
      case 2:
      case 3:
        return Order();
      case 4:
        return Take();
      case 5:
        scene_.Pass(absl::Milliseconds(static_cast<int64_t>(random_.Below(4000))));
        scene_.Tick();
        return Look();
      case 6:
        scene_.Renew(random_.Below(20));
        return Look();
      case 7:
        scene_.Ack(random_.Below(scene_.core().outbox().next_sequence() + 1));
        acked_ = std::max(acked_, scene_.core().outbox().acknowledged());
        return Look();
      default:
        return Happen();
    }
  }

  // Nothing is wanted any more and everything answers: all must be told and gone.
  void Settle() {
    wanted_.clear();
    for (int round = 0; round < 50; ++round) {
      Reconnect();
      for (int i = 0; i < 200; ++i) Happen();
      scene_.AckAll();
      acked_ = scene_.core().outbox().acknowledged();
      Look();
    }
    EXPECT_TRUE(scene_.core().Members().empty());
    EXPECT_TRUE(processes_.empty());
    EXPECT_TRUE(scene_.core().outbox().facts().empty());
    for (const MemberId& id : launched_) EXPECT_EQ(exited_.count(id), 1u) << FolderName(id);
  }

 private:
  MemberId RandomId() {
    return {1 + random_.Below(3), 1 + random_.Below(4), static_cast<int32_t>(random_.Below(2))};
  }

  std::vector<agent::v1::DesiredMember> Desired() const {
    std::vector<agent::v1::DesiredMember> desired;
    for (const auto& [id, one] : wanted_) desired.push_back(one);
    return desired;
  }

  void Reconnect() {
    scene_.Disconnect();
    Look();
    scene_.Connect(Desired());
    connected_ = true;
    Look();
  }

  void Order() {
    const MemberId id = RandomId();
    const uint64_t kind = random_.Below(4);
    agent::v1::DesiredMember want = kind == 0   ? WantPrepared(id)
                                    : kind == 1 ? WantStopped(id)
                                                : WantRun(id);
    wanted_[id] = want;
    if (!connected_) {
      ++scene_.version;
      return;
    }
    scene_.Delta({want});
    Look();
  }

  void Take() {
    if (wanted_.empty()) return;
    auto it = wanted_.begin();
    std::advance(it, static_cast<int64_t>(random_.Below(wanted_.size())));
    const MemberId id = it->first;
    wanted_.erase(it);
    if (!connected_) {
      ++scene_.version;
      return;
    }
    scene_.Delta({}, {id});
    Look();
  }

  // This machine answers one of the effects that wait for an answer.
  void Happen() {
    if (waiting_.empty()) return;
    auto it = waiting_.begin();
    std::advance(it, static_cast<int64_t>(random_.Below(waiting_.size())));
    const auto [id, what] = *it;
    waiting_.erase(it);
    const bool well = random_.Below(5) != 0;
    if (what == "stage") {
      scene_.Staged(id, well ? absl::OkStatus() : absl::NotFoundError("gone"));
    } else if (what == "launch") {
      if (well) {
        waiting_.insert({id, "end"});
        scene_.Started(id);
      } else {
        processes_.erase(id);
        scene_.core().Ended(id, RefusedEnd(v1::LAUNCH, "no"), scene_.now());
        scene_.Effects();
      }
    } else if (what == "end") {
      processes_.erase(id);
      scene_.Ended(id, well ? v1::EXIT_CAUSE_UNSPECIFIED : v1::USER_ERROR);
    } else if (what == "publish") {
      scene_.Published(id, well ? absl::OkStatus() : absl::DataLossError("disk"));
    } else if (what == "clean") {
      scene_.Cleaned(id);
    }
    Look();
  }

  // Checks the effects of the last call against what may happen.
  void Look() {
    for (const Effect& effect : scene_.raw()) {
      std::visit([this](const auto& one) { Check(one); }, effect);
    }
  }

  void Check(const StageMember& effect) { waiting_.insert({effect.id, "stage"}); }
  void Check(const LaunchMember& effect) {
    EXPECT_TRUE(launched_.insert(effect.id).second) << "twice: " << FolderName(effect.id);
    EXPECT_EQ(exited_.count(effect.id), 0u);
    for (const MemberId& other : processes_) {
      EXPECT_FALSE(other.run_uid == effect.id.run_uid && other.epoch < effect.id.epoch)
          << FolderName(effect.id) << " beside " << FolderName(other);
    }
    // Without a session the last order stands until the lease ends.
    if (connected_) {
      EXPECT_EQ(wanted_.count(effect.id), 1u) << "nobody wants " << FolderName(effect.id);
    }
    processes_.insert(effect.id);
    waiting_.insert({effect.id, "launch"});
  }
  void Check(const PublishMember& effect) {
    EXPECT_EQ(processes_.count(effect.id), 0u);
    waiting_.insert({effect.id, "publish"});
  }
  void Check(const CleanMember& effect) {
    ASSERT_EQ(exited_.count(effect.id), 1u);
    EXPECT_LE(exited_[effect.id], scene_.core().outbox().acknowledged()) << "before its ack";
    waiting_.insert({effect.id, "clean"});
  }
  void Check(const StoreFact& effect) {
    EXPECT_EQ(effect.fact.sequence(), ++last_fact_);
    const MemberId id = IdOf(effect.fact.key());
    if (effect.fact.has_exited()) {
      // A second time only when the scheduler, which acknowledged it, asks for it again.
      const auto known = exited_.find(id);
      EXPECT_TRUE(known == exited_.end() || known->second <= acked_)
          << "two ends of " << FolderName(id);
      exited_[id] = effect.fact.sequence();
      EXPECT_EQ(processes_.count(id), 0u) << "ended with processes";
    }
    if (effect.fact.has_released()) {
      EXPECT_EQ(exited_.count(id), 1u);
      EXPECT_EQ(exited_[id] + 1, effect.fact.sequence()) << "with its end";
    }
  }
  void Check(const StopMember& effect) { EXPECT_EQ(processes_.count(effect.id), 1u); }
  void Check(const RenewLease& effect) {
    EXPECT_GT(effect.length, absl::ZeroDuration());
    EXPECT_EQ(processes_.count(effect.id), 1u);
  }
  void Check(const trainyard::worker::Reconnect&) { connected_ = false; }
  void Check(const SendToScheduler&) {}
  void Check(const DropFacts&) {}
  void Check(const StoreIncarnation&) {}
  void Check(const CancelStaging&) {}

  Random random_;
  AgentScene scene_;
  bool connected_ = false;
  std::map<MemberId, agent::v1::DesiredMember> wanted_;
  std::set<std::pair<MemberId, std::string>> waiting_;
  std::set<MemberId> processes_;
  std::set<MemberId> launched_;
  std::map<MemberId, uint64_t> exited_;
  uint64_t last_fact_ = 0;
  uint64_t acked_ = 0;
};

TEST(AgentRandomTest, InvariantsHoldWhateverComes) {
  const char* const is_long = std::getenv("TRAINYARD_TEST_LONG");
  const uint64_t seeds = is_long != nullptr && is_long[0] == '1' ? 20000 : 400;
  for (uint64_t seed = 1; seed <= seeds && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Machine machine(seed);
    for (int step = 0; step < 250 && !testing::Test::HasFailure(); ++step) machine.Step();
    machine.Settle();
  }
}

}  // namespace
}  // namespace trainyard::worker
