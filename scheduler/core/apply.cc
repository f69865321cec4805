// Apply: one event into the state. See core.h.
#include "absl/base/internal/raw_logging.h"
#include "scheduler/core/core.h"
#include "scheduler/core/fold.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {

void Apply(const journal::v1::Event& event, State* state, Touched* touched) {
  ABSL_RAW_CHECK(event.sequence() == state->sequence + 1, "events must be applied in order");
  state->sequence = event.sequence();
  StateRows rows(state, touched);
  Fold(event, &rows);
  rows.PruneRequests(event.time_us());
}

void Touched::Merge(const Touched& other) {
  jobs.insert(other.jobs.begin(), other.jobs.end());
  runs.insert(other.runs.begin(), other.runs.end());
  studies.insert(other.studies.begin(), other.studies.end());
  trials.insert(other.trials.begin(), other.trials.end());
  agents.insert(other.agents.begin(), other.agents.end());
  tokens.insert(other.tokens.begin(), other.tokens.end());
  requests.insert(other.requests.begin(), other.requests.end());
  setting_keys.insert(other.setting_keys.begin(), other.setting_keys.end());
  ledger_keys.insert(other.ledger_keys.begin(), other.ledger_keys.end());
  settings |= other.settings;
  server |= other.server;
}

}  // namespace trainyard::core
