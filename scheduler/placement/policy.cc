// See policy.h.
#include "scheduler/placement/policy.h"

#include <algorithm>

#include "scheduler/placement/placement.h"

namespace trainyard::placement {
namespace {

constexpr int64_t kSecondUs = 1'000'000;

Policy Named(const char* name, OrderBy order, Select select, bool preempt) {
  Policy policy;
  policy.name = name;
  policy.order = order;
  policy.select = select;
  policy.preempt = preempt;
  return policy;
}

// The figures were found by a search over two public traces at once: docs/placement.md.
Policy LasR() {
  Policy policy = Named("las-r", OrderBy::kAttained, Select::kSkip, /*preempt=*/true);
  policy.levels = 5;
  policy.first_level_device_us = int64_t{34'560} * kSecondUs;
  policy.gpu_exponent = 0.15;
  policy.level_factor = 8;
  policy.gang_factor = 0.805;
  policy.min_run_us = 300 * kSecondUs;
  policy.aging_us = int64_t{79'853} * kSecondUs;
  policy.aging_exponent = 0.73;
  policy.gang_aging = 0.9;
  policy.front_share = 0.75;
  policy.keep_share = 0.5;
  policy.victim_level = 1.38;
  policy.victim_age = 0.3;
  return policy;
}

// Every reservation costs a look at all that is to come: fewer are made than easy looks at.
Policy Conservative() {
  Policy policy = Named("conservative", OrderBy::kQueued, Select::kConservative, /*preempt=*/false);
  policy.depth = 100;
  return policy;
}

// Tiresias' two queues (NSDI 2019): no promises, gangs may wait long.
Policy Las() {
  Policy policy = Named("las", OrderBy::kAttained, Select::kSkip, /*preempt=*/true);
  policy.min_run_us = 300 * kSecondUs;
  return policy;
}

// Shares of users; what does not fit into its user's share is promised a start as in las-r.
Policy Fair() {
  Policy policy = Named("fair", OrderBy::kFair, Select::kSkip, /*preempt=*/true);
  const Policy promises = LasR();
  policy.levels = 1;
  policy.min_run_us = promises.min_run_us;
  policy.aging_us = promises.aging_us;
  policy.aging_exponent = promises.aging_exponent;
  policy.gang_aging = promises.gang_aging;
  policy.front_share = promises.front_share;
  policy.keep_share = promises.keep_share;
  policy.victim_age = promises.victim_age;
  return policy;
}

const std::vector<Policy>& Policies() {
  static const auto* const policies = new std::vector<Policy>{
      Named("fifo", OrderBy::kQueued, Select::kStrict, /*preempt=*/false),
      Named("skip", OrderBy::kQueued, Select::kSkip, /*preempt=*/false),
      Named("easy", OrderBy::kQueued, Select::kEasy, /*preempt=*/false),
      Conservative(),
      Las(),
      Fair(),
      LasR(),
  };
  return *policies;
}

struct Parameter {
  const char* name;
  void (*set)(double value, Policy* policy);
};

int64_t Micros(double seconds) { return static_cast<int64_t>(seconds * kSecondUs); }

constexpr Parameter kParameters[] = {
    {"aging", [](double value, Policy* policy) { policy->aging_us = Micros(value); }},
    {"aging_exponent", [](double value, Policy* policy) { policy->aging_exponent = value; }},
    {"depth", [](double value, Policy* policy) { policy->depth = static_cast<int32_t>(value); }},
    {"first_level",
     [](double value, Policy* policy) { policy->first_level_device_us = Micros(value); }},
    {"front_share", [](double value, Policy* policy) { policy->front_share = value; }},
    {"gang_aging", [](double value, Policy* policy) { policy->gang_aging = value; }},
    {"gang_factor", [](double value, Policy* policy) { policy->gang_factor = value; }},
    {"gpu_exponent", [](double value, Policy* policy) { policy->gpu_exponent = value; }},
    {"keep_share", [](double value, Policy* policy) { policy->keep_share = value; }},
    {"level_factor", [](double value, Policy* policy) { policy->level_factor = value; }},
    {"levels",
     [](double value, Policy* policy) {
       policy->levels = std::clamp(static_cast<int32_t>(value), 1, 16);
     }},
    {"min_run", [](double value, Policy* policy) { policy->min_run_us = Micros(value); }},
    {"restart_cost", [](double value, Policy* policy) { policy->restart_cost_us = Micros(value); }},
    {"study_ahead", [](double value, Policy* policy) { policy->study_ahead_us = Micros(value); }},
    {"study_min_run",
     [](double value, Policy* policy) { policy->study_min_run_us = Micros(value); }},
    {"victim_age", [](double value, Policy* policy) { policy->victim_age = value; }},
    {"victim_level", [](double value, Policy* policy) { policy->victim_level = value; }},
    {"within",
     [](double value, Policy* policy) {
       policy->within = static_cast<Policy::Within>(std::clamp(static_cast<int>(value), 0, 2));
     }},
};

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

const std::vector<std::string>& ParameterNames() {
  static const auto* const names = [] {
    auto* list = new std::vector<std::string>;
    for (const Parameter& parameter : kParameters) list->emplace_back(parameter.name);
    return list;
  }();
  return *names;
}

bool SetParameter(absl::string_view name, double value, Policy* policy) {
  for (const Parameter& parameter : kParameters) {
    if (name != parameter.name) continue;
    parameter.set(value, policy);
    return true;
  }
  return false;
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
