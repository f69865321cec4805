// Placings that the core refused although nothing had changed since the plan's snapshot: the
// planner did not know something that the core does. Such a run is planned on other nodes for a
// minute, and left out of plans when none is left, so that the same plan is not made over and over
// and what it would take is there for others. Owner thread.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_REFUSALS_H_
#define TRAINYARD_SCHEDULER_RUNTIME_REFUSALS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "scheduler/core/command.h"
#include "scheduler/placement/placement.h"

namespace trainyard::runtime {

class Refusals {
 public:
  static constexpr int64_t kRememberedUs = 60'000'000;

  // True when it is news, to be logged: not the same run, node and words as before.
  bool Note(const core::Refusal& refusal, int64_t now_us);
  // Keeps the snapshot's runs off the nodes that refused them, and leaves out those that were
  // refused by a node that they were kept off, or by no node in particular.
  void Apply(placement::Snapshot* snapshot);
  // When the next of them is forgotten and a plan may differ; 0: there is none.
  int64_t NextUs() const;
  // What its owner is told meanwhile.
  static placement::Explanation ExplanationOf(const core::Refusal& refusal);

 private:
  struct Entry {
    std::set<std::string> nodes;
    std::set<std::string> words;
    bool left_out = false;
    int64_t until_us = 0;
  };
  std::map<uint64_t, Entry> by_run_;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_REFUSALS_H_
