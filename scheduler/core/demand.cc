// Demand: what each node should have of a run. See core.h. Level-triggered: the same answer for the
// same rows, whoever asks and whenever. What is not in a node's desired state is to be gone there.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/core/core.h"
#include "scheduler/core/deadline.h"
#include "scheduler/core/job_json.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

template <class Map, class Key>
auto Look(const Map& map, const Key& key) -> typename Map::mapped_type {
  const auto it = map.find(key);
  return it == map.end() ? nullptr : it->second;
}

wire::Want WantOf(const records::AttemptRow& attempt) {
  if (attempt.stop_us() > 0) return wire::STOPPED;
  const bool early =
      attempt.state() == records::A_LEASED || attempt.state() == records::A_PREPARING;
  // One member needs no agreement: it runs as soon as it is prepared.
  return early && attempt.members_size() > 1 ? wire::PREPARED : wire::RUN;
}

void FillPeers(const State& state, const records::AttemptRow& attempt, wire::Assignment* out) {
  for (const records::MemberRow& member : attempt.members()) {
    wire::Peer* peer = out->add_peers();
    peer->set_member(member.member());
    peer->set_node_id(member.node_id());
    peer->set_port(member.port());
    if (const AgentPtr agent = Look(state.agents, member.node_id()); agent != nullptr) {
      peer->set_address(agent->inventory().address());
    }
    for (const wire::RankSlot& rank : member.ranks()) peer->add_ranks(rank.rank());
  }
}

void FillLimits(const records::JobRow& job, const v1::JobSpec& spec, wire::Assignment* out) {
  const v1::Scheduling& scheduling = spec.scheduling();
  out->set_grace_ms(GraceUs(scheduling) / 1000);
  out->set_staging_timeout_ms(StagingUs(scheduling) / 1000);
  out->set_publish_timeout_ms(PublishUs(scheduling) / 1000);
  out->set_timeout_ms(TimeLimitUs(job, spec) / 1000);
  out->set_stop_after_ms(StopAfterUs(scheduling) / 1000);
  out->set_strict_lease(scheduling.strict_lease());
}

// The tree a member restores: its own part when the gang has the same shape as the one that wrote
// it, else all parts: which of them it needs the program knows.
void FillCheckpoint(const records::RunRow& run, int32_t member, wire::Assignment* out) {
  if (!run.has_checkpoint() || run.checkpoint().trees().empty()) return;
  const auto& trees = run.checkpoint().trees();
  const bool same_shape = trees.size() == run.attempt().members_size();
  out->set_checkpoint_tree(trees.Get(same_shape ? member : 0));
  if (!same_shape && trees.size() > 1) *out->mutable_checkpoint_parts() = trees;
  out->set_checkpoint_step(run.checkpoint().step());
}

// The head's share: a replica's resources among its processes.
void FillPerRank(const v1::JobSpec& spec, wire::Assignment* out) {
  if (spec.worker_pools().empty()) return;
  const int32_t processes = std::max(1, spec.launch().processes_per_replica());
  v1::Resources* share = out->mutable_per_rank();
  *share = spec.worker_pools(0).resources();
  share->set_cpu_milli(share->cpu_milli() / processes);
  share->set_memory_bytes(share->memory_bytes() / processes);
  share->set_gpu_count(share->gpu_count() / processes);
}

int32_t WorldSize(const records::AttemptRow& attempt) {
  int32_t ranks = 0;
  for (const records::MemberRow& member : attempt.members()) ranks += member.ranks_size();
  return ranks;
}

void FillAssignment(const State& state, const records::RunRow& run, const records::JobRow& job,
                    const v1::JobSpec& spec, const records::MemberRow& member,
                    wire::Assignment* out) {
  out->set_project(job.project());
  out->set_job_id(job.job_id());
  out->set_job_uid(job.uid());
  out->set_trial(run.trial());
  *out->mutable_program() = spec.program();
  *out->mutable_launch() = spec.launch();
  if (spec.has_metrics()) *out->mutable_metrics() = spec.metrics();
  for (const v1::StudySpec::Metric& metric : spec.study_spec().metrics()) {
    out->add_study_metrics(metric.metric_id());
  }
  *out->mutable_ranks() = member.ranks();
  out->set_world_size(WorldSize(run.attempt()));
  FillPeers(state, run.attempt(), out);
  FillPerRank(spec, out);
  *out->mutable_parameters() = run.parameters();
  // Where outputs get their names; only a job dir that was asked for is told to the program.
  out->set_job_dir(spec.job_dir().empty() ? spec.base_output_directory() : spec.job_dir());
  out->set_pass_job_dir(!spec.job_dir().empty());
  FillCheckpoint(run, member.member(), out);
  FillLimits(job, spec, out);
  if (const auto project = state.projects.find(job.project()); project != state.projects.end()) {
    out->set_run_as(project->second.run_as());
  }
  out->set_job_spec_json(JobJson(job.job_id(), spec));
}

// Appends the demands of the run on `node_id`, or on all nodes when that is null.
void Append(const State& state, const records::RunRow& run, const std::string* node_id,
            std::vector<NodeDemand>* demands) {
  if (run.state() != records::R_ACTIVE) return;
  const JobPtr job = Look(state.jobs, run.job_uid());
  const SpecPtr spec = Look(state.specs, run.job_uid());
  if (job == nullptr || spec == nullptr) return;
  const wire::Want want = WantOf(run.attempt());
  for (const records::MemberRow& member : run.attempt().members()) {
    if (member.exited() || member.released()) continue;
    if (node_id != nullptr && member.node_id() != *node_id) continue;
    // Its agent came back without it: it is not started a second time under the same epoch.
    if (member.missing_us() > 0 && want != wire::STOPPED) continue;
    NodeDemand demand;
    demand.node_id = member.node_id();
    wire::MemberKey* key = demand.member.mutable_key();
    key->set_run_uid(run.uid());
    key->set_epoch(run.attempt().epoch());
    key->set_member(member.member());
    demand.member.set_want(want);
    demand.member.set_stop_reason(run.attempt().stop_reason());
    if (want != wire::STOPPED) {
      wire::Assignment* assignment = demand.member.mutable_assignment();
      *assignment->mutable_key() = *key;
      FillAssignment(state, run, *job, *spec, member, assignment);
    }
    demands->push_back(std::move(demand));
  }
}

}  // namespace

std::vector<NodeDemand> DemandOfRun(const State& state, uint64_t run_uid) {
  std::vector<NodeDemand> demands;
  if (const RunPtr run = Look(state.runs, run_uid); run != nullptr) {
    Append(state, *run, nullptr, &demands);
  }
  return demands;
}

std::vector<agent::v1::DesiredMember> DemandOfNode(const State& state, const std::string& node_id) {
  std::vector<wire::DesiredMember> members;
  const auto runs = state.runs_by_node.find(node_id);
  if (runs == state.runs_by_node.end()) return members;
  for (const uint64_t uid : runs->second) {
    std::vector<NodeDemand> demands;
    Append(state, *state.runs.at(uid), &node_id, &demands);
    for (NodeDemand& demand : demands) members.push_back(std::move(demand.member));
  }
  return members;
}

}  // namespace trainyard::core
