// What becomes of nodes by the clock: a drain's deadline, a machine that goes away, a reservation
// that begins or is over. What still runs there is preempted with its grace, so that it leaves a
// checkpoint. See settings.h.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "scheduler/core/attempt_machine.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

constexpr char kDrained[] = "drained before its machine was to go away";

void PreemptAll(const std::string& node_id, absl::string_view why, Draft* draft) {
  for (const uint64_t uid : draft->RunsOn(node_id)) {
    PreemptRun(uid, wire::STOP_PREEMPT, absl::StrCat("node ", node_id, " ", why), draft);
  }
}

// The deadline has done its work: the node goes on draining, and no deadline is left.
void DrainIsDue(const records::AgentRow& agent, Draft* draft) {
  const bool leaves = LeavesAtUs(agent) > 0 && LeavesAtUs(agent) - kLeaveAheadUs <= draft->now_us();
  records::Event event;
  records::NodeDrainSet* drain = event.mutable_node_drain_set();
  drain->set_node_id(agent.node_id());
  drain->set_draining(true);
  // What somebody drained stays drained when the machine stays after all: see TakeInventory.
  const std::string asked = agent.reason().empty() && leaves ? kDrained : agent.reason();
  drain->set_reason(agent.draining() ? asked : leaves ? kGoesAway : "");
  drain->set_leaving(leaves);
  draft->Emit(std::move(event));
  PreemptAll(agent.node_id(), leaves ? "goes away" : "is drained, and its deadline is over", draft);
}

bool Covers(const v1::Reservation& reservation, const std::string& node_id) {
  if (reservation.nodes().empty()) return true;
  for (const std::string& node : reservation.nodes()) {
    if (node == node_id) return true;
  }
  return false;
}

void ReservationIsDue(const records::SettingRow& row, Draft* draft) {
  const v1::Reservation& reservation = row.reservation();
  if (reservation.end_time().seconds() * kSecondUs <= draft->now_us()) {
    records::Event event;
    event.mutable_setting_deleted()->set_key(row.key());
    return draft->EmitUnread(std::move(event));
  }
  records::Event event;
  *event.mutable_setting_set()->mutable_setting() = row;
  event.mutable_setting_set()->mutable_setting()->set_begun(true);
  draft->EmitUnread(std::move(event));
  for (const auto& [node_id, agent] : draft->state().agents) {
    if (!Covers(reservation, node_id)) continue;
    PreemptAll(node_id,
               absl::StrCat("is reserved (", absl::StripPrefix(row.key(), "reservations/"), ")"),
               draft);
  }
}

}  // namespace

int64_t LeavesAtUs(const records::AgentRow& agent) {
  if (!agent.inventory().has_available_until()) return 0;
  return agent.inventory().available_until().seconds() * kSecondUs;
}

void TakeInventory(const v1::NodeInventory& inventory, records::AgentRow* agent) {
  const bool later =
      !inventory.has_available_until() ||
      inventory.available_until().seconds() > agent->inventory().available_until().seconds();
  if (agent->leaving() && later) {
    agent->set_leaving(false);
    if (agent->reason() == kGoesAway) {
      agent->set_draining(false);
      agent->clear_reason();
    }
  }
  *agent->mutable_inventory() = inventory;
}

const v1::Reservation* ReservationInTheWay(const State& state, const std::string& node_id,
                                           int64_t now_us, int64_t until_us) {
  const v1::Reservation* first = nullptr;
  for (auto it = state.settings.lower_bound("reservations/");
       it != state.settings.end() && it->second->has_reservation(); ++it) {
    const v1::Reservation& reservation = it->second->reservation();
    if (reservation.end_time().seconds() * kSecondUs <= now_us) continue;
    if (reservation.start_time().seconds() * kSecondUs >= until_us) continue;
    if (!Covers(reservation, node_id)) continue;
    if (first == nullptr || reservation.start_time().seconds() < first->start_time().seconds()) {
      first = &reservation;
    }
  }
  return first;
}

void SettingsAreDue(Draft* draft) {
  std::vector<std::string> due;
  for (const auto& [time_us, key] : draft->state().cluster_deadlines) {
    if (time_us > draft->now_us()) break;
    due.push_back(key);
  }
  for (const std::string& key : due) {
    if (const SettingPtr row = draft->Setting(key); row != nullptr) {
      ReservationIsDue(*row, draft);
    } else if (const AgentPtr agent = draft->Agent(std::string(absl::StripPrefix(key, "nodes/")));
               agent != nullptr) {
      DrainIsDue(*agent, draft);
    }
  }
}

}  // namespace trainyard::core
