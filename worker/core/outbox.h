// Facts that the scheduler has not acknowledged as durable, in order of their sequence numbers,
// which rise by one and are never reused. Pure; thread-compatible.
#ifndef TRAINYARD_WORKER_CORE_OUTBOX_H_
#define TRAINYARD_WORKER_CORE_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "trainyard/agent/v1/agent.pb.h"
#include "worker/core/member_id.h"

namespace trainyard::worker {

class Outbox {
 public:
  // What a restarted agent read from its disk: unacknowledged facts, the number of the next, and
  // `told`, that of the newest that was acknowledged.
  void Restore(std::vector<agent::v1::Fact> facts, uint64_t next_sequence, uint64_t told);
  // Whether the scheduler had the fact when the agent started. One that is neither told nor among
  // facts() was taken by a power cut.
  bool Told(uint64_t sequence) const { return sequence <= told_; }
  // Gives `fact` its number and keeps it. The reference holds until the next change.
  const agent::v1::Fact& Add(agent::v1::Fact fact);
  // Forgets all up to `sequence`; returns how many.
  int Acknowledge(uint64_t sequence);

  const std::deque<agent::v1::Fact>& facts() const { return facts_; }
  uint64_t next_sequence() const { return next_; }
  uint64_t acknowledged() const { return acknowledged_; }
  // Whether an unacknowledged Exited or Released of `id` is here.
  bool HasEnd(const MemberId& id) const;

 private:
  uint64_t BeforeNext() const;

  std::deque<agent::v1::Fact> facts_;
  uint64_t next_ = 1;
  uint64_t acknowledged_ = 0;
  uint64_t told_ = 0;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_OUTBOX_H_
