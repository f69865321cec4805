// The faults and guards of a simulation, by name. Pure; thread-safe.
#ifndef TRAINYARD_SIM_RUN_NAMES_H_
#define TRAINYARD_SIM_RUN_NAMES_H_

#include <array>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace trainyard::sim {

enum class Fault {
  kDelay,            // messages stall for seconds
  kDrop,             // a message is lost, or a connection dies without a word
  kRepeat,           // a message comes twice, the second time late
  kReorder,          // later messages overtake one
  kPartition,        // a node is cut off both ways
  kOneWayPartition,  // a node is heard and does not hear, or the reverse
  kLostWrites,       // a crash in the middle of a commit: durable or not, never acknowledged
  kDiskFull,         // the journal's disk is full for a while
  kSyncFails,        // a sync fails: the scheduler's process ends
  kSlowDisk,         // commits take a second and more
  kClockDrift,       // a machine's clock runs too fast or too slow
  kClockJump,        // a machine's wall clock jumps, also backwards
  kSchedulerCrash,   // at any time and at every fault point
  kSchedulerHang,    // stopped for seconds, then goes on; at any time and at every fault point
  kAgentCrash,       // at any time and at every fault point; its ranks live on
  kAgentHang,        // stopped for longer than its lease while its ranks live; likewise
  kSupervisorCrash,  // the ranks' keeper dies with them, without an exit record
  kNodeRestart,      // power cut: all processes gone, unsynced writes lost
  kSpot,             // a notice, then the node is taken away and comes back later
  kSlowNode,         // everything takes ten times as long
  kStoreAway,        // uploads and downloads fail for a while
  kRestore,          // an old backup is put in the journal's place
};
inline constexpr int kFaults = 22;

enum class Guard {
  kFence,          // facts of an older epoch are refused
  kLease,          // ranks of a strict run stop before their node's lease ends
  kAckAfterSync,   // replies wait until their events are durable
  kEpochOnce,      // the incarnation rises also when an old backup was put in place
  kFreeByRelease,  // devices become free by the release of the member, not by the verdict
};
inline constexpr int kGuards = 5;

absl::string_view NameOf(Fault fault);
absl::string_view NameOf(Guard guard);  // as after --guard-off
std::optional<Fault> FaultNamed(absl::string_view name);
std::optional<Guard> GuardNamed(absl::string_view name);
// "a, b, c", for messages.
std::string FaultNames();
std::string GuardNames();

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_NAMES_H_
