// One plan from one snapshot. See placement.h.
#include <algorithm>

#include "scheduler/placement/explain.h"
#include "scheduler/placement/placement.h"
#include "scheduler/placement/planner.h"
#include "scheduler/placement/what_if.h"

namespace trainyard::placement {

void FillPlanner(const Snapshot& snapshot, Planner* planner) {
  planner->SetQuotas(snapshot.quotas);
  for (const NodeView& node : snapshot.nodes) planner->SetNode(node);
  planner->SetReservations(snapshot.reservations);
  for (const OwnerView& owner : snapshot.owners) planner->SetOwner(owner, snapshot.now_us);
  for (const RunningRun& run : snapshot.running) planner->AddRunning(run, snapshot.now_us);
  for (const WaitingRun& run : snapshot.waiting) planner->AddWaiting(run, snapshot.now_us);
  for (const Reservation& reservation : snapshot.reservations) {
    if (reservation.kind == ReservationKind::kGang) planner->AddClaim(reservation);
  }
}

Plan MakePlan(const Snapshot& snapshot, const Policy& policy) {
  Planner planner(policy);
  FillPlanner(snapshot, &planner);
  Plan plan = planner.Decide(snapshot.now_us);
  plan.explanations = Explainer(&planner, snapshot).All();
  AddWhatIfs(snapshot, policy, &plan);
  return plan;
}

}  // namespace trainyard::placement
