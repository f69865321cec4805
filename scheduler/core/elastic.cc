// See elastic.h.
#include "scheduler/core/elastic.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "scheduler/core/attempt_machine.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/limits.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/ranks.h"
#include "scheduler/core/run_machine.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/verdict.h"

namespace trainyard::core {
namespace {

constexpr int64_t kGrowAgainUs = int64_t{600'000'000};

bool Accepts(const v1::Resources* wanted, const v1::Device& device) {
  if (!device.healthy()) return false;
  if (wanted == nullptr) return device.profile().empty();
  if (device.profile() != wanted->gpu_profile()) return false;
  if (device.memory_bytes() < wanted->gpu_memory_bytes()) return false;
  const auto& models = wanted->gpu_models();
  return models.empty() || std::find(models.begin(), models.end(), device.model()) != models.end();
}

// Whether slices are given out in place of the device.
bool IsCut(const v1::NodeInventory& node, const std::string& uuid) {
  return std::any_of(node.devices().begin(), node.devices().end(),
                     [&](const v1::Device& device) { return device.parent() == uuid; });
}

// Whether the rank fits beside `use`, which then holds it too; `member`: what it would hold.
bool TakeRank(const records::AgentRow& agent, const RankNeed& need, NodeUse* use,
              records::MemberRow* member) {
  records::MemberRow& slice = *member;
  slice.Clear();
  slice.set_node_id(agent.node_id());
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
    if (IsCut(agent.inventory(), device.uuid())) continue;
    slice.add_device_uuids(device.uuid());
    --devices;
  }
  if (devices > 0 || !CheckFits(agent, *use, slice).ok()) return false;
  CountHold(slice, +1, use);
  return true;
}

// The island or rack (or node) of a required topology; "" where the node does not say.
std::string DomainOf(const records::AgentRow& agent, v1::Topology::Domain domain) {
  if (domain != v1::Topology::ISLAND && domain != v1::Topology::RACK) return agent.node_id();
  const auto& labels = agent.inventory().labels();
  const auto found = labels.find(domain == v1::Topology::RACK ? "rack" : "island");
  return found == labels.end() ? "" : found->second;
}

// Where a run lies, and whether one more node is within the topology it requires.
class Realm {
 public:
  Realm(const records::RunRow& run, const v1::Topology& topology, const Draft& draft)
      : topology_(topology) {
    for (const records::MemberRow& member : run.attempt().members()) {
      if (const AgentPtr agent = draft.Agent(member.node_id()); agent != nullptr) Add(*agent);
    }
  }
  bool Admits(const records::AgentRow& agent) const {
    if (!topology_.required()) return true;
    const std::string domain = DomainOf(agent, topology_.domain());
    if (domain.empty()) return false;
    return topology_.at_most() == 0 || domains_.contains(domain) ||
           static_cast<int64_t>(domains_.size()) < topology_.at_most();
  }
  void Add(const records::AgentRow& agent) { domains_.insert(DomainOf(agent, topology_.domain())); }

 private:
  const v1::Topology& topology_;
  std::set<std::string> domains_;
};

// Whether the replica after those that run would find a place now.
bool HasRoom(const records::RunRow& run, const records::JobRow& job, const v1::JobSpec& spec,
             const Draft& draft, Limits* limits) {
  const std::vector<RankNeed> needs = core::RanksOf(spec);
  const auto first = static_cast<size_t>(CountRanks(run.attempt()));
  const size_t last =
      first + static_cast<size_t>(std::max(1, spec.launch().processes_per_replica()));
  if (last > needs.size()) return false;
  Realm realm(run, spec.scheduling().topology(), draft);
  std::map<std::string, NodeUse> use;
  std::vector<records::MemberRow> more;
  for (size_t rank = first; rank < last; ++rank) {
    bool placed = false;
    for (const auto& [node_id, row] : draft.state().agents) {
      const AgentPtr agent = draft.Agent(node_id);
      if (!UnschedulableReason(*agent).empty() || !realm.Admits(*agent)) continue;
      if (!CheckNode(node_id, job, spec, draft).ok()) continue;
      NodeUse& here = use.try_emplace(node_id, draft.UseOf(node_id)).first->second;
      placed = TakeRank(*agent, needs[rank], &here, &more.emplace_back());
      if (!placed) more.pop_back();
      if (!placed) continue;
      realm.Add(*agent);
      break;
    }
    if (!placed) return false;
  }
  return limits->Check(job, more).ok();
}

// Whether the nodes that take work could hold the run if nothing ran there.
bool IsPossible(const records::JobRow& job, const v1::JobSpec& spec, const Draft& draft) {
  const std::vector<RankNeed> needs = core::RanksOf(spec);
  const auto wanted = static_cast<size_t>(FewestRanks(spec));
  size_t next = 0;
  records::MemberRow member;
  for (const auto& [node_id, row] : draft.state().agents) {
    const AgentPtr agent = draft.Agent(node_id);
    if (!UnschedulableReason(*agent).empty()) continue;
    if (!CheckNode(node_id, job, spec, draft).ok()) continue;
    NodeUse use;
    while (next < wanted && TakeRank(*agent, needs[next], &use, &member)) ++next;
    if (next >= wanted) return true;
  }
  return false;
}

// Whether a waiting run would start if it found room. What is held, waits for another job or for
// its back-off, or fits nowhere, leaves the room to others.
bool WantsRoom(const records::RunRow& run, const Draft& draft) {
  if (run.state() != records::R_WAITING) return false;
  const JobPtr job = draft.Job(run.job_uid());
  const SpecPtr spec = draft.Spec(run.job_uid());
  if (job == nullptr || spec == nullptr || IsBlocked(*job, *spec)) return false;
  if (const std::string& queue = QueueOf(*job, *spec); !queue.empty()) {
    const SettingPtr row = draft.Setting(QueueKey(queue));
    if (row != nullptr && row->queue().stopped()) return false;
  }
  return IsPossible(*job, *spec, draft);
}

// Whether the run was stopped to grow and got no more ranks by it: something that only a planner
// weighs was in the way. It is left alone then for a while.
bool GrewInVain(const records::RunRow& run, int64_t now_us) {
  if (run.past_attempts().empty()) return false;
  absl::string_view message = run.past_attempts().rbegin()->exit().message();
  int32_t before = 0;
  if (!absl::ConsumePrefix(&message, kStoppedToGrow)) return false;
  if (!absl::ConsumePrefix(&message, " than ") || !absl::SimpleAtoi(message, &before)) return false;
  return CountRanks(run.attempt()) <= before && now_us < run.attempt().placed_us() + kGrowAgainUs;
}

}  // namespace

bool IsShort(const records::RunRow& run, const v1::JobSpec& spec) {
  return spec.launch().min_replicas() > 0 &&
         CountRanks(run.attempt()) < std::ssize(core::RanksOf(spec));
}

int32_t CountRanks(const records::AttemptRow& attempt) {
  int32_t ranks = 0;
  for (const records::MemberRow& member : attempt.members()) ranks += member.ranks_size();
  return ranks;
}

void ConsiderGrowth(Draft* draft) {
  std::vector<uint64_t> shorts;
  for (const uint64_t uid : draft->state().active_runs) {
    const RunPtr run = draft->Run(uid);
    if (run == nullptr || run->state() != records::R_ACTIVE) continue;
    if (run->attempt().state() != records::A_RUNNING || run->attempt().stop_us() > 0) continue;
    const SpecPtr spec = draft->Spec(run->job_uid());
    if (draft->Job(run->job_uid()) == nullptr || spec == nullptr || !IsShort(*run, *spec)) continue;
    if (!GrewInVain(*run, draft->now_us())) shorts.push_back(uid);
  }
  if (shorts.empty()) return;
  for (const uint64_t uid : draft->state().waiting_runs) {
    const RunPtr run = draft->Run(uid);
    if (run != nullptr && WantsRoom(*run, *draft)) return;
  }
  Limits limits(*draft);
  for (const uint64_t uid : shorts) {
    const RunPtr run = draft->Run(uid);
    const JobPtr job = draft->Job(run->job_uid());
    if (!HasRoom(*run, *job, *draft->Spec(run->job_uid()), *draft, &limits)) continue;
    StopAttempt(uid, wire::STOP_RESIZE, nullptr, draft);
  }
}

}  // namespace trainyard::core
