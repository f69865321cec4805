// See sim_journal.h.
#include "sim/run/sim_journal.h"

#include <algorithm>

namespace trainyard::sim {

absl::StatusOr<journal::Recovered> SimJournal::Recover() {
  absl::StatusOr<journal::Recovered> recovered = memory_->Recover();
  if (!recovered.ok()) return recovered;
  const uint64_t own = recovered->incarnation;
  if (has_mark_) recovered->incarnation = std::max(own, mark_ + 1);
  mark_ = std::max(mark_, recovered->incarnation);
  jump_ = recovered->incarnation - own;
  return recovered;
}

}  // namespace trainyard::sim
