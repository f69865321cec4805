// See names.h.
#include "sim/run/names.h"

#include "absl/strings/str_join.h"

namespace trainyard::sim {
namespace {

constexpr std::array<absl::string_view, kFaults> kFaultNames = {"delay",
                                                                "drop",
                                                                "repeat",
                                                                "reorder",
                                                                "partition",
                                                                "one-way",
                                                                "lost-writes",
                                                                "disk-full",
                                                                "sync-fails",
                                                                "slow-disk",
                                                                "clock-drift",
                                                                "clock-jump",
                                                                "scheduler-crash",
                                                                "scheduler-hang",
                                                                "agent-crash",
                                                                "agent-hang",
                                                                "supervisor-crash",
                                                                "node-restart",
                                                                "spot",
                                                                "slow-node",
                                                                "store-away",
                                                                "restore"};
constexpr std::array<absl::string_view, kGuards> kGuardNames = {"fence", "lease", "ack-after-sync",
                                                                "epoch-once", "free-by-release"};

template <class What, size_t kCount>
std::optional<What> Find(const std::array<absl::string_view, kCount>& names,
                         absl::string_view name) {
  for (size_t i = 0; i < kCount; ++i) {
    if (names[i] == name) return static_cast<What>(i);
  }
  return std::nullopt;
}

}  // namespace

absl::string_view NameOf(Fault fault) { return kFaultNames[static_cast<size_t>(fault)]; }
absl::string_view NameOf(Guard guard) { return kGuardNames[static_cast<size_t>(guard)]; }
std::optional<Fault> FaultNamed(absl::string_view name) { return Find<Fault>(kFaultNames, name); }
std::optional<Guard> GuardNamed(absl::string_view name) { return Find<Guard>(kGuardNames, name); }
std::string FaultNames() { return absl::StrJoin(kFaultNames, ", "); }
std::string GuardNames() { return absl::StrJoin(kGuardNames, ", "); }

}  // namespace trainyard::sim
