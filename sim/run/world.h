// A simulated world: a scheduler, its agents, their nodes, users and faults in one thread under one
// seed. The same options give the same history, event by event.
#ifndef TRAINYARD_SIM_RUN_WORLD_H_
#define TRAINYARD_SIM_RUN_WORLD_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/run/context.h"

namespace trainyard::sim {

struct Report {
  uint64_t seed = 0;
  double simulated_hours = 0;
  uint64_t events = 0;
  std::map<std::string, uint64_t> events_by_kind;
  std::map<std::string, uint64_t> faults;
  // Named places of the processes: how often passed, how often died at.
  std::map<std::string, std::pair<uint64_t, uint64_t>> points;
  std::map<std::string, uint64_t> answers;  // by what users asked for; refusals are none
  uint64_t submits = 0;
  uint64_t publications = 0;
  uint64_t stale_publications_refused = 0;
  uint64_t recoveries = 0;
  std::string state_hash;    // of all entities at the end
  std::string history_hash;  // of all events, in order
  std::optional<Violation> violation;
  std::vector<std::string> last_events;  // before the violation
};

// Plays `options.hours` with faults, then mends everything and waits until all work has ended.
Report Play(const Options& options);

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_WORLD_H_
