// Decide, Apply, Demand: the whole policy of lives (job over run over attempt over member; study
// over trial).
//  - Decide says whether a wish may happen and which facts follow; it holds the policy and the
//  access rule.
//  - Apply folds one fact into the state, without policy; it also folds events of older binaries.
//  - Demand says what the state asks of the agents; it may be asked at any time, also after a
//  restart.
//  - All are pure: no clock, thread, file or socket. A fact about an epoch other than the current
//  one changes nothing.
#ifndef TRAINYARD_SCHEDULER_CORE_CORE_H_
#define TRAINYARD_SCHEDULER_CORE_CORE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/core/command.h"
#include "scheduler/core/state.h"

namespace trainyard::core {

struct Decision {
  std::vector<journal::v1::Event> events;  // sequence is given at append
  Reply reply;
  bool ignored_fact =
      false;  // a fact that made no sense (old epoch, unknown member): nothing changed
  std::vector<Refusal> refusals = {};  // of an ApplyPlan
};
absl::StatusOr<Decision> Decide(const State& state, const Command& command);

// `event.sequence` must be state->sequence + 1. Adds to `touched` what changed.
void Apply(const journal::v1::Event& event, State* state, Touched* touched);

// Desired members of one run, by node. Attempt token and store address are left empty for the
// caller to fill.
struct NodeDemand {
  std::string node_id;
  agent::v1::DesiredMember member;
};
std::vector<NodeDemand> DemandOfRun(const State& state, uint64_t run_uid);
// The whole desired state of a node, for a connecting agent.
std::vector<agent::v1::DesiredMember> DemandOfNode(const State& state, const std::string& node_id);

// Earliest wall time (micros) at which Tick would decide something; INT64_MAX when never.
int64_t NextDeadline(const State& state);

// How many more suggestions each live study wants now (ahead of need); empty when none.
struct SuggestionNeed {
  uint64_t study_uid = 0;
  int32_t first_trial = 0;
  int count = 0;
};
std::vector<SuggestionNeed> NeededSuggestions(const State& state);

// The access rule, used by Decide for writes and by api on the view for reads.
enum class Action { kRead, kSubmit, kChange, kAdminister, kAgent, kReport };
// `owner`: principal that made the thing, "" where nobody did. PERMISSION_DENIED says which role is
// needed.
absl::Status CheckAccess(const Principal& principal, Action action, absl::string_view project,
                         absl::string_view owner);

// Every broken invariant, in words; empty when all hold. Asked after every event in tests and
// simulation.
std::vector<std::string> CheckInvariants(const State& state);

// Hash over all entities: equal states give equal hashes whatever the order of insertion.
std::string StateHash(const State& state);

// Fills every index of a state whose entities were loaded from rows (jobs, specs, runs, studies,
// trials, agents, tokens, requests, server, sequence).
void RebuildIndexes(State* state);

// Whether a terminal job may leave memory (its rows stay in the journal's rows).
bool MayForget(const State& state, uint64_t job_uid);
void Forget(uint64_t job_uid, State* state);
// Takes a study with its trials out of the state; its name and its job stay.
void ForgetStudy(uint64_t study_uid, State* state);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_CORE_H_
