// A large cluster with a long queue: how long one event takes until its decision, how long a whole
// plan of all waiting runs takes (from a snapshot, explained; and of a planner that knows them
// already), how much memory a waiting run costs. Prints JSON. One thread.
//   placement_load [--nodes=10000] [--waiting=100000] [--events=4000]
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "scheduler/placement/estimate.h"
#include "scheduler/placement/planner.h"
#include "scheduler/placement/what_if.h"

ABSL_FLAG(int, nodes, 10'000, "nodes of 8 GPUs");
ABSL_FLAG(int, waiting, 100'000, "runs that wait");
ABSL_FLAG(int, events, 4'000, "events that are timed");

namespace trainyard::placement {
namespace {

constexpr int64_t kSecond = 1'000'000;

// Of this thread, in seconds of one core: a busy machine does not count.
double Now() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

size_t Allocated() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

NodeView MakeNode(int index) {
  NodeView node;
  node.node_id = absl::StrCat("node", index);
  node.rack = absl::StrCat("rack", index / 32);
  node.cpu_milli_total = node.cpu_milli_free = 128'000;
  node.memory_total = node.memory_free = int64_t{1} << 40;
  node.devices.resize(8);
  for (int i = 0; i < 8; ++i) {
    node.devices[static_cast<size_t>(i)].uuid = absl::StrCat("GPU-", index, "-", i);
    node.devices[static_cast<size_t>(i)].model = "H100";
    node.devices[static_cast<size_t>(i)].link_island = 1;
  }
  return node;
}

// Sizes as in the two public traces: two thirds ask for one device, a quarter for a node, a few for
// several nodes; 400 users in 20 projects, one run in five is a trial of a study.
class Load {
 public:
  explicit Load(uint64_t seed) : random_(seed) {}
  WaitingRun Make(int64_t now_us) {
    WaitingRun run;
    run.run_uid = ++uid_;
    const uint64_t user = random_.Below(400);
    run.project = absl::StrCat("project", user % 20);
    run.principal = absl::StrCat("user", user);
    run.owner_uid = random_.Below(5) == 0 ? 1'000'000'000 + random_.Below(200) : run.run_uid;
    run.preemptible = random_.Below(10) != 0;
    run.queued_us = now_us;
    const uint64_t kind = random_.Below(100);
    RankNeeds needs;
    needs.gpu_count = kind < 66 ? 1 : kind < 70 ? 2 : kind < 74 ? 4 : 8;
    needs.cpu_milli = 8000 * needs.gpu_count;
    needs.memory_bytes = (int64_t{32} << 30) * needs.gpu_count;
    run.ranks.assign(kind < 97 ? 1 : size_t{1} << (1 + random_.Below(4)), needs);
    return run;
  }
  uint64_t Below(uint64_t bound) { return random_.Below(bound); }

 private:
  Random random_;
  uint64_t uid_ = 0;
};

double Share(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(share * static_cast<double>(values.size())))];
}

class Bench {
 public:
  Bench() : load_(7), planner_(*PolicyNamed("las-r")) {}

  nlohmann::json Run() {
    const int nodes = absl::GetFlag(FLAGS_nodes);
    for (int i = 0; i < nodes; ++i) {
      nodes_.push_back(MakeNode(i));
      planner_.SetNode(nodes_.back());
    }
    // Runs that hold the cluster, of all levels.
    for (int held = 0; held < 16 && planner_.waiting() == 0; ++held) {
      for (int i = 0; i < nodes; ++i) Add();
      now_ += 1800 * kSecond;
      Carry(planner_.Decide(now_));
    }
    now_ += 4 * 3600 * kSecond;
    Carry(planner_.Decide(now_));
    nlohmann::json out;
    out["bytesPerWaitingJob"] = Fill();
    now_ += kSecond;
    // Runs that were told to stop while the scene was made have stopped before anything is timed,
    // and as many wait again as are promised.
    Carry(planner_.Decide(now_));
    for (int i = 0; i < 20 && !stopping_.empty(); ++i) {
      while (!stopping_.empty()) End(PopStopping());
      Carry(planner_.Decide(++now_));
    }
    Fill();
    Carry(planner_.Decide(++now_));
    out["nodes"] = nodes;
    out["waiting"] = planner_.waiting();
    out["running"] = running_.size();
    Snapshots(&out);
    Events(&out);
    Whole(&out);
    return out;
  }

 private:
  void Add(const WaitingRun& run) { planner_.AddWaiting(run, now_); }
  void Add() {
    const WaitingRun run = load_.Make(now_);
    Add(run);
    views_[run.run_uid] = run;
  }

  // Adds waiting runs up to the number asked for; bytes that each of them took.
  double Fill() {
    std::vector<WaitingRun> more;
    const auto wanted = static_cast<size_t>(absl::GetFlag(FLAGS_waiting));
    while (planner_.waiting() + more.size() < wanted) more.push_back(load_.Make(now_));
    const size_t before = Allocated();
    for (const WaitingRun& run : more) Add(run);
    const auto taken = static_cast<double>(Allocated() - before);
    for (const WaitingRun& run : more) views_[run.run_uid] = run;
    return taken / static_cast<double>(std::max<size_t>(1, more.size()));
  }

  void Carry(const Plan& plan) {
    for (const Preemption& preemption : plan.preemptions) {
      ++preemptions_;
      stopping_.push_back(preemption.run_uid);
      stops_.insert(preemption.run_uid);
    }
    for (const Placement& placement : plan.placements) {
      ++placements_;
      running_.push_back(placement.run_uid);
      placed_[placement.run_uid] = {placement, now_};
    }
  }

  uint64_t PopStopping() {
    const uint64_t uid = stopping_.front();
    stopping_.pop_front();
    return uid;
  }

  uint64_t PopRunning() {
    for (;;) {
      std::swap(running_[load_.Below(running_.size())], running_.back());
      const uint64_t uid = running_.back();
      running_.pop_back();
      if (placed_.contains(uid) && !stops_.contains(uid)) return uid;
    }
  }

  void End(uint64_t uid) {
    planner_.Remove(uid, now_);
    placed_.erase(uid);
    views_.erase(uid);
    stops_.erase(uid);
  }

  void Timed(std::vector<double>* times, const std::function<void()>& event) {
    const double begin = Now();
    event();
    Plan plan = planner_.Decide(now_);
    times->push_back(Now() - begin);
    Carry(plan);
  }

  // A run ends, a run is submitted, a run that was told to stop has stopped: in turn.
  void Events(nlohmann::json* out) {
    placements_ = preemptions_ = 0;
    std::vector<double> ends;
    std::vector<double> submits;
    std::vector<double> stops;
    for (int i = 0; i < absl::GetFlag(FLAGS_events); ++i) {
      now_ += kSecond / 4;
      if (i % 3 == 2 && !stopping_.empty()) {
        const uint64_t uid = PopStopping();
        Timed(&stops, [&] { planner_.Remove(uid, now_); });
        End(uid);
      } else if (i % 3 == 1) {
        const WaitingRun run = load_.Make(now_);
        Timed(&submits, [&] { planner_.AddWaiting(run, now_); });
        views_[run.run_uid] = run;
      } else {
        const uint64_t uid = PopRunning();
        Timed(&ends, [&] { planner_.Remove(uid, now_); });
        End(uid);
      }
    }
    std::vector<double> all = ends;
    all.insert(all.end(), submits.begin(), submits.end());
    all.insert(all.end(), stops.begin(), stops.end());
    (*out)["events"] = all.size();
    (*out)["eventP50Ms"] = Share(all, 0.5) * 1e3;
    (*out)["eventP99Ms"] = Share(all, 0.99) * 1e3;
    (*out)["eventMaxMs"] = Share(all, 1) * 1e3;
    (*out)["endP50Ms"] = Share(ends, 0.5) * 1e3;
    (*out)["submitP50Ms"] = Share(submits, 0.5) * 1e3;
    (*out)["stopP50Ms"] = stops.empty() ? 0 : Share(stops, 0.5) * 1e3;
    (*out)["placements"] = placements_;
    (*out)["preemptions"] = preemptions_;
  }

  // As the scheduler sees it: what is free is free of the running.
  Snapshot SnapshotNow() {
    Snapshot snapshot;
    snapshot.now_us = now_;
    snapshot.nodes = nodes_;
    std::map<std::string, NodeView*> nodes;
    for (NodeView& node : snapshot.nodes) nodes[node.node_id] = &node;
    for (const auto& [uid, view] : views_) {
      const auto placed = placed_.find(uid);
      if (placed == placed_.end()) {
        snapshot.waiting.push_back(view);
        continue;
      }
      RunningRun& run = snapshot.running.emplace_back();
      static_cast<RunView&>(run) = view;
      run.ranks = view.ranks;
      run.started_us = placed->second.second;
      const int64_t held_us = now_ - run.started_us;
      for (const PlannedMember& member : placed->second.first.members) {
        RunningRun::Slice& slice = run.slices.emplace_back();
        slice.node_id = member.node_id;
        NodeView* const node = nodes.at(member.node_id);
        for (size_t i = 0; i < member.ranks.size(); ++i) {
          const RankNeeds& needs = view.ranks[static_cast<size_t>(member.ranks[i])];
          slice.cpu_milli += needs.cpu_milli;
          slice.memory_bytes += needs.memory_bytes;
          run.attained_device_us += held_us * needs.gpu_count;
          for (const std::string& uuid : member.rank_devices[i]) {
            slice.device_uuids.push_back(uuid);
            for (DeviceView& device : node->devices) {
              if (device.uuid == uuid) device.milli_free = 0;
            }
          }
        }
        node->cpu_milli_free -= slice.cpu_milli;
        node->memory_free -= slice.memory_bytes;
      }
    }
    return snapshot;
  }

  // A whole plan from a snapshot, as the scheduler makes one: everybody is placed or explained.
  void Snapshots(nlohmann::json* out) {
    const Snapshot snapshot = SnapshotNow();
    for (const std::string& name : PolicyNames()) {
      std::vector<double> times;
      size_t explained = 0;
      for (int i = 0; i < 3; ++i) {
        const double begin = Now();
        const Plan plan = MakePlan(snapshot, *PolicyNamed(name));
        times.push_back(Now() - begin);
        explained = plan.explanations.size();
      }
      (*out)["makePlanMs"][name] = Share(times, 0.5) * 1e3;
      (*out)["explained"][name] = explained;
    }
    const double begin = Now();
    Planner planner(*PolicyNamed("las-r"));
    FillPlanner(snapshot, &planner);
    (*out)["fillMs"] = (Now() - begin) * 1e3;
    const double filled = Now();
    planner.Decide(snapshot.now_us);
    (*out)["decideMs"] = (Now() - filled) * 1e3;
  }

  // Every waiting run is looked at anew, and every one gets an estimate of its start.
  void Whole(nlohmann::json* out) {
    std::vector<double> plans;
    std::vector<double> estimates;
    for (int i = 0; i < 5; ++i) {
      planner_.SetNode(MakeNode(absl::GetFlag(FLAGS_nodes) + i));  // room for all to look at
      const double begin = Now();
      Carry(planner_.Decide(++now_));
      const double planned = Now();
      StartEstimator estimator(planner_, nullptr);
      const auto starts = estimator.Of(estimator.Order(0));
      plans.push_back(planned - begin);
      estimates.push_back(Now() - planned);
      (*out)["estimated"] = starts.size();
    }
    (*out)["planAllMs"] = Share(plans, 0.5) * 1e3;
    (*out)["estimateAllMs"] = Share(estimates, 0.5) * 1e3;
  }

  Load load_;
  Planner planner_;
  int64_t now_ = kSecond;
  std::vector<NodeView> nodes_;
  std::map<uint64_t, WaitingRun> views_;  // of all that wait or run
  std::map<uint64_t, std::pair<Placement, int64_t>> placed_;
  std::vector<uint64_t> running_;
  std::deque<uint64_t> stopping_;
  std::set<uint64_t> stops_;
  int64_t placements_ = 0;
  int64_t preemptions_ = 0;
};

}  // namespace
}  // namespace trainyard::placement

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  printf("%s\n", trainyard::placement::Bench().Run().dump(1).c_str());
  return 0;
}
