// A million random events on small clusters, seeded: what the planner says is carried out by a
// model that knows devices only, and every rule is looked at after every plan.
//  - No device is given out twice; a device that a stopping run still holds is not given out.
//  - A gang is placed whole; member 0 holds rank 0.
//  - Only preemptible runs are stopped (or borrowers, for a guarantee), none before its minimum.
//  - What was vacated for a run is given to nobody else, unless its node is lost.
//  - A team that stays within its guarantee waits for nobody who borrows: one pass takes it back.
//  - easy: the first in the queue starts no later than it was ever promised, whoever is let past.
//  - Below a load of 0.9 everybody starts, within a day; nobody evicts the same run again and
//  again.
//  - Two planners told the same say the same; asked again with nothing new they have nothing to
//  say.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/random.h"
#include "scheduler/placement/planner.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kGrace = 20 * kSecond;

struct LiveRun {
  WaitingRun view;
  int64_t work_left = 0;
  int64_t began = -1;  // running since
  int64_t first_start = -1;
  int64_t stop_by = -1;
  int64_t attained = 0;
  int64_t promised = INT64_MAX;  // easy: the latest it was said to start
  std::vector<std::string> devices;
};

struct Figures {
  int64_t events = 0;
  int64_t preemptions = 0;
  int64_t reclaimed = 0;
  int64_t promises = 0;    // heads of easy that started
  int64_t let_past = 0;    // starts of easy behind a head that waits
  int64_t worst_wait = 0;  // microseconds
};

class World {
 public:
  World(uint64_t seed, const std::string& policy, bool quotas, bool twin)
      : easy_(policy == "easy" && !quotas),
        shares_(policy != "easy" && !quotas),
        starves_(policy == "skip" || policy == "las"),
        random_(seed),
        planner_(*PolicyNamed(policy)),
        twin_(*PolicyNamed(policy)),
        with_twin_(twin) {
    nodes_ = 2 + static_cast<int>(random_.Below(4));
    for (int i = 0; i < nodes_; ++i) {
      NodeView node = MakeNode(absl::StrCat("n", i), 64, 8);
      Both([&](Planner& planner) { planner.SetNode(node); });
    }
    if (!quotas) return;
    std::vector<QuotaNode> tree(2);
    tree[0].team = "a";
    tree[1].team = "b";
    for (QuotaNode& node : tree) node.by_model[""].guarantee_milli = 4000 * nodes_;
    tree[1].by_model[""].limit_milli = 7000 * nodes_;
    quotas_ = true;
    Both([&](Planner& planner) { planner.SetQuotas(tree); });
  }

  // One event and the plan after it.
  void Step() {
    int64_t next = now_ + 1 + static_cast<int64_t>(random_.Below(120)) * kSecond;
    const int64_t wake = planner_.WakeUs();
    if (wake > now_ && wake < next) next = wake;
    uint64_t ends = 0;
    for (const auto& [uid, run] : runs_) {
      const int64_t end = run.stop_by >= 0 ? run.stop_by
                          : run.began >= 0 ? run.began + run.work_left
                                           : INT64_MAX;
      if (end <= next) {
        next = std::max(now_, end);
        ends = uid;
      }
    }
    now_ = next;
    if (ends != 0) {
      End(ends);
    } else if (!draining_ && random_.Below(3) == 0 && load_ < 0.85) {
      Arrive();
    }
    Plan plan = planner_.Decide(now_);
    if (with_twin_) Compare(plan, twin_.Decide(now_));
    Carry(plan);
    if (::testing::Test::HasFatalFailure()) return;
    if (quotas_) CheckGuarantees();
    if (easy_) PromiseHead();
    if (figures_.events++ % 32 == 0) AskAgain();
  }

  const Figures& figures() const { return figures_; }

  // No more arrivals: everybody starts and ends.
  void Drain() {
    draining_ = true;
    for (int i = 0; i < 20000 && !runs_.empty(); ++i) {
      Step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    ASSERT_TRUE(runs_.empty()) << runs_.size() << " runs never ended";
  }

 private:
  template <typename F>
  void Both(const F& tell) {
    tell(planner_);
    if (with_twin_) tell(twin_);
  }

  void Arrive() {
    WaitingRun run = MakeRun(next_uid_++, 1, MakeNeeds(1000, 1));
    const uint64_t kind = random_.Below(10);
    if (kind < 5) {
      run.ranks[0].gpu_count = 1 + static_cast<int>(random_.Below(8));
    } else if (kind < 7) {
      run.ranks.assign(1 + random_.Below(static_cast<uint64_t>(nodes_)), MakeNeeds(1000, 8));
    } else if (kind < 8) {
      run.ranks.assign(1 + random_.Below(6), MakeNeeds(500, 2));
    } else if (kind < 9 && shares_) {
      run.ranks[0] = MakeNeeds(500, 0, 200 + 100 * static_cast<int>(random_.Below(7)));
    }
    run.queued_us = now_;
    run.preemptible = random_.Below(4) != 0;
    run.priority = !easy_ && random_.Below(20) == 0 ? 1 : 0;
    run.principal = absl::StrCat("user", random_.Below(4));
    if (random_.Below(3) == 0) run.owner_uid = 1'000'000 + random_.Below(3);
    run.team = random_.Below(2) == 0 ? "a" : "b";
    if (quotas_ && run.ranks.size() > 1) run.ranks.resize(1);
    LiveRun live;
    live.view = run;
    live.work_left = kSecond * static_cast<int64_t>(1 + random_.Below(1u << random_.Below(13)));
    const int64_t slack = 1 + static_cast<int64_t>(random_.Below(3));
    if (easy_ || random_.Below(3) == 0) run.time_limit_us = live.work_left * slack;
    live.view.time_limit_us = run.time_limit_us;
    runs_[run.run_uid] = live;
    Both([&](Planner& planner) { planner.AddWaiting(run, now_); });
    Load();
  }

  // Work that is left, as a share of what the cluster does in an hour.
  void Load() {
    double work = 0;
    for (const auto& [uid, run] : runs_) {
      work += static_cast<double>(run.work_left) * Gpus(run.view);
    }
    load_ = work / (3600.0 * kSecond * 8 * nodes_);
  }
  static double Gpus(const WaitingRun& run) {
    double gpus = 0;
    for (const RankNeeds& needs : run.ranks) gpus += needs.gpu_count + needs.gpu_milli / 1000.0;
    return gpus;
  }

  // Of each of its devices.
  static int64_t Milli(const WaitingRun& run) {
    return run.ranks[0].gpu_milli > 0 ? run.ranks[0].gpu_milli : 1000;
  }

  void FreeDevices(LiveRun* run) {
    for (const std::string& device : run->devices) held_[device] -= Milli(run->view);
    run->devices.clear();
  }

  void End(uint64_t uid) {
    LiveRun& run = runs_.at(uid);
    FreeDevices(&run);
    if (run.stop_by < 0) {
      runs_.erase(uid);
      Both([&](Planner& planner) { planner.Remove(uid, now_); });
    } else {
      run.stop_by = -1;
      run.view.queued_us = now_;
      run.view.attained_device_us = run.attained;
      Both([&](Planner& planner) { planner.AddWaiting(run.view, now_); });
    }
    Load();
  }

  void Compare(const Plan& plan, const Plan& other) {
    ASSERT_EQ(plan.placements.size(), other.placements.size());
    ASSERT_EQ(plan.preemptions.size(), other.preemptions.size());
    for (size_t i = 0; i < plan.preemptions.size(); ++i) {
      ASSERT_EQ(plan.preemptions[i].run_uid, other.preemptions[i].run_uid);
      ASSERT_EQ(plan.preemptions[i].for_run_uid, other.preemptions[i].for_run_uid);
    }
    for (size_t i = 0; i < plan.placements.size(); ++i) {
      ASSERT_EQ(plan.placements[i].run_uid, other.placements[i].run_uid);
      ASSERT_EQ(plan.placements[i].members[0].rank_devices,
                other.placements[i].members[0].rank_devices);
    }
  }

  static bool Waits(const LiveRun& run) { return run.began < 0 && run.stop_by < 0; }

  // No single device is kept from a team within its guarantee by runs of one that is beyond its
  // own. What the other was promised and has not left yet is out of reach until it begins.
  void CheckGuarantees() {
    std::map<std::string, int64_t> used;  // what stops counts until it has stopped
    std::map<std::string, int64_t> keeps;
    for (const auto& [uid, run] : runs_) {
      const auto milli = static_cast<int64_t>(1000 * Gpus(run.view));
      const bool has = run.began >= 0 || (Waits(run) && claims_.contains(uid));
      if (run.began >= 0) keeps[run.view.team] += milli;
      if (has || run.stop_by >= 0) used[run.view.team] += milli;
    }
    const int64_t guarantee = int64_t{4000} * nodes_;
    for (const auto& item : runs_) {
      const uint64_t uid = item.first;
      const LiveRun& run = item.second;
      const std::string& team = run.view.team;
      if (!Waits(run) || claims_.contains(uid) || Gpus(run.view) != 1) continue;
      if (used[team] + 1000 > guarantee) continue;
      const std::string other = team == "a" ? "b" : "a";
      const bool out_of_reach = std::any_of(runs_.begin(), runs_.end(), [&](const auto& entry) {
        const LiveRun& holder = entry.second;
        return holder.view.team == other && holder.began >= 0 &&
               (holder.view.priority > run.view.priority || holder.began == now_);
      });
      ASSERT_TRUE(out_of_reach || keeps[other] <= guarantee)
          << uid << " waits for one device, its team has " << used[team] << ", the other "
          << keeps[other];
    }
  }

  // When the first in the queue fits at the latest, by the limits of those that run.
  void PromiseHead() {
    const auto head = std::find_if(runs_.begin(), runs_.end(),
                                   [](const auto& entry) { return Waits(entry.second); });
    if (head == runs_.end()) return;
    std::map<std::string, int> free;
    for (int i = 0; i < nodes_; ++i) free[absl::StrCat("n", i)] = 8;
    const auto node_of = [](const std::string& device) {
      return device.substr(0, device.find('-'));
    };
    std::vector<std::pair<int64_t, const LiveRun*>> ends;
    for (const auto& [uid, run] : runs_) {
      for (const std::string& device : run.devices) --free[node_of(device)];
      if (run.began >= 0) ends.emplace_back(run.began + run.view.time_limit_us, &run);
    }
    std::sort(ends.begin(), ends.end());
    const LiveRun& first = head->second;
    const auto fits = [&] {
      int ranks = 0;
      for (const auto& [node, devices] : free) ranks += devices / first.view.ranks[0].gpu_count;
      return ranks >= static_cast<int>(first.view.ranks.size());
    };
    ASSERT_FALSE(fits()) << head->first << " is first, fits, and waits";
    for (const auto& [end, run] : ends) {
      for (const std::string& device : run->devices) ++free[node_of(device)];
      if (!fits()) continue;
      head->second.promised = std::min(head->second.promised, end);
      break;
    }
    head_ = head->first;
  }

  // Everything is looked at anew although nothing happened: the plans come to rest at once, nobody
  // is stopped for one who is stopped for another.
  void AskAgain() {
    for (int round = 0; round < 6; ++round) {
      Both([](Planner& planner) { planner.SetSchedulable("n0", true); });
      const Plan again = planner_.Decide(now_);
      if (with_twin_) Compare(again, twin_.Decide(now_));
      if (again.placements.empty() && again.preemptions.empty()) return;
      Carry(again);
      if (::testing::Test::HasFatalFailure()) return;
    }
    FAIL() << "the plans do not come to rest";
  }

  void Carry(const Plan& plan) {
    std::set<uint64_t> stopped;
    for (const Preemption& preemption : plan.preemptions) {
      ++figures_.preemptions;
      LiveRun& run = runs_.at(preemption.run_uid);
      const int times = ++evictions_[{preemption.for_run_uid, preemption.run_uid}];
      ASSERT_LE(times, 8) << preemption.for_run_uid << " stops " << preemption.run_uid << " again";
      ASSERT_TRUE(stopped.insert(preemption.run_uid).second);
      ASSERT_GE(run.began, 0) << "only what runs is stopped";
      ASSERT_LT(run.stop_by, 0) << "once";
      const bool reclaimed = quotas_ && preemption.reason.find("guarantee") != std::string::npos;
      figures_.reclaimed += reclaimed ? 1 : 0;
      ASSERT_TRUE(run.view.preemptible || reclaimed);
      ASSERT_TRUE(reclaimed || now_ - run.began >= 300 * kSecond) << "its minimum";
      ASSERT_LE(run.view.priority, runs_.at(preemption.for_run_uid).view.priority);
      run.work_left = std::max<int64_t>(1, run.work_left - (now_ - run.began));
      run.attained += static_cast<int64_t>(Gpus(run.view) * static_cast<double>(now_ - run.began));
      run.began = -1;
      run.stop_by = now_ + static_cast<int64_t>(random_.Below(kGrace));
    }
    for (const Placement& placement : plan.placements) {
      LiveRun& run = runs_.at(placement.run_uid);
      ASSERT_LT(run.began, 0);
      ASSERT_LT(run.stop_by, 0);
      size_t ranks = 0;
      for (const PlannedMember& member : placement.members) {
        ranks += member.ranks.size();
        for (size_t i = 0; i < member.ranks.size(); ++i) {
          const auto rank = static_cast<size_t>(member.ranks[i]);
          ASSERT_EQ(member.rank_devices[i].size(),
                    run.view.ranks.at(rank).gpu_milli > 0
                        ? size_t{1}
                        : static_cast<size_t>(run.view.ranks.at(rank).gpu_count));
          for (const std::string& device : member.rank_devices[i]) {
            held_[device] += Milli(run.view);
            ASSERT_LE(held_[device], 1000) << device << " for " << placement.run_uid;
            run.devices.push_back(device);
          }
        }
      }
      ASSERT_EQ(ranks, run.view.ranks.size()) << "whole";
      ASSERT_EQ(placement.members.front().ranks.front(), 0);
      run.began = now_;
      if (run.first_start < 0) {
        run.first_start = now_;
        const int64_t wait = now_ - run.view.queued_us;
        figures_.worst_wait = std::max(figures_.worst_wait, starves_ ? 0 : wait);
      }
      ASSERT_LE(now_, run.promised) << placement.run_uid << " was promised to start before";
      figures_.promises += run.promised < INT64_MAX ? 1 : 0;
      figures_.let_past += easy_ && head_ != 0 && head_ < placement.run_uid ? 1 : 0;
      if (head_ == placement.run_uid) head_ = 0;
      claims_.erase(placement.run_uid);
      Both([&](Planner& planner) {
        if (placement.run_uid % 2 == 0) planner.Checkpointed(placement.run_uid, kCheckpointOnStop);
      });
    }
    std::set<uint64_t> claims;
    for (const Reservation& reservation : planner_.Claims()) {
      // Nodes kept for a run whose team used its limit up meanwhile are given to others.
      if (quotas_ && reservation.holds.front().device_uuids.empty()) continue;
      claims.insert(reservation.run_uid);
    }
    for (const uint64_t uid : claims_) {
      ASSERT_TRUE(claims.contains(uid)) << "the claim of " << uid << " was broken";
    }
    claims_ = std::move(claims);
  }

  const bool easy_;
  const bool shares_;   // some runs ask for a part of a GPU
  const bool starves_;  // gangs may wait while others arrive
  Random random_;
  Planner planner_;
  Planner twin_;
  const bool with_twin_;
  bool quotas_ = false;
  int nodes_ = 0;
  int64_t now_ = kSecond;
  double load_ = 0;
  bool draining_ = false;
  uint64_t next_uid_ = 1;
  std::map<uint64_t, LiveRun> runs_;
  std::map<std::string, int64_t> held_;  // thousandths of each device
  std::set<uint64_t> claims_;
  std::map<std::pair<uint64_t, uint64_t>, int> evictions_;  // (for whom, who)
  uint64_t head_ = 0;                                       // easy: first in the queue, waiting
  Figures figures_;
};

void Play(uint64_t seed, const std::string& policy, bool quotas, int64_t events, bool twin,
          Figures* total) {
  SCOPED_TRACE(absl::StrCat("seed ", seed, " ", policy));
  World world(seed, policy, quotas, twin);
  for (int64_t i = 0; i < events; ++i) {
    world.Step();
    if (::testing::Test::HasFatalFailure()) return;
  }
  world.Drain();
  total->events += world.figures().events;
  total->preemptions += world.figures().preemptions;
  total->reclaimed += world.figures().reclaimed;
  total->promises += world.figures().promises;
  total->let_past += world.figures().let_past;
  total->worst_wait = std::max(total->worst_wait, world.figures().worst_wait);
}

TEST(PlannerPropertyTest, AMillionEvents) {
  const std::vector<std::string> policies = {"las-r", "skip", "easy", "las-r",
                                             "fair",  "las",  "fifo", "conservative"};
  std::map<std::string, Figures> by_policy;
  int64_t events = 0;
  for (uint64_t seed = 1; events < 1'000'000; ++seed) {
    const std::string& policy = policies[seed % policies.size()];
    Figures& total = by_policy[policy];
    const int64_t before = total.events;
    Play(seed, policy, seed / policies.size() % 4 == 0, 5000, seed % 10 == 0, &total);
    if (::testing::Test::HasFatalFailure()) return;
    events += total.events - before;
  }
  for (const auto& [policy, total] : by_policy) {
    printf("%s: %lld events, %lld preemptions, %lld reclaimed, worst wait %lld s\n", policy.c_str(),
           static_cast<long long>(total.events), static_cast<long long>(total.preemptions),
           static_cast<long long>(total.reclaimed),
           static_cast<long long>(total.worst_wait / kSecond));
    EXPECT_GT(total.events, 50'000) << policy;
    EXPECT_LE(total.worst_wait, 24 * 3600 * kSecond) << policy;
    EXPECT_GT(total.reclaimed, 10) << policy;
  }
  for (const char* policy : {"las-r", "las", "fair"}) {
    EXPECT_GT(by_policy[policy].preemptions, 200) << policy;
  }
  EXPECT_GT(by_policy["easy"].promises, 1000);
  EXPECT_GT(by_policy["easy"].let_past, 1000);
}

}  // namespace
}  // namespace trainyard::placement
