// The simulated network: streams between agents and the scheduler (gRPC's control streams) and
// single messages (calls of users, telemetry). A stream keeps its order unless a fault breaks it;
// it may die in one direction without a word to either end. Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_NETWORK_H_
#define TRAINYARD_SIM_RUN_NETWORK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "scheduler/runtime/session_order.h"
#include "sim/run/context.h"

namespace trainyard::sim {

enum class Way { kUp, kDown };  // to the scheduler, to the node

// One connection of an agent. Each end keeps its own flags here.
struct Stream {
  int node = 0;
  uint64_t scheduler_life = 0;
  uint64_t agent_life = 0;
  uint64_t session = 0;  // the scheduler's number of it
  bool agent_closed = false;
  bool server_closed = false;
  bool greeted = false;         // the scheduler has read its hello
  bool welcomed = false;        // the scheduler has sent its welcome
  runtime::SessionOrder order;  // the scheduler's
  bool lost[2] = {false, false};
  int64_t last_us[2] = {0, 0};
};
using StreamPtr = std::shared_ptr<Stream>;

class Network {
 public:
  using Deliver = std::function<void()>;
  using Breaks = std::function<void(const StreamPtr&)>;

  Network(Context* context, int nodes) : context_(context), nodes_(static_cast<size_t>(nodes)) {}
  // Called when the ends of a dead stream would notice, in their own time.
  void OnBreak(Breaks at_scheduler, Breaks at_agent);

  void Cut(int node, bool up, bool down);
  void Heal(int node) { Cut(node, false, false); }
  void Slow(int node, bool slow) { nodes_[static_cast<size_t>(node)].slow = slow; }
  bool Reaches(int node, Way way) const;

  void Send(const StreamPtr& stream, Way way, Deliver deliver);
  // One message without a stream; `node` -1 for users, who are never cut off.
  void SendAlone(int node, Way way, Deliver deliver);
  // Both ends of the stream learn that it is dead, each in its own time.
  void Break(const StreamPtr& stream);
  // The process at one end is gone and its kernel says so: the other end learns it at once.
  void BreakSoon(const StreamPtr& stream);

 private:
  struct Node {
    bool cut[2] = {false, false};
    bool slow = false;
  };
  int64_t Latency(int node);

  Context* const context_;
  std::vector<Node> nodes_;
  Breaks at_scheduler_;
  Breaks at_agent_;
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_NETWORK_H_
