// See explain.h. The first thing that is true stops the search: on hold; no node could ever hold
// it; only nodes that take no work could; its quota is at its limit; devices are being vacated for
// it; nodes are kept for maintenance or a reservation; runs ahead are served first; room is short.
#include "scheduler/placement/explain.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "scheduler/placement/estimate.h"

namespace trainyard::placement {
namespace {

constexpr size_t kBlockersMax = 10;

std::string Gpus(int64_t count, const RankNeeds& needs) {
  std::string out =
      absl::StrCat(count, needs.gpu_profile.empty() ? " GPU" : " GPU slice", count == 1 ? "" : "s");
  std::vector<std::string> kinds = needs.gpu_models;
  std::string kind = absl::StrJoin(kinds, " or ");
  if (!needs.gpu_profile.empty())
    absl::StrAppend(&kind, kind.empty() ? "" : " ", needs.gpu_profile);
  if (!kind.empty()) absl::StrAppend(&out, " (", kind, ")");
  return out;
}

std::string Cores(int64_t milli) {
  if (milli == 1000) return "1 core";
  if (milli % 1000 == 0) return absl::StrCat(milli / 1000, " cores");
  return absl::StrFormat("%.2f cores", static_cast<double>(milli) / 1000);
}

std::string Memory(int64_t bytes) {
  if (bytes >= (int64_t{1} << 30)) {
    return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / (1 << 30));
  }
  return absl::StrCat(bytes >> 20, " MiB");
}

std::string DescribeRank(const RankNeeds& needs) {
  std::vector<std::string> parts;
  if (needs.gpu_count > 0) parts.push_back(Gpus(needs.gpu_count, needs));
  if (needs.gpu_milli > 0) parts.push_back(absl::StrCat(needs.gpu_milli, "/1000 of a GPU"));
  if (needs.cpu_milli > 0) parts.push_back(Cores(needs.cpu_milli));
  if (needs.memory_bytes > 0) parts.push_back(Memory(needs.memory_bytes));
  return parts.empty() ? "nothing" : absl::StrJoin(parts, " and ");
}

// The rank with the largest needs stands for the run.
const RankNeeds& Largest(const WaitingRun& run) {
  return *std::max_element(run.ranks.begin(), run.ranks.end(), [](const auto& a, const auto& b) {
    return std::tie(a.gpu_count, a.gpu_milli, a.cpu_milli, a.memory_bytes) <
           std::tie(b.gpu_count, b.gpu_milli, b.cpu_milli, b.memory_bytes);
  });
}

bool Homogeneous(const WaitingRun& run) {
  const RankNeeds& first = run.ranks.front();
  return std::all_of(run.ranks.begin(), run.ranks.end(), [&](const RankNeeds& needs) {
    return std::tie(needs.cpu_milli, needs.memory_bytes, needs.gpu_count, needs.gpu_milli,
                    needs.gpu_models) == std::tie(first.cpu_milli, first.memory_bytes,
                                                  first.gpu_count, first.gpu_milli,
                                                  first.gpu_models);
  });
}

std::string ThatMany(size_t count) {
  return absl::StrCat(count >= kBlockersMax ? "at least " : "", count,
                      count == 1 ? " run" : " runs");
}

}  // namespace

std::string DescribeNeeds(const WaitingRun& run) {
  if (run.ranks.empty()) return "no rank";
  if (run.ranks.size() == 1) return DescribeRank(run.ranks.front());
  if (!Homogeneous(run)) {
    return absl::StrCat(run.ranks.size(), " ranks, the largest of ", DescribeRank(Largest(run)));
  }
  return absl::StrCat(run.ranks.size(), " ranks of ", DescribeRank(run.ranks.front()), " each");
}

Explainer::Explainer(Planner* planner, const Snapshot& snapshot)
    : planner_(planner), snapshot_(snapshot) {
  for (const WaitingRun& run : snapshot.waiting) waiting_[run.run_uid] = &run;
}

// No node takes such work at all: which of its wishes none of them grants.
std::string Explainer::WhyNoneAdmits(const WaitingRun& run) const {
  for (const auto& [key, value] : run.node_labels) {
    const bool any =
        std::any_of(snapshot_.nodes.begin(), snapshot_.nodes.end(), [&](const NodeView& node) {
          const auto found = node.labels.find(key);
          return found != node.labels.end() && found->second == value;
        });
    if (!any) return absl::StrCat("no node has the label ", key, "=", value);
  }
  std::set<std::string> taints;
  for (const NodeView& node : snapshot_.nodes) {
    for (const Taint& taint : node.taints) {
      taints.insert(taint.value.empty() ? taint.key : absl::StrCat(taint.key, "=", taint.value));
    }
  }
  if (!taints.empty()) {
    return absl::StrCat("no node has all its labels and only taints that it tolerates; there are ",
                        "the taints ", absl::StrJoin(taints, ", "));
  }
  return "no node has all its labels and takes work for so long";
}

std::string Explainer::Shortage(const WaitingRun& run, const Shape& shape, const Cluster& room,
                                bool empty) const {
  const RankNeeds& needs = Largest(run);
  const Needs& compiled = shape.groups.front().needs;
  const std::string there = empty ? "the largest node has " : "largest free is ";
  Terms terms;
  terms.preemptible = true;
  terms.keep_avoided = false;
  int64_t admitted = 0, fits = 0, gpus = 0, cores = 0, memory = 0;
  for (int32_t i = 0; i < room.size(); ++i) {
    const Node& node = room.node(i);
    if (!room.Admits(node, shape, terms)) continue;
    ++admitted;
    fits += room.Fits(node, compiled, shape.rank_count, shape.alternatives);
    Needs one;
    one.gpu_count = 1;
    one.models = compiled.models;
    one.profile = compiled.profile;
    one.gpu_memory_bytes = compiled.gpu_memory_bytes;
    gpus = std::max<int64_t>(gpus, room.Fits(node, one, 1 << 20, shape.alternatives));
    cores = std::max(cores, node.cpu_free);
    memory = std::max(memory, node.memory_free);
  }
  if (admitted == 0) return WhyNoneAdmits(run);
  if (fits == 0) {
    if (needs.gpu_count > gpus) {
      return absl::StrCat("needs ", Gpus(needs.gpu_count, needs), " on one node, ", there, gpus);
    }
    if (needs.cpu_milli > cores) {
      return absl::StrCat("needs ", Cores(needs.cpu_milli), " on one node, ", there, Cores(cores));
    }
    if (needs.memory_bytes > memory) {
      return absl::StrCat("needs ", Memory(needs.memory_bytes), " on one node, ", there,
                          Memory(memory));
    }
    return absl::StrCat("needs ", DescribeRank(needs), " on one node, and no node has all of it",
                        empty ? "" : " free");
  }
  return absl::StrCat(
      "needs ",
      shape.rank_count < std::ssize(run.ranks)
          ? absl::StrCat("at least ", shape.rank_count, " of its ")
          : "",
      DescribeNeeds(run), "; ", empty ? "the whole cluster has room for " : "free now is room for ",
      std::min<int64_t>(fits, shape.rank_count), " of ", shape.rank_count,
      shape.rank_count == 1 ? " rank" : " ranks",
      fits >= shape.rank_count ? " in an arrangement that its topology refuses" : "");
}

std::string Explainer::ClosedNodes() const {
  std::vector<std::string> names;
  for (const NodeView& node : snapshot_.nodes) {
    if (node.schedulable) continue;
    names.push_back(node.unschedulable_reason.empty()
                        ? node.node_id
                        : absl::StrCat(node.node_id, " (", node.unschedulable_reason, ")"));
    if (names.size() == 3) break;
  }
  return absl::StrJoin(names, ", ");
}

Explainer::Finding Explainer::JudgeQuota(const Place& place) {
  const Planner::Run& of = planner_->run(place.index);
  const Shape& shape = planner_->shapes_.at(planner_->shape(of).least);
  if (planner_->quota_.empty()) return {};
  const bool cores = !shape.groups.front().needs.wants_device();
  const int64_t milli = cores ? shape.cores_milli : shape.charge_milli;
  const Use use = {{cores ? kCores : 0, milli}};
  const int32_t level = planner_->quota_.Exceeded(of.leaf, use);
  if (level < 0) return {};
  const auto [used, limit] = planner_->quota_.UsedOf(level, cores ? kCores : 0);
  const std::string unit = cores ? "cores" : "GPUs";
  return {
      "QUOTA_EXCEEDED",
      absl::StrFormat("%s uses %g of its limit of %g %s; this run needs %g more",
                      planner_->quota_.Describe(level), static_cast<double>(used) / 1000,
                      static_cast<double>(limit) / 1000, unit, static_cast<double>(milli) / 1000),
      false};
}

Explainer::Finding Explainer::Judge(const Place& place) {
  // An elastic run waits for the fewest ranks that it can start with.
  const Planner::Run& of = planner_->run(place.index);
  const Shape& shape = planner_->shapes_.at(planner_->shape(of).least);
  const WaitingRun& run = *place.run;
  if (snapshot_.nodes.empty()) {
    return {"WAITING_FOR_NODES", "no node has joined the cluster", false};
  }
  const bool windows = shape.calendar != 0;  // otherwise they are looked at later
  Terms terms;
  terms.preemptible = true;
  terms.keep_avoided = false;
  if (!Holds(Scene::kEverywhere, windows, shape, terms)) {
    return {"NO_CAPACITY", Shortage(run, shape, View(Scene::kEverywhere, true), true), false};
  }
  if (!Holds(Scene::kReachable, windows, shape, terms)) {
    return {"WAITING_FOR_NODES",
            absl::StrCat("needs ", DescribeNeeds(run),
                         "; it fits only with nodes that take no work now: ", ClosedNodes()),
            false};
  }
  if (Finding quota = JudgeQuota(place); !quota.reason.empty()) return quota;
  Terms own = planner_->TermsOf(planner_->run(place.index));
  const Select select = planner_->policy_.select;
  if (select == Select::kConservative && Holds(Scene::kNow, true, shape, own)) {
    return {"WAITING_FOR_RESERVATION",
            "the devices that would fit are kept for those before it, which it would delay", true};
  }
  if (select == Select::kEasy && Holds(Scene::kNow, true, shape, own)) {
    return {"WAITING_FOR_RESERVATION",
            "the devices that would fit are kept for the first in the queue, which it would delay",
            true};
  }
  own.run_uid = 0;
  own.keep_avoided = false;
  if (shape.calendar == 0 && Holds(Scene::kNow, false, shape, own)) {
    const auto closed =
        std::find_if(snapshot_.reservations.begin(), snapshot_.reservations.end(),
                     [](const Reservation& r) { return r.kind == ReservationKind::kCalendar; });
    if (closed != snapshot_.reservations.end()) {
      return {"WAITING_FOR_RESERVATION",
              absl::StrCat("the nodes that have room are reserved: ", closed->reason), true};
    }
    return {"WAITING_FOR_MAINTENANCE",
            "the nodes that have room are kept free for maintenance or leave before it would end",
            true};
  }
  terms.now_us = planner_->now_us_;
  if (Holds(Scene::kUnheld, true, shape, terms)) {
    return {"WAITING_FOR_RESERVATION", "the devices that would fit are held for runs ahead", true};
  }
  return {"WAITING_FOR_RESOURCES", Shortage(run, shape, planner_->cluster_, false), true};
}

// Which nodes are kept for a run, and who is in its way there.
std::string Explainer::DescribeKept(int32_t index) const {
  std::vector<std::string> names;
  std::set<int32_t> others;
  for (const int32_t node : planner_->kept_.at(index).nodes) {
    names.push_back(planner_->cluster_.IdOf(node));
    for (const int32_t holder : planner_->cluster_.node(node).holders) {
      if (planner_->Firm(holder, planner_->run(index).uid)) others.insert(holder);
    }
  }
  std::sort(names.begin(), names.end());
  if (names.size() > 3) names.resize(3), names.push_back("...");
  return absl::StrCat(absl::StrJoin(names, ", "), names.size() == 1 ? " is" : " are",
                      " kept for it; ", others.size(),
                      others.size() == 1
                          ? " run there may not be preempted and has to end first"
                          : " runs there may not be preempted and have to end first");
}

// A cluster that differs from the planner's; made once, it serves all findings.
Cluster& Explainer::View(Scene scene, bool windows) {
  std::unique_ptr<Cluster>& view = views_[{scene, windows}];
  if (view != nullptr) return *view;
  const Cluster& now = planner_->cluster_;
  const bool empty = scene == Scene::kEverywhere || scene == Scene::kReachable;
  view = std::make_unique<Cluster>(empty ? now.Emptied(scene == Scene::kEverywhere) : now);
  for (int32_t i = 0; !windows && i < view->size(); ++i) view->SetWindows(i, {});
  if (scene == Scene::kUnheld) {
    for (int32_t i = 0; i < view->size(); ++i) view->KeepFor(i, 0, 0, 0);
    for (const int32_t claimed : planner_->claims_) {
      for (const Slice& slice : *planner_->run(claimed).claim) view->Give(slice);
    }
  }
  return *view;
}

bool Explainer::Holds(Scene scene, bool windows, const Shape& shape, const Terms& terms) {
  Cluster& view = View(scene, windows);
  Slices slices;
  if (!view.TryTake(shape, terms, &slices)) return false;
  for (const Slice& slice : slices) view.Untake(slice);
  return true;
}

const Explainer::Finding& Explainer::FindingOf(const Place& place) {
  const Planner::Run& of = planner_->run(place.index);
  const std::pair<int32_t, int64_t> same{of.shape,
                                         of.leaf * (int64_t{1} << 40) + of.limit_us / 1'000'000};
  const auto [found, is_new] = findings_.try_emplace(same);
  if (is_new) found->second = Judge(place);
  return found->second;
}

// What time alone does not start has no start to estimate, nor has what waits for runs of which
// nothing like them has ended yet.
void NoEstimate(Explanation* explanation) {
  explanation->estimated_start_us = 0;
  explanation->estimate_earliest_us = 0;
  explanation->estimate_latest_us = 0;
  explanation->estimate_band_us = 0;
}

std::vector<Explanation> Explainer::All() {
  std::vector<Explanation> all;
  std::vector<uint64_t> ahead;
  ahead.reserve(kBlockersMax);
  std::string first_message;
  StartEstimator estimator(*planner_, snapshot_.history.get());
  const std::vector<int32_t> order = estimator.Order(0);
  const std::vector<StartGuess> starts = estimator.Of(order);
  all.reserve(order.size());
  for (const int32_t index : order) {
    const Planner::Run& of = planner_->run(index);
    const Place place{index, waiting_.at(of.uid)};
    Explanation& out = all.emplace_back();
    out.run_uid = of.uid;
    out.position = static_cast<int32_t>(all.size());
    out.blockers = ahead;
    const StartGuess& start = starts[all.size() - 1];
    out.estimated_start_us = start.middle_us;
    out.estimate_earliest_us = start.earliest_us;
    out.estimate_latest_us = start.latest_us;
    out.estimate_band_us = start.latest_us - start.earliest_us;
    if (place.run->hold) {
      NoEstimate(&out);
      out.reason = "HELD";
      out.message = "held by its owner until it is released";
      continue;
    }
    if (of.claim != nullptr) {
      out.reason = "WAITING_FOR_PREEMPTION";
      out.message = absl::StrCat("runs that stop for it have not released their devices yet");
      if (!start.known) NoEstimate(&out);
      continue;
    }
    const Finding& finding = FindingOf(place);
    out.reason = finding.reason;
    out.message = finding.message;
    if (out.reason == "NO_CAPACITY" || !start.known) NoEstimate(&out);
    if (const auto kept = planner_->kept_.find(index); kept != planner_->kept_.end()) {
      out.reason = "WAITING_FOR_RESOURCES";
      out.message = DescribeKept(index);
      const int64_t until_us = std::max(planner_->now_us_, kept->second.until_us);
      if (kept->second.until_us > 0) {  // it is sure by then
        out.estimate_latest_us = until_us;
        const bool known = out.estimated_start_us > 0;
        out.estimated_start_us = known ? std::min(out.estimated_start_us, until_us) : until_us;
        out.estimate_earliest_us =
            known ? std::min(out.estimate_earliest_us, until_us) : planner_->now_us_;
        out.estimate_band_us = until_us - out.estimate_earliest_us;
      }
    }
    const bool behind =
        finding.blocks && !ahead.empty() && planner_->policy_.select == Select::kStrict;
    if (behind) {
      out.reason = "WAITING_BEHIND";
      out.message = absl::StrCat("behind ", ThatMany(ahead.size()),
                                 " in the queue; the first of them ", first_message);
    }
    if (!finding.blocks) continue;
    if (ahead.empty()) first_message = finding.message;
    if (ahead.size() < kBlockersMax) ahead.push_back(of.uid);
  }
  return all;
}

}  // namespace trainyard::placement
