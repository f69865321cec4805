// See elastic.h.
#include "scheduler/core/elastic.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "scheduler/core/attempt_machine.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/ranks.h"
#include "scheduler/core/run_machine.h"
#include "scheduler/core/verdict.h"

namespace trainyard::core {
namespace {

constexpr int64_t kGrowAgainUs = int64_t{600'000'000};

size_t CountRanks(const records::AttemptRow& attempt) {
  size_t ranks = 0;
  for (const records::MemberRow& member : attempt.members()) {
    ranks += static_cast<size_t>(member.ranks_size());
  }
  return ranks;
}

bool Accepts(const v1::Resources* wanted, const v1::Device& device) {
  if (!device.healthy()) return false;
  if (wanted == nullptr || wanted->gpu_models().empty()) return true;
  const auto& models = wanted->gpu_models();
  return std::find(models.begin(), models.end(), device.model()) != models.end();
}

// Whether the rank fits beside `use`, which then holds it too.
bool TakeRank(const records::AgentRow& agent, const RankNeed& need, NodeUse* use) {
  records::MemberRow slice;
  slice.set_cpu_milli(need.cpu_milli);
  slice.set_memory_bytes(need.memory_bytes);
  slice.set_gpu_milli(need.gpu_milli);
  const int32_t milli = need.gpu_milli > 0 ? need.gpu_milli : 1000;
  int devices = need.gpu_milli > 0 ? 1 : need.gpu_count;
  for (const v1::Device& device : agent.inventory().devices()) {
    if (devices == 0) break;
    const auto used = use->device_milli.find(device.uuid());
    const int32_t taken = used == use->device_milli.end() ? 0 : used->second;
    if (!Accepts(need.resources, device) || taken + milli > 1000) continue;
    slice.add_device_uuids(device.uuid());
    --devices;
  }
  if (devices > 0 || !CheckFits(agent, *use, slice).ok()) return false;
  CountHold(slice, +1, use);
  return true;
}

// Whether the replica after those that run would find a place now.
bool HasRoom(const records::RunRow& run, const records::JobRow& job, const v1::JobSpec& spec,
             const Draft& draft) {
  const std::vector<RankNeed> needs = core::RanksOf(spec);
  const size_t first = CountRanks(run.attempt());
  const size_t last =
      first + static_cast<size_t>(std::max(1, spec.launch().processes_per_replica()));
  if (last > needs.size()) return false;
  std::map<std::string, NodeUse> use;
  for (size_t rank = first; rank < last; ++rank) {
    bool placed = false;
    for (const auto& [node_id, row] : draft.state().agents) {
      const AgentPtr agent = draft.Agent(node_id);
      if (!UnschedulableReason(*agent).empty()) continue;
      if (!CheckNode(node_id, job, spec, draft).ok()) continue;
      NodeUse& here = use.try_emplace(node_id, draft.UseOf(node_id)).first->second;
      placed = TakeRank(*agent, needs[rank], &here);
      if (placed) break;
    }
    if (!placed) return false;
  }
  return true;
}

// Whether the run was stopped to grow and got no more nodes by it: something that only a planner
// weighs was in the way, such as how near to each other its nodes must be. It is left alone then
// for a while.
bool GrewInVain(const records::RunRow& run, int64_t now_us) {
  if (run.past_attempts().empty()) return false;
  const v1::AttemptSummary& before = *run.past_attempts().rbegin();
  if (before.exit().message() != kStoppedToGrow) return false;
  std::set<std::string> nodes;
  for (const records::MemberRow& member : run.attempt().members()) nodes.insert(member.node_id());
  return static_cast<int>(nodes.size()) <= before.nodes_size() &&
         now_us < run.attempt().placed_us() + kGrowAgainUs;
}

}  // namespace

bool IsShort(const records::RunRow& run, const v1::JobSpec& spec) {
  return spec.launch().min_replicas() > 0 && CountRanks(run.attempt()) < core::RanksOf(spec).size();
}

void ConsiderGrowth(Draft* draft) {
  if (!draft->state().waiting_runs.empty()) return;
  const std::vector<uint64_t> active(draft->state().active_runs.begin(),
                                     draft->state().active_runs.end());
  for (const uint64_t uid : active) {
    const RunPtr run = draft->Run(uid);
    if (run == nullptr || run->state() != records::R_ACTIVE) continue;
    if (run->attempt().state() != records::A_RUNNING || run->attempt().stop_us() > 0) continue;
    const JobPtr job = draft->Job(run->job_uid());
    const SpecPtr spec = draft->Spec(run->job_uid());
    if (job == nullptr || spec == nullptr || !IsShort(*run, *spec)) continue;
    if (GrewInVain(*run, draft->now_us()) || !HasRoom(*run, *job, *spec, *draft)) continue;
    StopAttempt(uid, wire::STOP_RESIZE, nullptr, draft);
  }
}

}  // namespace trainyard::core
