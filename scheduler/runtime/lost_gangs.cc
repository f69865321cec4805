// See lost_gangs.h.
#include "scheduler/runtime/lost_gangs.h"

#include <utility>

#include "scheduler/core/verdict.h"

namespace trainyard::runtime {

void LostGangs::Update(const core::State& state, const std::set<uint64_t>& runs) {
  for (const uint64_t uid : runs) {
    const auto run = state.runs.find(uid);
    if (run != state.runs.end() && core::AwaitsLostNode(*run->second)) {
      waiting_.insert(uid);
    } else {
      waiting_.erase(uid);
    }
  }
}

bool LostGangs::IsSilent(const std::string& node_id, const Leases& leases,
                         absl::Duration now) const {
  const absl::Duration silence = leases.Silence(node_id, now, options_->lease);
  return silence >= 2 * options_->heartbeat;
}

std::vector<core::GangSilence> LostGangs::Due(const core::State& state, const Leases& leases,
                                              absl::Duration now) const {
  std::vector<core::GangSilence> due;
  for (const uint64_t uid : waiting_) {
    const core::RunPtr run = state.runs.find(uid)->second;
    const journal::v1::AttemptRow& attempt = run->attempt();
    core::GangSilence gang{uid, attempt.epoch(), {}};
    bool is_heard = false;
    for (const journal::v1::MemberRow& member : attempt.members()) {
      if (member.exited() || member.released()) continue;
      const bool silent = IsSilent(member.node_id(), leases, now);
      is_heard |= !silent;
      if (silent) gang.silent.push_back(member.node_id());
    }
    if (!is_heard && !gang.silent.empty()) due.push_back(std::move(gang));
  }
  return due;
}

std::vector<std::string> LostGangs::Heard(const Leases& leases, absl::Duration now) {
  std::vector<std::string> heard;
  for (auto node = shunned_.begin(); node != shunned_.end();) {
    const bool has_lease = leases.Silence(*node, now, options_->lease) != absl::InfiniteDuration();
    if (has_lease && IsSilent(*node, leases, now)) {
      ++node;
      continue;
    }
    heard.push_back(*node);
    node = shunned_.erase(node);
  }
  return heard;
}

}  // namespace trainyard::runtime
