// A scene for AgentCore in a few lines: time, a scheduler's messages, this machine's happenings,
// and effects as short texts ("stage 1-1-0", "fact exited 1-1-0 CANCELLED_CAUSE"). A fact's text is
// that of its storing; its sending is left out unless a test asks.
#ifndef TRAINYARD_TESTS_WORKER_CORE_AGENT_SCENE_H_
#define TRAINYARD_TESTS_WORKER_CORE_AGENT_SCENE_H_

#include <memory>
#include <string>
#include <vector>

#include "worker/core/agent_core.h"

namespace trainyard::worker {

class AgentScene {
 public:
  explicit AgentScene(uint64_t last_incarnation = 0);

  AgentCore& core() { return *core_; }
  Now now() const { return {time_, 1000}; }
  void Pass(absl::Duration time) { time_ += time; }
  // A new core on what the old one's disk holds: unacknowledged facts.
  void RestartAgent(uint64_t last_incarnation = 1);

  // The session. Each returns the effects.
  std::vector<std::string> Connect(const std::vector<agent::v1::DesiredMember>& desired = {},
                                   uint64_t incarnation = 1);
  std::vector<std::string> Welcome(const std::vector<agent::v1::DesiredMember>& desired,
                                   uint64_t incarnation = 1);
  std::vector<std::string> Disconnect();
  std::vector<std::string> Delta(const std::vector<agent::v1::DesiredMember>& set,
                                 const std::vector<MemberId>& remove = {});
  std::vector<std::string> Ack(uint64_t sequence);
  std::vector<std::string> AckAll();
  std::vector<std::string> Renew(uint64_t sequence);
  std::vector<std::string> Tick();

  // Happenings.
  std::vector<std::string> Staged(const MemberId& id,
                                  const absl::Status& status = absl::OkStatus());
  std::vector<std::string> Started(const MemberId& id);
  std::vector<std::string> Ended(const MemberId& id, v1::ExitCause cause = {});
  std::vector<std::string> Published(const MemberId& id,
                                     const absl::Status& status = absl::OkStatus());
  std::vector<std::string> Cleaned(const MemberId& id);
  // From the order to the running program.
  void BringUp(const MemberId& id);

  std::vector<std::string> Effects();
  // Raw effects of the last call.
  const std::vector<Effect>& raw() const { return raw_; }

  int64_t lease_ms = 10000;
  int64_t heartbeat_ms = 1000;
  uint64_t version = 0;

 private:
  std::unique_ptr<AgentCore> core_;
  absl::Duration time_ = absl::Seconds(100);
  std::vector<Effect> raw_;
};

agent::v1::Assignment AssignmentOf(const MemberId& id);
agent::v1::DesiredMember WantRun(const MemberId& id);
agent::v1::DesiredMember WantPrepared(const MemberId& id);
agent::v1::DesiredMember WantStopped(const MemberId& id,
                                     agent::v1::StopReason reason = agent::v1::STOP_CANCEL);
std::string TextOf(const Effect& effect);

}  // namespace trainyard::worker

#endif  // TRAINYARD_TESTS_WORKER_CORE_AGENT_SCENE_H_
