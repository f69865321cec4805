// A policy: a named configuration of the stages admission, quota, order, select, place, preempt and
// estimate. Plain values.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_POLICY_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_POLICY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace trainyard::placement {

enum class OrderBy {
  kQueued,    // who queued first
  kAttained,  // levels of attained service, then who runs, then who waited longest
  kFair,      // whose user holds least of its share, then who queued first
};
enum class Select {
  kStrict,        // a head that waits for room holds back those behind it
  kSkip,          // whoever fits starts
  kEasy,          // who cannot delay a head that waits for room starts (easy.cc)
  kConservative,  // who cannot delay anybody before it starts (conservative.cc)
};
struct Policy {
  std::string name = "fifo";
  OrderBy order = OrderBy::kQueued;
  Select select = Select::kStrict;
  bool preempt = false;  // for order and reservations; guarantees are reclaimed in any case
  int32_t depth = 500;   // kEasy, kConservative: runs behind the head that are looked at; 0: all
  int64_t min_run_us = 600'000'000;      // a victim ran at least so long
  int64_t restart_cost_us = 60'000'000;  // until a preempted run makes progress again
  int64_t cores_per_device = 8;          // what cores are charged where no device is asked for

  // kAttained: a run (or its study) sinks to level n + 1 when it attained
  // first_level x devices^gpu_exponent x level_factor^n, gangs gang_factor times that.
  int32_t levels = 2;
  int64_t first_level_device_us = int64_t{57'600} * 1'000'000;
  double gpu_exponent = 0;
  double level_factor = 8;
  double gang_factor = 1;
  int64_t gang_devices = 8;  // who asks for more is a gang that lies over nodes
  enum class Within { kSubmitted, kAttained, kAttainedPerDevice } within = Within::kSubmitted;

  // A study's runs count as one: with what it attained, and what its runs will within study_ahead.
  int64_t study_ahead_us = 600'000'000;
  int64_t study_min_run_us = 600'000'000;  // min_run_us of its runs, where that is less

  // A run that waited longer than aging x max(1, demand / devices)^aging_exponent is promised to be
  // next: it goes before all levels, oldest first, and is not preempted any more. The promised hold
  // at most front_share of the devices. 0: no promises.
  int64_t aging_us = 0;
  double aging_exponent = 0;
  double gang_aging = 1;  // for gangs
  double front_share = 1;

  // Where runs that may not be preempted stand in the way of a gang whose turn it is, nodes are
  // kept for it: together at most this share of all devices, but always for one. 0: never.
  double keep_share = 0;

  // A victim costs devices x (restart + work since its checkpoint); cheaper by this factor for each
  // level it lies below the run that wants its devices; dearer by (1 + age / min 10)^victim_age.
  double victim_level = 1;
  double victim_age = 0;
};

// The policies by name: fifo, skip, easy, conservative, las, fair, las-r.
const std::vector<std::string>& PolicyNames();
// Nothing for an unknown name.
std::optional<Policy> PolicyNamed(absl::string_view name);

// Parameters by name, as configuration and the replay write them; times in seconds. False for an
// unknown name.
const std::vector<std::string>& ParameterNames();
bool SetParameter(absl::string_view name, double value, Policy* policy);

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_POLICY_H_
