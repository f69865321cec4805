// See what_if.h.
#include "scheduler/placement/what_if.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "scheduler/placement/planner.h"

namespace trainyard::placement {
namespace {

using Change = Counterfactual::Change;

constexpr size_t kChangesMax = 6;
constexpr int64_t kMinuteUs = 60'000'000;
constexpr int64_t kLimitMaxMinutes = 7 * 24 * 60;

WaitingRun* Find(Snapshot* snapshot, uint64_t run_uid) {
  const auto found = std::find_if(snapshot->waiting.begin(), snapshot->waiting.end(),
                                  [&](const WaitingRun& run) { return run.run_uid == run_uid; });
  return found == snapshot->waiting.end() ? nullptr : &*found;
}

// The share that a change is of, made where there is none yet.
QuotaShare& ShareOf(const Counterfactual& change, Snapshot* snapshot) {
  for (QuotaNode& node : snapshot->quotas) {
    if (change.subject == absl::StrCat(node.team, "/", node.project, "/", node.principal)) {
      return node.by_model[change.model];
    }
  }
  const std::vector<std::string> names = absl::StrSplit(change.subject, '/');
  QuotaNode& made = snapshot->quotas.emplace_back();
  if (names.size() == 3) {
    made.team = names[0];
    made.project = names[1];
    made.principal = names[2];
  }
  return made.by_model[change.model];
}

std::string NameOf(const QuotaNode& node) {
  if (!node.principal.empty()) return absl::StrCat("user ", node.principal);
  if (!node.project.empty()) return absl::StrCat("project ", node.project);
  return node.team.empty() ? "the cluster" : absl::StrCat("team ", node.team);
}

// Devices, of which a run may have parts: "7", "7.5".
std::string Devices(int64_t milli) {
  return absl::StrFormat("%g", static_cast<double>(milli) / 1000);
}

bool WantsDevice(const WaitingRun& run) {
  return std::any_of(run.ranks.begin(), run.ranks.end(), [](const RankNeeds& needs) {
    return needs.gpu_count > 0 || needs.gpu_milli > 0;
  });
}

// Whether one rank is like the others, so that leaving some out leaves the same job smaller.
bool RanksAreAlike(const WaitingRun& run) {
  const auto key = [](const RankNeeds& needs) {
    return std::tie(needs.cpu_milli, needs.memory_bytes, needs.gpu_count, needs.gpu_milli,
                    needs.gpu_models, needs.gpu_profile, needs.gpu_memory_bytes);
  };
  return std::all_of(run.ranks.begin(), run.ranks.end(),
                     [&](const RankNeeds& needs) { return key(needs) == key(run.ranks.front()); });
}

std::string Duration(int64_t us) {
  const int64_t minutes = us / kMinuteUs;
  if (minutes % 60 == 0) return absl::StrCat(minutes / 60, " h");
  return absl::StrCat(minutes, " min");
}

void AddNodes(const Counterfactual& change, Snapshot* snapshot) {
  const auto like = std::find_if(snapshot->nodes.begin(), snapshot->nodes.end(),
                                 [&](const NodeView& n) { return n.node_id == change.subject; });
  if (like == snapshot->nodes.end()) return;
  NodeView added = *like;
  added.schedulable = true;
  added.available_until_us = 0;
  added.cpu_milli_free = added.cpu_milli_total;
  added.memory_free = added.memory_total;
  for (int64_t i = 0; i < change.value; ++i) {
    NodeView node = added;
    node.node_id = absl::StrCat(added.node_id, "+", i + 1);
    for (DeviceView& device : node.devices) {
      device.uuid = absl::StrCat(device.uuid, "+", i + 1);
      if (!device.parent_uuid.empty())
        device.parent_uuid = absl::StrCat(device.parent_uuid, "+", i + 1);
      device.milli_free = 1000;
    }
    snapshot->nodes.push_back(std::move(node));
  }
}

// Makes the change in place.
void MakeChange(const Counterfactual& change, uint64_t run_uid, Snapshot* snapshot) {
  WaitingRun* const run = Find(snapshot, run_uid);
  if (run == nullptr) return;
  switch (change.change) {
    case Change::kRanks:
      if (run->ranks_min > 0) {
        run->ranks_min = static_cast<int32_t>(change.value);
        break;
      }
      run->ranks.resize(static_cast<size_t>(change.value));
      break;
    case Change::kGpus:
      for (RankNeeds& needs : run->ranks) {
        needs.gpu_count = std::min(needs.gpu_count, static_cast<int32_t>(change.value));
      }
      break;
    case Change::kTimeLimit:
      run->time_limit_us = change.value;
      break;
    case Change::kPreemptible:
      run->preemptible = true;
      break;
    case Change::kPriority:
      run->priority = static_cast<int32_t>(change.value);
      break;
    case Change::kModel:
      for (RankNeeds& needs : run->ranks) {
        if (!needs.gpu_models.empty()) needs.gpu_models.push_back(change.subject);
      }
      break;
    case Change::kGuarantee:
    case Change::kLimit:
      (change.change == Change::kLimit ? ShareOf(change, snapshot).limit_milli
                                       : ShareOf(change, snapshot).guarantee_milli) = change.value;
      break;
    case Change::kTopology:
      run->topology.required = false;
      break;
    case Change::kRelease:
      run->hold = false;
      break;
    case Change::kNodes:
      AddNodes(change, snapshot);
      break;
  }
}

// Changes one copy of the snapshot, the run of it and what it waits for, and changes it back: a
// long queue is copied once.
class Finder {
 public:
  Finder(const Snapshot& snapshot, const Policy& policy, uint64_t run_uid, const Starts& starts,
         const GoOn& go_on)
      : snapshot_(snapshot),
        policy_(policy),
        run_uid_(run_uid),
        starts_(starts),
        go_on_(go_on),
        changed_(snapshot) {}

  std::vector<Counterfactual> Find() {
    const WaitingRun* const found = placement::Find(&changed_, run_uid_);
    if (found == nullptr || found->ranks.empty()) return {};
    run_ = *found;
    if (!go_on_() || starts_(snapshot_)) return {};  // it only has to wait for the next plan
    if (run_.hold) {                                 // nothing else starts it
      Try(Make(Change::kRelease, 0, "", "released it would start now"));
      return std::move(changes_);
    }
    Preemptible();
    Topology();
    Models();
    Limits();
    Fewer();
    Quotas();
    Priorities();
    Nodes();
    return std::move(changes_);
  }

 private:
  static Counterfactual Make(Change change, int64_t value, std::string subject, std::string text) {
    Counterfactual out;
    out.change = change;
    out.value = value;
    out.subject = std::move(subject);
    out.text = std::move(text);
    return out;
  }
  static Counterfactual OfModel(const std::string& model, Counterfactual change) {
    change.model = model;
    return change;
  }
  bool StartsWith(const Counterfactual& change) {
    over_ |= !go_on_();
    if (over_) return false;
    MakeChange(change, run_uid_, &changed_);
    const bool starts = starts_(changed_);
    *placement::Find(&changed_, run_uid_) = run_;
    changed_.quotas = snapshot_.quotas;
    changed_.nodes.resize(snapshot_.nodes.size());
    return starts;
  }
  bool Try(Counterfactual change) {
    if (changes_.size() >= kChangesMax || !StartsWith(change)) return false;
    change.start_us = snapshot_.now_us;
    changes_.push_back(std::move(change));
    return true;
  }
  // The largest value in [1, most] with which it starts; starting gets no harder with less.
  int64_t Largest(Change change, int64_t most) {
    int64_t good = 0;
    int64_t bad = most + 1;
    while (good + 1 < bad) {
      const int64_t middle = good + (bad - good) / 2;
      (StartsWith(Make(change, middle, "", "")) ? good : bad) = middle;
    }
    return over_ ? 0 : good;
  }

  void Preemptible() {
    if (!run_.preemptible) {
      Try(Make(Change::kPreemptible, 1, "", "as preemptible it would start now"));
    }
  }
  void Topology() {
    if (run_.topology.required) {
      Try(Make(Change::kTopology, 0, "", "with its topology only preferred it would start now"));
    }
  }
  void Models() {
    std::set<std::string> models;
    for (const NodeView& node : snapshot_.nodes) {
      for (const DeviceView& device : node.devices) models.insert(device.model);
    }
    for (const std::string& model : run_.ranks.front().gpu_models) models.erase(model);
    if (run_.ranks.front().gpu_models.empty()) return;
    for (const std::string& model : models) {
      if (!model.empty()) {
        Try(Make(Change::kModel, 0, model,
                 absl::StrCat("with ", model, " accepted too it would start now")));
      }
    }
  }
  // The longest time limit with which it is let past a run that has to wait for room.
  void Backfill() {
    const bool backfills =
        policy_.select == Select::kEasy || policy_.select == Select::kConservative;
    if (!backfills && policy_.keep_share <= 0) return;
    const auto starts = [this](int64_t minutes) {
      return StartsWith(Make(Change::kTimeLimit, minutes * kMinuteUs, "", ""));
    };
    int64_t good = 1;
    int64_t bad = run_.time_limit_us > 0 ? run_.time_limit_us / kMinuteUs : kLimitMaxMinutes;
    if (bad <= good || !starts(good)) return;
    while (good + 1 < bad) {
      const int64_t middle = good + (bad - good) / 2;
      (starts(middle) ? good : bad) = middle;
    }
    Try(Make(
        Change::kTimeLimit, good * kMinuteUs, "",
        absl::StrCat("with a time limit of ", Duration(good * kMinuteUs), " it would start now")));
  }
  void Limits() {
    const size_t before = changes_.size();
    Backfill();
    if (changes_.size() > before) return;
    int64_t until = 0;  // the next time a node is wanted
    const auto look = [&](int64_t at) {
      if (at > snapshot_.now_us && (until == 0 || at < until)) until = at;
    };
    for (const NodeView& node : snapshot_.nodes) look(node.available_until_us);
    for (const Reservation& reservation : snapshot_.reservations) look(reservation.start_us);
    if (until == 0) return;
    const int64_t limit = (until - snapshot_.now_us) / kMinuteUs * kMinuteUs;
    if (limit <= 0 || (run_.time_limit_us > 0 && run_.time_limit_us <= limit)) return;
    Try(Make(Change::kTimeLimit, limit, "",
             absl::StrCat("with a time limit of ", Duration(limit), " it would start now")));
  }
  // Jobs whose ranks differ have roles: nobody can say which of them to do without.
  void Ranks() {
    const bool elastic = run_.ranks_min > 0;
    const auto ranks = elastic ? int64_t{run_.ranks_min} : std::ssize(run_.ranks);
    if (ranks <= 1 || !RanksAreAlike(run_)) return;
    const int64_t fewer = Largest(Change::kRanks, ranks - 1);
    if (fewer == 0) return;
    Try(Make(
        Change::kRanks, fewer, "",
        absl::StrCat("with ", elastic ? "at least " : "", fewer, fewer == 1 ? " rank" : " ranks",
                     " instead of ", ranks, " it would start now")));
  }
  void Fewer() {
    Ranks();
    const auto ranks = std::ssize(run_.ranks);
    const int64_t gpus = run_.ranks.front().gpu_count;
    if (gpus <= 1) return;
    const int64_t fewer = Largest(Change::kGpus, gpus - 1);
    if (fewer == 0) return;
    Try(Make(Change::kGpus, fewer, "",
             absl::StrCat("with ", fewer, fewer == 1 ? " GPU" : " GPUs", " instead of ", gpus,
                          ranks > 1 ? " for each rank" : "", " it would start now")));
  }
  // Places of the run in the quota tree, those without a quota of their own only at the outermost:
  // below a place that is guaranteed nothing, nothing can be guaranteed.
  std::vector<QuotaNode> Levels() const {
    std::vector<QuotaNode> levels;
    bool outermost = false;
    for (const QuotaNode& node : snapshot_.quotas) {
      const bool above = (node.team.empty() || node.team == run_.team) &&
                         (node.project.empty() || node.project == run_.project) &&
                         (node.principal.empty() || node.principal == run_.principal);
      if (!above) continue;
      levels.push_back(node);
      outermost |= node.principal.empty() && (run_.team.empty() || node.project.empty());
    }
    if (outermost || (run_.team.empty() && run_.project.empty())) return levels;
    QuotaNode& none = levels.emplace_back();
    none.team = run_.team;
    if (none.team.empty()) none.project = run_.project;
    none.by_model[""];
    return levels;
  }
  // What the runs below the place hold of the model; "": of all devices.
  int64_t UsedMilli(const QuotaNode& at, const std::string& model) {
    if (models_.empty()) {
      for (const NodeView& node : snapshot_.nodes) {
        for (const DeviceView& device : node.devices) models_[device.uuid] = device.model;
      }
    }
    int64_t milli = 0;
    for (const RunningRun& run : snapshot_.running) {
      if (!at.team.empty() && run.team != at.team) continue;
      if (!at.project.empty() && run.project != at.project) continue;
      if (!at.principal.empty() && run.principal != at.principal) continue;
      for (const RunningRun::Slice& slice : run.slices) {
        for (const std::string& uuid : slice.device_uuids) {
          if (model.empty() || models_[uuid] == model) milli += slice.gpu_milli;
        }
      }
    }
    return milli;
  }
  void Quotas() {
    if (!WantsDevice(run_)) return;
    const int64_t charge = ChargeMilli(run_.ranks, policy_);
    for (const QuotaNode& node : Levels()) {
      const std::string subject = absl::StrCat(node.team, "/", node.project, "/", node.principal);
      for (const auto& [model, share] : node.by_model) {
        if (model == "cpu") continue;
        const std::string unit = model.empty() ? " GPUs" : absl::StrCat(" ", model, " GPUs");
        // Room beside what runs there; where runs ahead take that, beside the share as it is.
        const int64_t need = UsedMilli(node, model) + charge;
        const std::string& of_model = model;  // Clang 14 captures no structured binding
        const auto raise = [&](Change kind, int64_t from, const char* words, const char* whose) {
          for (const int64_t to : {need, from + charge}) {
            if (to <= from) continue;
            const std::string text = absl::StrCat("with ", words, Devices(to), unit, whose,
                                                  NameOf(node), " it would start now");
            if (Try(OfModel(of_model, Make(kind, to, subject, text)))) return;
          }
        };
        if (share.limit_milli >= 0) {
          raise(Change::kLimit, share.limit_milli, "a limit of ", " for ");
        }
        raise(Change::kGuarantee, share.guarantee_milli, "", " guaranteed to ");
      }
    }
  }
  void Priorities() {
    int32_t top = run_.priority;
    for (const WaitingRun& other : snapshot_.waiting) top = std::max(top, other.priority);
    for (const RunningRun& other : snapshot_.running) top = std::max(top, other.priority);
    Try(Make(Change::kPriority, top + 1, "",
             absl::StrCat("with priority ", top + 1, " it would start now")));
  }
  // As many more nodes, like the largest one, as it takes.
  void Nodes() {
    const auto largest = std::max_element(snapshot_.nodes.begin(), snapshot_.nodes.end(),
                                          [](const NodeView& a, const NodeView& b) {
                                            return std::pair(a.devices.size(), a.cpu_milli_total) <
                                                   std::pair(b.devices.size(), b.cpu_milli_total);
                                          });
    if (largest == snapshot_.nodes.end() || !changes_.empty()) return;
    for (const int64_t more : {1, 2, 4, 8, 16}) {
      if (Try(Make(Change::kNodes, more, largest->node_id,
                   absl::StrCat("with ", more, " more ", more == 1 ? "node" : "nodes", " like ",
                                largest->node_id, " it would start now")))) {
        return;
      }
    }
  }

  const Snapshot& snapshot_;
  const Policy& policy_;
  const uint64_t run_uid_;
  const Starts& starts_;
  const GoOn& go_on_;
  Snapshot changed_;
  bool over_ = false;  // the search was ended
  WaitingRun run_;
  std::map<std::string, std::string> models_;  // of devices, by uuid
  std::vector<Counterfactual> changes_;
};

}  // namespace

Snapshot Apply(const Counterfactual& change, uint64_t run_uid, const Snapshot& snapshot) {
  Snapshot out = snapshot;
  MakeChange(change, run_uid, &out);
  return out;
}

bool StartsIn(const Plan& plan, uint64_t run_uid) {
  const auto is_for = [run_uid](const auto& stop) { return stop.for_run_uid == run_uid; };
  return std::any_of(plan.placements.begin(), plan.placements.end(),
                     [&](const Placement& p) { return p.run_uid == run_uid; }) ||
         std::any_of(plan.preemptions.begin(), plan.preemptions.end(), is_for) ||
         std::any_of(plan.resizes.begin(), plan.resizes.end(), is_for);
}

bool StartsNow(const Snapshot& snapshot, const Policy& policy, uint64_t run_uid) {
  return StartsIn(MakePlan(snapshot, policy, /*explain=*/false), run_uid);
}

std::vector<Counterfactual> WhatIf(const Snapshot& snapshot, const Policy& policy, uint64_t run_uid,
                                   const Starts& starts, const GoOn& go_on) {
  return Finder(snapshot, policy, run_uid, starts, go_on).Find();
}

std::vector<Counterfactual> WhatIf(const Snapshot& snapshot, const Policy& policy,
                                   uint64_t run_uid) {
  const Starts starts = [&](const Snapshot& changed) {
    return StartsNow(changed, policy, run_uid);
  };
  return WhatIf(snapshot, policy, run_uid, starts, [] { return true; });
}

}  // namespace trainyard::placement
