// One plan from one snapshot. See placement.h.
#include <algorithm>
#include <map>
#include <tuple>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "scheduler/placement/explain.h"
#include "scheduler/placement/history.h"
#include "scheduler/placement/placement.h"
#include "scheduler/placement/planner.h"
#include "scheduler/placement/what_if.h"

namespace trainyard::placement {

namespace {

// A run that waits again while its last attempt still holds devices: the holder's own name.
constexpr uint64_t kHolder = uint64_t{1} << 63;

}  // namespace

void FillPlanner(const Snapshot& snapshot, Planner* planner) {
  planner->Reserve(snapshot.waiting.size() + snapshot.running.size());
  planner->SetQuotas(snapshot.quotas);
  for (const NodeView& node : snapshot.nodes) planner->SetNode(node);
  planner->SetReservations(snapshot.reservations);
  for (const OwnerView& owner : snapshot.owners) planner->SetOwner(owner, snapshot.now_us);
  absl::flat_hash_set<uint64_t> waiting;
  waiting.reserve(snapshot.waiting.size());
  for (const WaitingRun& run : snapshot.waiting) waiting.insert(run.run_uid);
  for (const RunningRun& run : snapshot.running) {
    if (!waiting.contains(run.run_uid)) {
      planner->AddRunning(run, snapshot.now_us);
      continue;
    }
    RunningRun holder = run;
    holder.run_uid |= kHolder;
    holder.owner_uid = 0;  // what it attained is the waiting run's
    holder.stopping = true;
    planner->AddRunning(holder, snapshot.now_us);
  }
  for (const WaitingRun& run : snapshot.waiting) planner->AddWaiting(run, snapshot.now_us);
  for (const Reservation& reservation : snapshot.reservations) {
    if (reservation.kind == ReservationKind::kGang) planner->AddClaim(reservation);
  }
  planner->Recall(snapshot.memory);
}

namespace {

// Run times to expect, by who runs what and how large it is; runs that bring a guess keep it.
class Guesser {
 public:
  Guesser(const RunTimeHistory& history, const Policy& policy)
      : history_(history), policy_(policy) {}
  RunTimeGuess Of(const RunView& run, const std::vector<RankNeeds>& ranks) {
    if (run.guess.known()) return run.guess;
    const int64_t milli = ChargeMilli(ranks, policy_);
    const auto [known, is_new] = guesses_.try_emplace({run.principal, run.name, milli});
    if (is_new) {
      known->second =
          history_.Remaining(run.principal, run.name, static_cast<double>(milli) / 1000, 0);
    }
    return known->second;
  }

 private:
  const RunTimeHistory& history_;
  const Policy& policy_;
  std::map<std::tuple<absl::string_view, absl::string_view, int64_t>, RunTimeGuess> guesses_;
};

void FillGuesses(const Snapshot& snapshot, const Policy& policy, Planner* planner) {
  if (snapshot.history == nullptr || planner->waiting() == 0) return;
  Guesser guesser(*snapshot.history, policy);
  for (const RunningRun& run : snapshot.running) {
    planner->SetGuess(run.run_uid, guesser.Of(run, run.ranks));
  }
  for (const WaitingRun& run : snapshot.waiting) {
    planner->SetGuess(run.run_uid, guesser.Of(run, run.ranks));
  }
}

}  // namespace

Plan MakePlan(const Snapshot& snapshot, const Policy& policy, bool explain) {
  Planner planner(policy);
  return MakePlan(snapshot, &planner, explain);
}

Plan MakePlan(const Snapshot& snapshot, Planner* planner, bool explain) {
  const Policy& policy = planner->policy();
  FillPlanner(snapshot, planner);
  // Backfill asks when runs without a limit will end; the other policies do not look at it.
  const bool backfills = policy.select == Select::kEasy || policy.select == Select::kConservative;
  if (backfills) FillGuesses(snapshot, policy, planner);
  Plan plan = planner->Decide(snapshot.now_us);
  plan.reservations = planner->Claims();
  plan.memory = planner->Memory();
  if (!explain) return plan;
  if (!backfills) FillGuesses(snapshot, policy, planner);
  plan.explanations = Explainer(planner, snapshot).All();
  return plan;
}

}  // namespace trainyard::placement
