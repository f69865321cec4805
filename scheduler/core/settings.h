// What administrators set beside tiers and projects: queues, quotas, reservations. One row each
// under its key; set and deleted by commands. Checked here as a whole: a quota fits into its
// parent, a reservation has a beginning before its end.
#ifndef TRAINYARD_SCHEDULER_CORE_SETTINGS_H_
#define TRAINYARD_SCHEDULER_CORE_SETTINGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

inline constexpr size_t kSettingsMax = 10'000;

absl::StatusOr<Reply> PutSetting(const SetSetting& command, Draft* draft);
absl::StatusOr<Reply> DropSetting(const DeleteSetting& command, Draft* draft);
absl::StatusOr<Reply> ChangeProject(const SetProject& command, Draft* draft);

// "queues/night".
std::string QueueKey(absl::string_view queue);
std::vector<std::string> QueueNames(const State& state);

// Quotas form a tree: "quotas/cluster" over "quotas/teams/{t}" over "quotas/projects/{p}" over
// "quotas/projects/{p}/users/{u}"; a project without a team hangs below the cluster.
std::string ParentOfQuota(absl::string_view key, const State& state);

// The first reservation that keeps a run off the node from now to `until_us`, null when none does.
const v1::Reservation* ReservationInTheWay(const State& state, const std::string& node_id,
                                           int64_t now_us, int64_t until_us);

// How long before a machine goes away its work is preempted: time for the last checkpoint.
inline constexpr int64_t kLeaveAheadUs = 2 * kMinuteUs;
// When the node's machine goes away; 0: it stays.
int64_t LeavesAtUs(const records::AgentRow& agent);
// The reason of a drain that nobody asked for: its machine leaves.
inline constexpr char kGoesAway[] = "its machine goes away";
// Takes the inventory that the node told. A node that drained because its machine was about to
// leave takes work again when that is off, or later.
void TakeInventory(const v1::NodeInventory& inventory, records::AgentRow* agent);

// Acts on drains, leaving machines and reservations that are due: what still runs there is
// preempted.
void SettingsAreDue(Draft* draft);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_SETTINGS_H_
