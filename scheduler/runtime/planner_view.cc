// See planner_view.h.
#include "scheduler/runtime/planner_view.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/deadline.h"
#include "scheduler/core/ledger.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/ranks.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/taints.h"
#include "scheduler/runtime/run_history.h"

namespace trainyard::runtime {
namespace {

constexpr int32_t kWhole = 1000;
const int64_t kCoresPerDevice = placement::Policy().cores_per_device;

std::string TeamOf(const core::State& state, const std::string& project) {
  const auto found = state.projects.find(project);
  return found == state.projects.end() ? "" : found->second.team();
}

// Device time; where no device is held, cores count, so many of them as one device.
int64_t AttainedUs(int64_t device_us, int64_t cpu_us) {
  return device_us > 0 ? device_us : cpu_us / kCoresPerDevice;
}

void FillRun(const core::State& state, const journal::v1::RunRow& run,
             const journal::v1::JobRow& job, const trainyard::v1::JobSpec& spec,
             placement::RunView* view) {
  view->run_uid = run.uid();
  view->owner_uid = job.study_uid() != 0 ? job.uid() : 0;  // a study is charged as one
  view->project = job.project();
  view->principal = job.principal();
  view->team = TeamOf(state, job.project());
  view->queue = core::QueueOf(job, spec);
  view->priority = PriorityWithQueue(state, job, spec);
  view->submitted_us = job.create_us();
  view->attained_device_us = AttainedUs(run.used().device_us(), run.used().cpu_us());
  view->time_limit_us = core::TimeLimitUs(job, spec);
  view->preemptible = spec.scheduling().preemptible();
  view->name = HistoryName(job, spec);
}

placement::Topology TopologyOf(const trainyard::v1::Topology& topology) {
  placement::Topology view;
  switch (topology.domain()) {
    case trainyard::v1::Topology::ISLAND:
      view.domain = placement::Domain::kIsland;
      break;
    case trainyard::v1::Topology::RACK:
      view.domain = placement::Domain::kRack;
      break;
    default:
      view.domain = placement::Domain::kNode;
  }
  view.domains_max = topology.at_most();
  view.required = topology.required();
  return view;
}

// The rungs of successive halving, by step or by seconds, as scheduler/tuning/stopping.h has them.
bool CrossedRung(const trainyard::v1::StudySpec::StoppingSpec& stopping, double before,
                 double last) {
  constexpr double kFactorDefault = 3;
  const double factor =
      stopping.reduction_factor() > 1 ? stopping.reduction_factor() : kFactorDefault;
  double rung = std::max<double>(1, static_cast<double>(stopping.min_steps()));
  while (rung <= before) rung *= factor;
  return rung <= last;
}

// Whether the run is a trial whose last measurement is its first beyond a rung. Such trials have
// just been judged, and have worked least since they wrote what they would go on from.
bool RungEnded(const core::State& state, const journal::v1::RunRow& run,
               const journal::v1::JobRow& job) {
  if (job.study_uid() == 0) return false;
  const auto study = state.studies.find(job.study_uid());
  const auto trial = state.trials.find({job.study_uid(), run.trial()});
  if (study == state.studies.end() || trial == state.trials.end()) return false;
  const trainyard::v1::StudySpec::StoppingSpec& stopping = study->second->spec().stopping();
  if (stopping.kind() != trainyard::v1::StudySpec::ASHA &&
      stopping.kind() != trainyard::v1::StudySpec::HYPERBAND) {
    return false;
  }
  const core::TrialPtr row = trial->second.row();
  const auto& curve = row->measurements();
  if (curve.empty()) return false;
  const auto at = [&](const trainyard::v1::Measurement& measurement) {
    return stopping.use_elapsed_duration() ? static_cast<double>(measurement.elapsed().seconds())
                                           : static_cast<double>(measurement.step());
  };
  const double before = curve.size() < 2 ? 0 : at(curve[curve.size() - 2]);
  return CrossedRung(stopping, before, at(curve[curve.size() - 1]));
}

// The same for waiting and running runs, which have it in their own members.
template <typename Run>
void FillWishes(const trainyard::v1::JobSpec& spec, Run* view) {
  view->ranks = NeedsOf(spec);
  view->spread = spec.launch().placement() == trainyard::v1::SPREAD;
  for (const auto& [key, value] : spec.scheduling().node_selector()) {
    view->node_labels[key] = value;
  }
  view->topology = TopologyOf(spec.scheduling().topology());
  for (const std::string& toleration : spec.scheduling().tolerations()) {
    auto [key, value] = core::TolerationOf(toleration);
    view->tolerations.push_back({std::move(key), std::move(value)});
  }
}

}  // namespace

std::vector<placement::RankNeeds> NeedsOf(const trainyard::v1::JobSpec& spec) {
  std::vector<placement::RankNeeds> ranks;
  for (const core::RankNeed& need : core::RanksOf(spec)) {
    placement::RankNeeds needs;
    needs.cpu_milli = need.cpu_milli;
    needs.memory_bytes = need.memory_bytes;
    needs.gpu_count = need.gpu_count;
    needs.gpu_milli = need.gpu_milli;
    if (need.resources != nullptr) {
      needs.gpu_models.assign(need.resources->gpu_models().begin(),
                              need.resources->gpu_models().end());
      needs.gpu_profile = need.resources->gpu_profile();
      needs.gpu_memory_bytes = need.resources->gpu_memory_bytes();
    }
    ranks.push_back(std::move(needs));
  }
  return ranks;
}

placement::NodeView EmptyNode(const journal::v1::AgentRow& agent) {
  const trainyard::v1::NodeInventory& inventory = agent.inventory();
  placement::NodeView view;
  view.node_id = agent.node_id();
  view.cpu_milli_total = view.cpu_milli_free = int64_t{1000} * inventory.cores();
  view.memory_total = view.memory_free = inventory.memory_bytes();
  view.labels.insert(inventory.labels().begin(), inventory.labels().end());
  for (const char* name : {"rack", "island"}) {
    const auto label = view.labels.find(name);
    if (label == view.labels.end()) continue;
    (name[0] == 'r' ? view.rack : view.island) = label->second;
  }
  for (const std::string& taint : inventory.taints()) {
    auto [key, value] = core::TaintOf(taint);
    view.taints.push_back({std::move(key), std::move(value)});
  }
  // What runs there is preempted a little earlier: it must have ended by then.
  const int64_t leaves_us = core::LeavesAtUs(agent);
  if (leaves_us > 0) view.available_until_us = leaves_us - core::kLeaveAheadUs;
  for (const trainyard::v1::Device& device : inventory.devices()) {
    placement::DeviceView& added = view.devices.emplace_back();
    added.uuid = device.uuid();
    added.model = device.model();
    added.index = device.index();
    added.memory_bytes = device.memory_bytes();
    added.numa_node = device.numa_node();
    added.link_island = device.link_island();
    added.milli_free = kWhole;
    added.healthy = device.healthy();
    added.parent_uuid = device.parent();
    added.profile = device.profile();
  }
  return view;
}

bool MayStart(const core::State& state, const journal::v1::JobRow& job,
              const trainyard::v1::JobSpec& spec) {
  if (core::IsBlocked(job, spec)) return false;
  const std::string& queue = core::QueueOf(job, spec);
  if (queue.empty()) return true;
  const auto found = state.settings.find(core::QueueKey(queue));
  return found == state.settings.end() || !found->second->queue().stopped();
}

int32_t PriorityWithQueue(const core::State& state, const journal::v1::JobRow& job,
                          const trainyard::v1::JobSpec& spec) {
  const int32_t own = core::PriorityOf(job, spec);
  const std::string& queue = core::QueueOf(job, spec);
  if (queue.empty()) return own;
  const auto found = state.settings.find(core::QueueKey(queue));
  return found == state.settings.end() ? own : own + found->second->queue().priority();
}

placement::WaitingRun WaitingOf(const core::State& state, const journal::v1::RunRow& run,
                                const journal::v1::JobRow& job,
                                const trainyard::v1::JobSpec& spec) {
  placement::WaitingRun waiting;
  FillRun(state, run, job, spec, &waiting);
  FillWishes(spec, &waiting);
  waiting.queued_us = run.queued_us();
  waiting.hold = core::IsOnHold(job, spec);
  waiting.avoid_nodes.assign(run.failed_nodes().begin(), run.failed_nodes().end());
  if (spec.launch().min_replicas() > 0) {
    waiting.ranks_min = core::FewestRanks(spec);
    waiting.ranks_max = static_cast<int32_t>(waiting.ranks.size());
  }
  const int64_t max_wait_us = core::MaxWaitUs(job, spec);
  if (max_wait_us > 0 && run.first_start_us() == 0) {
    waiting.start_by_us = run.queued_us() + max_wait_us;
  }
  return waiting;
}

placement::RunningRun RunningOf(const core::State& state, const journal::v1::RunRow& run,
                                const journal::v1::JobRow& job, const trainyard::v1::JobSpec& spec,
                                int64_t now_us) {
  const journal::v1::AttemptRow& attempt = run.attempt();
  placement::RunningRun running;
  FillRun(state, run, job, spec, &running);
  FillWishes(spec, &running);
  const bool active = run.state() == journal::v1::R_ACTIVE;
  if (spec.launch().min_replicas() > 0) {
    running.ranks_min = core::FewestRanks(spec);
    running.ranks_max = static_cast<int32_t>(running.ranks.size());
    size_t ranks = 0;
    for (const journal::v1::MemberRow& member : attempt.members()) {
      ranks += static_cast<size_t>(member.ranks_size());
    }
    running.ranks.resize(std::min(ranks, running.ranks.size()));
  }
  running.started_us = attempt.placed_us();
  if (active) {
    const core::Holding holding =
        core::HoldingOf(attempt, [&](const std::string& node_id) -> core::AgentPtr {
          const auto agent = state.agents.find(node_id);
          return agent == state.agents.end() ? nullptr : agent->second;
        });
    const int64_t span_us = std::max<int64_t>(0, now_us - attempt.placed_us());
    running.attained_device_us += AttainedUs(core::HeldUs(holding.AllDeviceMilli(), span_us),
                                             core::HeldUs(holding.cpu_milli, span_us));
    const int64_t from_us = attempt.running_us() > 0 ? attempt.running_us() : attempt.placed_us();
    running.deadline_us = from_us + running.time_limit_us;
  }
  if (run.checkpoint().epoch() == attempt.epoch()) {
    running.last_checkpoint_us = run.checkpoint().commit_us();
  }
  // Without a checkpoint it would begin anew: nothing makes it cheap.
  running.rung_ended = active && running.last_checkpoint_us > 0 && RungEnded(state, run, job);
  running.grace_us = core::GraceUs(spec.scheduling());
  running.stopping = !active || attempt.stop_us() > 0;
  core::ForEachHold(run, [&](const journal::v1::MemberRow& member) {
    placement::RunningRun::Slice& slice = running.slices.emplace_back();
    slice.node_id = member.node_id();
    slice.cpu_milli = member.cpu_milli();
    slice.memory_bytes = member.memory_bytes();
    slice.device_uuids.assign(member.device_uuids().begin(), member.device_uuids().end());
    if (member.gpu_milli() > 0) slice.gpu_milli = static_cast<int32_t>(member.gpu_milli());
  });
  return running;
}

std::vector<placement::QuotaNode> QuotasOf(const core::State& state) {
  std::vector<placement::QuotaNode> quotas;
  for (auto it = state.settings.lower_bound("quotas/");
       it != state.settings.end() && it->second->has_quota(); ++it) {
    placement::QuotaNode& node = quotas.emplace_back();
    const std::vector<std::string> parts = absl::StrSplit(it->first, '/');
    if (parts.size() == 3 && parts[1] == "teams") node.team = parts[2];
    if (parts.size() >= 3 && parts[1] == "projects") {
      node.project = parts[2];
      node.team = TeamOf(state, parts[2]);
    }
    if (parts.size() == 5) node.principal = parts[4];
    for (const trainyard::v1::Quota::Share& share : it->second->quota().shares()) {
      placement::QuotaShare& added = node.by_model[share.model()];
      added.guarantee_milli = share.guarantee_milli();
      added.limit_milli = share.has_limit_milli() ? share.limit_milli() : -1;
      added.weight = std::max(1, share.weight());
    }
  }
  return quotas;
}

std::vector<placement::Reservation> ReservationsOf(const core::State& state) {
  std::vector<placement::Reservation> reservations;
  for (auto it = state.settings.lower_bound("reservations/");
       it != state.settings.end() && it->second->has_reservation(); ++it) {
    const trainyard::v1::Reservation& row = it->second->reservation();
    placement::Reservation& added = reservations.emplace_back();
    added.id = it->first;
    added.kind = placement::ReservationKind::kMaintenance;
    added.start_us = row.start_time().seconds() * 1'000'000;
    added.end_us = row.end_time().seconds() * 1'000'000;
    added.reason = row.reason();
    const auto hold = [&added](const std::string& node_id) {
      added.holds.emplace_back().node_id = node_id;
    };
    for (const std::string& node : row.nodes()) hold(node);
    if (row.nodes().empty()) {
      for (const auto& [node_id, agent] : state.agents) hold(node_id);
    }
  }
  return reservations;
}

}  // namespace trainyard::runtime
