// See agent_registry.h.
#include "scheduler/rpc/agent_registry.h"

#include <utility>
#include <vector>

namespace trainyard::rpc {

bool AgentRegistry::Send(const std::string& node_id, const agent::v1::SchedulerMessage& message) {
  std::shared_ptr<AgentStream> stream;
  {
    MutexLock lock(&mutex_);
    const auto found = streams_.find(node_id);
    if (found == streams_.end()) return false;
    stream = found->second;
  }
  return stream->Send(message);
}

void AgentRegistry::Register(const std::string& node_id,
                             const std::shared_ptr<AgentStream>& stream) {
  std::shared_ptr<AgentStream> before;
  {
    MutexLock lock(&mutex_);
    before = std::exchange(streams_[node_id], stream);
  }
  if (before != nullptr && before != stream) before->Replaced();
}

bool AgentRegistry::Remove(const std::string& node_id, const AgentStream* stream) {
  std::shared_ptr<AgentStream> last;
  MutexLock lock(&mutex_);
  const auto found = streams_.find(node_id);
  if (found == streams_.end() || found->second.get() != stream) return false;
  last = std::move(found->second);
  streams_.erase(found);
  return true;
}

void AgentRegistry::LookAgain() {
  std::vector<std::shared_ptr<AgentStream>> streams;
  {
    MutexLock lock(&mutex_);
    for (const auto& [node_id, stream] : streams_) streams.push_back(stream);
  }
  for (const std::shared_ptr<AgentStream>& stream : streams) stream->LookAgain();
}

}  // namespace trainyard::rpc
