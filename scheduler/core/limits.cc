// See limits.h.
#include "scheduler/core/limits.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/settings.h"

namespace trainyard::core {
namespace {

int64_t HeldOf(const Holding& holding, const std::string& model) {
  if (model == "cpu") return holding.cpu_milli;
  if (model.empty()) return holding.AllDeviceMilli();
  const auto found = holding.device_milli.find(model);
  return found == holding.device_milli.end() ? 0 : found->second;
}

void AddTo(const Holding& more, Holding* sum) {
  for (const auto& [model, milli] : more.device_milli) sum->device_milli[model] += milli;
  sum->cpu_milli += more.cpu_milli;
}

}  // namespace

Limits::Limits(const Draft& draft) : draft_(draft) {
  const State& state = draft.state();
  for (auto it = state.settings.lower_bound("quotas/");
       it != state.settings.end() && it->second->has_quota(); ++it) {
    for (const v1::Quota::Share& share : it->second->quota().shares()) {
      any_ |= share.has_limit_milli();
    }
  }
  if (!any_) return;
  for (const uint64_t uid : state.active_runs) {
    const RunPtr run = draft.Run(uid);
    const JobPtr job = run == nullptr ? nullptr : draft.Job(run->job_uid());
    if (job == nullptr) continue;
    std::vector<records::MemberRow> members;
    ForEachHold(*run, [&](const records::MemberRow& member) { members.push_back(member); });
    Add(*job, members);
  }
}

Holding Limits::HoldingOf(const std::vector<records::MemberRow>& members) const {
  records::AttemptRow attempt;
  for (const records::MemberRow& member : members) *attempt.add_members() = member;
  return core::HoldingOf(attempt, [&](const std::string& node) { return draft_.Agent(node); });
}

std::vector<std::string> Limits::KeysOf(const records::JobRow& job) const {
  std::vector<std::string> keys;
  std::string key = absl::StrCat("quotas/projects/", job.project(), "/users/", job.principal());
  for (; !key.empty(); key = ParentOfQuota(key, draft_.state())) {
    const auto found = draft_.state().settings.find(key);
    if (found != draft_.state().settings.end() && found->second->has_quota()) keys.push_back(key);
  }
  return keys;
}

absl::Status Limits::Check(const records::JobRow& job,
                           const std::vector<records::MemberRow>& members) {
  if (!any_) return absl::OkStatus();
  const Holding more = HoldingOf(members);
  for (const std::string& key : KeysOf(job)) {
    const Holding& used = used_[key];
    for (const v1::Quota::Share& share : draft_.state().settings.at(key)->quota().shares()) {
      const int64_t asked = HeldOf(more, share.model());
      const int64_t held = HeldOf(used, share.model());
      if (!share.has_limit_milli() || asked == 0 || held + asked <= share.limit_milli()) continue;
      const std::string unit = share.model() == "cpu"  ? "cores"
                               : share.model().empty() ? "GPUs"
                                                       : absl::StrCat(share.model(), " GPUs");
      return absl::ResourceExhaustedError(
          absl::StrFormat("%s uses %g of its limit of %g %s and the run needs %g more",
                          absl::StripPrefix(key, "quotas/"), static_cast<double>(held) / 1000,
                          static_cast<double>(share.limit_milli()) / 1000, unit,
                          static_cast<double>(asked) / 1000));
    }
  }
  return absl::OkStatus();
}

void Limits::Add(const records::JobRow& job, const std::vector<records::MemberRow>& members) {
  if (!any_) return;
  const Holding more = HoldingOf(members);
  for (const std::string& key : KeysOf(job)) AddTo(more, &used_[key]);
}

}  // namespace trainyard::core
