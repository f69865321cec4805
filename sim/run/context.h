// What every part of a simulated world shares: options, virtual time, chance, the count of faults,
// the last happenings, and the violation that ends it. Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_CONTEXT_H_
#define TRAINYARD_SIM_RUN_CONTEXT_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/random.h"
#include "sim/run/event_queue.h"
#include "sim/run/names.h"

namespace trainyard::sim {

struct Options {
  uint64_t seed = 1;
  double hours = 1;
  int agents = 8;
  std::set<Fault> faults;
  std::optional<Guard> guard_off;
};

struct Violation {
  std::string what;
  int64_t time_us = 0;
};

class Context {
 public:
  explicit Context(const Options& options);

  EventQueue& queue() { return queue_; }
  int64_t now_us() const { return queue_.now_us(); }
  Random& random() { return random_; }
  const Options& options() const { return options_; }
  bool GuardOff(Guard guard) const { return options_.guard_off == guard; }

  bool Enabled(Fault fault) const { return enabled_[static_cast<size_t>(fault)] && !calm_; }
  void Count(Fault fault) { ++counts_[static_cast<size_t>(fault)]; }
  uint64_t count(Fault fault) const { return counts_[static_cast<size_t>(fault)]; }
  // Whether a fault that may come with every occasion comes now; then it is counted.
  bool Strikes(Fault fault, double probability);
  // The same at a named place of a process, which may die or hang there. Places that were passed
  // are counted; `point` outlives the world.
  enum class Strike { kNone, kCrash, kHang };
  Strike StrikesAt(const char* point, Fault crash, Fault hang);
  // By place: how often it was passed, and struck.
  std::map<std::string, std::pair<uint64_t, uint64_t>> points() const;
  // From now on nothing breaks any more.
  void Calm() { calm_ = true; }
  bool calm() const { return calm_; }

  // Remembers a happening; `what` outlives the world.
  void Note(const char* what, int64_t node, uint64_t a = 0, uint64_t b = 0);
  // The last happenings, oldest first.
  std::vector<std::string> LastNotes() const;
  // The first one ends the run.
  void Violate(const std::string& what);
  const std::optional<Violation>& violation() const { return violation_; }

 private:
  struct Remark {
    int64_t time_us = 0;
    const char* what = "";
    int64_t node = -1;
    uint64_t a = 0;
    uint64_t b = 0;
  };
  static constexpr size_t kRemarks = 64;

  const Options options_;
  EventQueue queue_;
  Random random_;
  std::array<bool, kFaults> enabled_ = {};
  std::array<uint64_t, kFaults> counts_ = {};
  absl::flat_hash_map<const char*, std::pair<uint64_t, uint64_t>> points_;  // see points()
  std::array<Remark, kRemarks> remarks_;
  uint64_t next_remark_ = 0;
  bool calm_ = false;
  std::optional<Violation> violation_;
};

inline constexpr int64_t kMilli = 1000;
inline constexpr int64_t kSecond = 1'000'000;

// "n3".
std::string NodeName(int node);

// Between, both included.
inline int64_t Between(Random* random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random->Below(static_cast<uint64_t>(high - low + 1)));
}
// Exponential with that mean, in micros.
int64_t Exponential(Random* random, double mean_us);

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_CONTEXT_H_
