// One member's supervisor and its ranks on a simulated node: they work for as long as the program
// says, fail, hang, save checkpoints, measure, stop within the grace, and count their own lease
// down. They live without the agent. Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_SUPERVISOR_H_
#define TRAINYARD_SIM_RUN_SUPERVISOR_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/run/checker.h"
#include "sim/run/context.h"
#include "sim/run/sim_clock.h"
#include "worker/core/agent_core.h"

namespace trainyard::sim {

using AssignmentPtr = std::shared_ptr<const agent::v1::Assignment>;

class Supervisor : public std::enable_shared_from_this<Supervisor> {
 public:
  // What it tells; the agent may be away and look at the flags later.
  struct Listener {
    std::function<void(const worker::MemberId&)> running;
    std::function<void(const worker::MemberId&)> ended;
    std::function<void(const worker::MemberId&, int64_t step)> saved;
    std::function<void(const worker::MemberId&, const v1::Measurement&)> measured;
    std::function<bool()> is_slow;
  };

  Supervisor(Context* context, Checker* checker, SimClock* clock, Listener listener, int node,
             AssignmentPtr assignment);

  // `lease` from now on; at its end the ranks have `lease_grace`.
  void Start(absl::Duration lease, absl::Duration lease_grace);
  void Renew(absl::Duration length);
  void Stop(agent::v1::StopReason reason, absl::Duration grace);
  // Without a record: killed, or the power fails.
  void Die();

  bool ended() const { return ended_; }
  bool announced() const { return announced_; }  // its ranks have started
  const std::vector<int64_t>& saves() const { return saves_; }
  // How it ended; none when it died.
  const std::optional<worker::MemberEnd>& record() const { return record_; }
  const AssignmentPtr& assignment() const { return assignment_; }

 private:
  void After(int64_t delay_us, void (Supervisor::*work)());
  void RanksStart();
  void Progress();
  void CheckLease();
  void CheckKill();
  void End(v1::ExitCause cause);
  v1::ExitCause StoppedCause() const;

  Context* const context_;
  Checker* const checker_;
  SimClock* const clock_;
  const Listener listener_;
  const int node_;
  const AssignmentPtr assignment_;
  const worker::MemberId id_;
  int64_t work_left_us_ = 0;
  v1::ExitCause cause_ = v1::EXIT_CAUSE_UNSPECIFIED;  // how it will end when nobody stops it
  bool hangs_ = false;
  absl::Duration lease_end_;
  absl::Duration lease_grace_;
  absl::Duration kill_ = absl::InfiniteDuration();
  agent::v1::StopReason stop_ = agent::v1::STOP_REASON_UNSPECIFIED;
  bool stopping_ = false;
  bool announced_ = false;
  bool ended_ = false;
  int64_t step_ = 0;
  std::vector<int64_t> saves_;
  std::optional<worker::MemberEnd> record_;
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_SUPERVISOR_H_
