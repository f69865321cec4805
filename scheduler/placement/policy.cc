// See policy.h.
#include "scheduler/placement/policy.h"

#include <algorithm>

#include "scheduler/placement/placement.h"

namespace trainyard::placement {
namespace {

const std::vector<Policy>& Policies() {
  static const auto* const policies = [] {
    auto* list = new std::vector<Policy>;
    const auto add = [list](const char* name, OrderBy order, Select select, bool preempt) {
      Policy policy;
      policy.name = name;
      policy.order = order;
      policy.select = select;
      policy.preempt = preempt;
      list->push_back(policy);
    };
    add("fifo", OrderBy::kQueued, Select::kStrict, false);
    return list;
  }();
  return *policies;
}

}  // namespace

const std::vector<std::string>& PolicyNames() {
  static const auto* const names = [] {
    auto* list = new std::vector<std::string>;
    for (const Policy& policy : Policies()) list->push_back(policy.name);
    return list;
  }();
  return *names;
}

std::optional<Policy> PolicyNamed(absl::string_view name) {
  const auto& policies = Policies();
  const auto found = std::find_if(policies.begin(), policies.end(),
                                  [name](const Policy& policy) { return policy.name == name; });
  if (found == policies.end()) return std::nullopt;
  return *found;
}

int64_t ChargeMilli(const std::vector<RankNeeds>& ranks, const Policy& policy) {
  int64_t devices = 0;
  int64_t cores = 0;
  for (const RankNeeds& needs : ranks) {
    devices += needs.gpu_count > 0 ? int64_t{1000} * needs.gpu_count : needs.gpu_milli;
    cores += needs.cpu_milli;
  }
  if (devices > 0) return devices;
  return std::max<int64_t>(1, cores / std::max<int64_t>(1, policy.cores_per_device));
}

}  // namespace trainyard::placement
