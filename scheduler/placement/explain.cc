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
#include "scheduler/placement/shortage.h"

namespace trainyard::placement {
namespace {

constexpr size_t kBlockersMax = 10;

bool Homogeneous(const WaitingRun& run) {
  const RankNeeds& first = run.ranks.front();
  return std::all_of(run.ranks.begin(), run.ranks.end(), [&](const RankNeeds& needs) {
    return std::tie(needs.cpu_milli, needs.memory_bytes, needs.gpu_count, needs.gpu_milli,
                    needs.gpu_models, needs.gpu_profile, needs.gpu_memory_bytes) ==
           std::tie(first.cpu_milli, first.memory_bytes, first.gpu_count, first.gpu_milli,
                    first.gpu_models, first.gpu_profile, first.gpu_memory_bytes);
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
    return absl::StrCat(run.ranks.size(), " ranks, the largest of ", DescribeRank(LargestOf(run)));
  }
  return absl::StrCat(run.ranks.size(), " ranks of ", DescribeRank(run.ranks.front()), " each");
}

Explainer::Explainer(Planner* planner, const Snapshot& snapshot)
    : planner_(planner), snapshot_(snapshot) {
  for (const WaitingRun& run : snapshot.waiting) waiting_[run.run_uid] = &run;
}

std::string Explainer::Shortage(const WaitingRun& run, const Shape& shape, const Cluster& room,
                                bool empty) const {
  const RankNeeds& needs = LargestOf(run);
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
  if (admitted == 0) return WhyNoneAdmits(snapshot_, run);
  if (fits == 0) {
    const std::string no_such = empty ? WhyNoSuchGpu(snapshot_, needs) : "";
    if (!no_such.empty()) return absl::StrCat("needs ", DescribeGpus(needs), ", but ", no_such);
    if (needs.gpu_count > gpus) {
      return absl::StrCat("needs ", DescribeGpus(needs), " on one node, ", there, gpus);
    }
    if (needs.cpu_milli > cores) {
      return absl::StrCat("needs ", DescribeCores(needs.cpu_milli), " on one node, ", there,
                          DescribeCores(cores));
    }
    if (needs.memory_bytes > memory) {
      return absl::StrCat("needs ", DescribeMemory(needs.memory_bytes), " on one node, ", there,
                          DescribeMemory(memory));
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
      fits >= shape.rank_count ? absl::StrCat(" in an arrangement that its topology refuses",
                                              WhyNoDomain(snapshot_, run.topology.domain))
                               : "");
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
  const Planner::LimitHit hit = planner_->LimitOf(planner_->run(place.index));
  if (hit.level < 0) return {};
  const int32_t level = hit.level;
  const int64_t milli = hit.asked_milli;
  const auto [used, limit] = planner_->quota_.UsedOf(level, hit.model);
  const std::string unit = hit.model == kCores ? "cores"
                           : hit.model == 0
                               ? "GPUs"
                               : absl::StrCat(planner_->shapes_.names().Name(hit.model), " GPUs");
  if (limit >= 0 && milli > limit) {
    return {
        "QUOTA_BELOW_NEED",
        absl::StrFormat("needs %g %s, more than %s may ever use: its limit is %g; it starts only "
                        "when that is raised or it asks for less",
                        static_cast<double>(milli) / 1000, unit, planner_->quota_.Describe(level),
                        static_cast<double>(limit) / 1000),
        false};
  }
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
  // What its limits leave it: other models may be free, it does not get them.
  const auto models = planner_->OpenModels(of, {});
  if (models.has_value() && !models->empty()) return JudgeRoom(place, *models);
  return JudgeRoom(place, {});
}

// By the room there is on these models, none meaning all.
Explainer::Finding Explainer::JudgeRoom(const Place& place, const std::vector<int32_t>& models) {
  const WaitingRun& run = *place.run;
  const int32_t least = planner_->shape(planner_->run(place.index)).least;
  const int32_t restricted = planner_->Restricted(least, models);
  const Shape& shape = planner_->shapes_.at(restricted == Planner::kNone ? least : restricted);
  Terms terms;
  terms.preemptible = true;
  terms.keep_avoided = false;
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
    const auto works = std::find_if(
        snapshot_.reservations.begin(), snapshot_.reservations.end(), [](const Reservation& r) {
          return r.kind == ReservationKind::kMaintenance && !r.reason.empty();
        });
    return {"WAITING_FOR_MAINTENANCE",
            absl::StrCat(
                "the nodes that have room are kept free for maintenance",
                works == snapshot_.reservations.end() ? "" : absl::StrCat(" (", works->reason, ")"),
                " or leave before it would end; with a time limit that ends before it "
                "may start"),
            true};
  }
  terms.now_us = planner_->now_us_;
  if (Holds(Scene::kUnheld, true, shape, terms)) {
    return {"WAITING_FOR_RESERVATION", "the devices that would fit are held for runs ahead", true};
  }
  Finding finding{"WAITING_FOR_RESOURCES", Shortage(run, shape, planner_->cluster_, false), true};
  if (!models.empty()) {
    std::vector<std::string> names;
    for (const int32_t model : models) names.push_back(planner_->shapes_.names().Name(model));
    absl::StrAppend(&finding.message, "; its quota leaves it only ", absl::StrJoin(names, ", "));
  }
  return finding;
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
  if (others.empty()) {
    return absl::StrCat(absl::StrJoin(names, ", "), names.size() == 1 ? " is" : " are",
                        " kept for it; what runs there makes way when it ran its minimum");
  }
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
  if (empty || scene == Scene::kUnheld) {
    for (int32_t i = 0; i < view->size(); ++i) view->KeepFor(i, 0, 0, 0);
  }
  if (scene == Scene::kUnheld) {
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
  const Chance same{of.shape, of.leaf, of.limit_us, of.preemptible, of.priority};
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
    if (out.reason == "NO_CAPACITY" || out.reason == "QUOTA_BELOW_NEED" || !start.known)
      NoEstimate(&out);
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
