// What an agent does about its members, as a pure state machine: messages of the scheduler,
// happenings on this machine and time come in, effects come out, in order. The daemon and the
// simulator perform them.
//  - Desired state is level-triggered: a whole state on connecting, then deltas; every message may
//    come twice. A member that is in no desired state is to be gone.
//  - Nothing is started while the lease has run out, nor while an older epoch of the same run still
//    has processes here, nor twice for one epoch.
//  - A fact is stored before it is sent and stays until acknowledged; it is sent again after every
//    reconnect. Exited and Released are said once per member.
//  - No device serves two members here, whatever is asked for.
//  - A session in which the welcome or an acknowledgement does not come ends, and another begins.
//  - An attempt's folder is removed only after its Exited is acknowledged.
//  - Losing the scheduler stops nothing: the supervisors count their own lease down.
// No thread, clock or I/O: time comes in as `Now`. Thread-compatible.
#ifndef TRAINYARD_WORKER_CORE_AGENT_CORE_H_
#define TRAINYARD_WORKER_CORE_AGENT_CORE_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "worker/core/launch_spec.h"
#include "worker/core/lease.h"
#include "worker/core/member_id.h"
#include "worker/core/outbox.h"

namespace trainyard::worker {

struct Now {
  absl::Duration monotonic;
  int64_t wall_us = 0;  // for display in facts
};

// Effects.
struct SendToScheduler {
  agent::v1::AgentMessage message;
};
struct StoreFact {
  agent::v1::Fact fact;
};  // on disk, before the next effect is performed
struct DropFacts {
  uint64_t through = 0;
};
struct StoreIncarnation {
  uint64_t incarnation = 0;
};
struct StageMember {
  MemberId id;
};  // answer: Staged
struct CancelStaging {
  MemberId id;
};  // no answer
struct LaunchMember {
  MemberId id;
};                   // answer: Started, or Ended
struct StopMember {  // answer: Ended, in time
  MemberId id;
  agent::v1::StopReason reason = agent::v1::STOP_REASON_UNSPECIFIED;
  absl::Duration grace;
};
struct RenewLease {
  MemberId id;
  absl::Duration length;
};
struct PublishMember {
  MemberId id;
};  // upload outputs, flush logs; answer: Published
struct CleanMember {
  MemberId id;
};  // remove the folder; answer: Cleaned
struct Reconnect {
  std::string why;
};  // drop the session and connect again
using Effect = std::variant<SendToScheduler, StoreFact, DropFacts, StoreIncarnation, StageMember,
                            CancelStaging, LaunchMember, StopMember, RenewLease, PublishMember,
                            CleanMember, Reconnect>;

// How a member's processes ended; `started` false: nothing of it ever ran.
struct MemberEnd {
  v1::ExitRecord record;
  bool started = true;
  bool stopped_on_request = false;
  int32_t doubt = 0;  // as ExitReport
  int64_t last_step = 0;
  std::vector<std::string> metrics_seen;
};
MemberEnd EndOf(const ExitReport& report);
// From the order to stop to the killing, as the spec says.
absl::Duration GraceOf(const agent::v1::Assignment& assignment);

class AgentCore {
 public:
  enum class Phase {
    kStaging,
    kPrepared,
    kStarting,
    kRunning,
    kStopping,
    kPublishing,
    kExited,
    kCleaning
  };

  AgentCore(v1::NodeInventory inventory, uint64_t last_incarnation)
      : inventory_(std::move(inventory)), incarnation_(last_incarnation) {}

  // Before the first connect: what the disk says.
  void RestoreFacts(std::vector<agent::v1::Fact> facts, uint64_t next_sequence,
                    uint64_t acknowledged);
  // A member found on disk: kStarting or kRunning with a live supervisor, kPublishing when it ended
  // and its Exited was never made, kExited when it was (`exited_fact`: its number).
  void Adopt(const agent::v1::Assignment& assignment, Phase phase, const MemberEnd& end,
             uint64_t exited_fact, const Now& now);

  // The session.
  void Connected(const Now& now);
  void Disconnected();
  void Receive(const agent::v1::SchedulerMessage& message, const Now& now);

  // Happenings. Each about an unknown member or one in another phase changes nothing.
  void Staged(const MemberId& id, const absl::Status& status, int32_t port, const Now& now);
  void Started(const MemberId& id, int64_t pid, const Now& now);
  void Ended(const MemberId& id, const MemberEnd& end, const Now& now);
  void Published(const MemberId& id, const absl::Status& status,
                 const std::vector<v1::OutputTree>& outputs, const Now& now);
  // What was seen beside the exit record: joins its names and steps. Before Published.
  void MetricsSeen(const MemberId& id, const std::vector<std::string>& names, int64_t last_step);
  void CheckpointDurable(const MemberId& id, int64_t step, const std::string& tree, const Now& now);
  // A checkpoint that was declared could not be stored. Who goes on from an older one is told why,
  // unless a newer one is stored.
  void CheckpointLost(const MemberId& id, int64_t step, const absl::Status& why);
  void Cleaned(const MemberId& id);
  void InventoryChanged(const v1::NodeInventory& inventory, const Now& now);
  // The machine is taken away and the scheduler had its time to say so: what still runs is told to
  // stop as if it were preempted, so that it leaves a checkpoint.
  void Leave(const Now& now);
  void Tick(const Now& now);
  // When Tick has something to do, on the monotonic clock.
  absl::Duration NextTick() const;

  // Effects since the last call, in order.
  std::vector<Effect> TakeEffects();

  const agent::v1::Assignment* FindAssignment(const MemberId& id) const;
  int32_t PortOf(const MemberId& id) const;  // as Staged said; 0 for an unknown member
  std::vector<MemberId> Members() const;
  Phase PhaseOf(const MemberId& id) const;  // of a known member
  absl::Duration lease_length() const { return lease_.length(); }
  // How long the ranks of a member may go on from `now` without another word, before they are told
  // to stop: for strict runs so that they are gone, grace included, when the lease ends; for others
  // what is left of stop_after. Not positive: not at all.
  absl::Duration LeaseLeft(const agent::v1::Assignment& assignment, const Now& now) const;
  // The grace of ranks whose lease has ended: that of the spec, for strict runs at most half a
  // lease.
  absl::Duration LeaseGrace(const agent::v1::Assignment& assignment) const;
  bool welcomed() const { return welcomed_; }
  const v1::NodeInventory& inventory() const { return inventory_; }
  const Outbox& outbox() const { return outbox_; }
  const std::string& store_address() const { return store_address_; }

 private:
  struct Member {
    agent::v1::Assignment assignment;
    Phase phase = Phase::kStaging;
    agent::v1::StopReason stop = agent::v1::STOP_REASON_UNSPECIFIED;
    MemberEnd end;
    int64_t stored_step = -1;  // of the newest checkpoint
    int64_t lost_step = -1;    // of the newest that could not be stored
    std::string lost_why;
    uint64_t exited_fact = 0;
    // Of staging or publishing, and since when its time is counted. Only time with a scheduler
    // counts: without one there may be no store either.
    absl::Duration deadline = absl::InfiniteDuration();
    absl::Duration counted_from = -absl::InfiniteDuration();
    absl::Duration renewed = -absl::InfiniteDuration();  // lease last handed on
    bool told_prepared = false;
    int32_t port = 0;
  };
  struct Wish {
    agent::v1::Want want = agent::v1::WANT_UNSPECIFIED;
    agent::v1::StopReason reason = agent::v1::STOP_REASON_UNSPECIFIED;
  };

  void OnWelcome(const agent::v1::Welcome& welcome, const Now& now);
  void OnDelta(const agent::v1::DesiredDelta& delta, const Now& now);
  void OnFactAck(uint64_t sequence, const Now& now);
  void OnRenewed(uint64_t sequence, const Now& now);
  void TakeWish(const agent::v1::DesiredMember& desired, const Now& now);
  void TakeAssignment(const MemberId& id, const agent::v1::DesiredMember& desired, const Now& now);
  bool IsStale(const MemberId& id) const;
  void Reconcile(const MemberId& id, const Now& now);
  void ReconcileAll(const Now& now);
  void ReconcileUnknown(const MemberId& id, const Wish& wish, const Now& now);
  void MoveOn(const MemberId& id, Member* member, const Wish& wish, const Now& now);
  void StopKnown(const MemberId& id, Member* member, agent::v1::StopReason reason, const Now& now);
  static void SetDeadline(int64_t limit_ms, const Now& now, Member* member);
  void CheckDeadline(const MemberId& id, Member* member, const Now& now);
  bool MayLaunch(const MemberId& id, const Now& now) const;
  void SayExited(const MemberId& id, Member* member, const std::vector<v1::OutputTree>& outputs,
                 const Now& now);
  uint64_t SayEnd(const MemberId& id, agent::v1::Exited exited, const Now& now);
  void SayReleased(const MemberId& id, const Now& now);
  uint64_t Say(agent::v1::Fact fact, const MemberId& id, const Now& now);
  void HandOnLease(const MemberId& id, Member* member, const Now& now);
  void LaunchWaiting(const Now& now);
  bool DevicesFree(const MemberId& id) const;
  void CheckSession(const Now& now);
  void GiveUpSession(const std::string& why);
  void Remember(const MemberId& id);
  void Send(agent::v1::AgentMessage message);

  v1::NodeInventory inventory_;
  uint64_t incarnation_;
  std::string store_address_;
  std::map<MemberId, Member> members_;
  std::map<MemberId, Wish> wishes_;
  std::set<MemberId> ended_;  // said Exited lately; at most 10,000, oldest epochs leave first
  Outbox outbox_;
  Lease lease_;
  bool connected_ = false;
  bool welcomed_ = false;      // in this session
  bool knows_wishes_ = false;  // a whole desired state came since the start
  absl::Duration hello_sent_ = absl::ZeroDuration();
  // When the scheduler last acknowledged facts, or had none to acknowledge, in this session.
  absl::Duration heard_facts_ = absl::ZeroDuration();
  uint64_t version_ = 0;
  std::vector<Effect> effects_;
};

// Of a member that never started: for the reason given, or because it was asked to stop.
MemberEnd RefusedEnd(v1::ExitCause cause, const std::string& message);
MemberEnd StoppedEnd(agent::v1::StopReason reason);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_AGENT_CORE_H_
