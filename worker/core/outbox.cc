// See outbox.h.
#include "worker/core/outbox.h"

#include <algorithm>
#include <utility>

namespace trainyard::worker {

void Outbox::Restore(std::vector<agent::v1::Fact> facts, uint64_t next_sequence, uint64_t told) {
  facts_.assign(std::make_move_iterator(facts.begin()), std::make_move_iterator(facts.end()));
  next_ = std::max<uint64_t>(1, next_sequence);
  if (!facts_.empty()) next_ = std::max(next_, facts_.back().sequence() + 1);
  acknowledged_ = BeforeNext();
  told_ = told;
}

// Numbers that a restart of the machine skipped, or a power cut took, are nobody's: whoever waits
// for the fact behind them waits for no others.
uint64_t Outbox::BeforeNext() const {
  return (facts_.empty() ? next_ : facts_.front().sequence()) - 1;
}

const agent::v1::Fact& Outbox::Add(agent::v1::Fact fact) {
  fact.set_sequence(next_++);
  facts_.push_back(std::move(fact));
  return facts_.back();
}

int Outbox::Acknowledge(uint64_t sequence) {
  int forgotten = 0;
  while (!facts_.empty() && facts_.front().sequence() <= sequence) {
    facts_.pop_front();
    ++forgotten;
  }
  if (forgotten > 0) acknowledged_ = BeforeNext();
  return forgotten;
}

bool Outbox::HasEnd(const MemberId& id) const {
  return std::any_of(facts_.begin(), facts_.end(), [&id](const agent::v1::Fact& fact) {
    return (fact.has_exited() || fact.has_released()) && IdOf(fact.key()) == id;
  });
}

}  // namespace trainyard::worker
