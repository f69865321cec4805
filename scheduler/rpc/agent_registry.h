// The control streams of connected agents, by node: the runtime's link to them. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_RPC_AGENT_REGISTRY_H_
#define TRAINYARD_SCHEDULER_RPC_AGENT_REGISTRY_H_

#include <map>
#include <memory>
#include <string>

#include "common/mutex.h"
#include "scheduler/runtime/runtime.h"
#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::rpc {

// One agent's stream, as the registry needs it.
class AgentStream {
 public:
  virtual ~AgentStream() = default;
  virtual bool Send(const agent::v1::SchedulerMessage& message) = 0;
  // Another stream of the same node took over.
  virtual void Replaced() = 0;
  // Ends when its token opens nothing any more.
  virtual void LookAgain() = 0;
};

class AgentRegistry : public runtime::AgentLink {
 public:
  bool Send(const std::string& node_id, const agent::v1::SchedulerMessage& message) override;
  // The newest stream of a node is the one that counts; an older one is told and ends.
  void Register(const std::string& node_id, const std::shared_ptr<AgentStream>& stream);
  // True when `stream` was the one that counts.
  bool Remove(const std::string& node_id, const AgentStream* stream);
  // Keys were revoked: streams that came with one of them end.
  void LookAgain();

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<AgentStream>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_AGENT_REGISTRY_H_
