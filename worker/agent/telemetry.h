// Logs and metrics of all members on their way to the scheduler, over a stream of their own, so
// that no log ever stands before a heartbeat. What is not acknowledged is sent again on the next
// stream; offsets make that harmless. At most 32 batches or 4 MiB are in flight: what comes
// meanwhile stays in the files. Loop thread only.
#ifndef TRAINYARD_WORKER_AGENT_TELEMETRY_H_
#define TRAINYARD_WORKER_AGENT_TELEMETRY_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "trainyard/agent/v1/agent.pb.h"
#include "worker/agent/event_loop.h"
#include "worker/agent/tail.h"
#include "worker/core/member_id.h"

namespace trainyard::worker {

class Telemetry {
 public:
  // `send` puts one batch on the stream; it is dropped there when no stream is open.
  using Send = std::function<void(const agent::v1::TelemetryBatch&)>;
  Telemetry(EventLoop* loop, Send send) : loop_(loop), send_(std::move(send)) {}

  void Add(const MemberId& id, const std::string& folder, const agent::v1::Assignment& assignment);
  // Something was appended to a file of `id`.
  void Poke(const MemberId& id);
  // The member has ended: sends what is left and calls `done` once all of it is acknowledged, or
  // after `limit`.
  void Finish(const MemberId& id, absl::Duration limit, std::function<void()> done);
  // Whether something of an ended member is not acknowledged yet. False before Finish().
  bool Unsent(const MemberId& id) const;
  void Remove(const MemberId& id);
  // nullptr for an unknown member.
  const Tail* FindTail(const MemberId& id) const;

  void OnConnected();  // a new stream
  void OnDisconnected();
  void OnAck(uint64_t sequence);

 private:
  struct Entry {
    std::unique_ptr<Tail> tail;
    int in_flight = 0;
    bool finishing = false;
    bool ended = false;  // the last batch is made
    uint64_t timer = 0;
    std::function<void()> done;
  };
  struct Flight {
    agent::v1::TelemetryBatch batch;
    MemberId id;
    int64_t bytes = 0;
  };

  void Pump();
  bool PumpOne(const MemberId& id, Entry* entry);
  void Launch(const MemberId& id, Entry* entry, agent::v1::TelemetryBatch batch);
  void FlushPartial();
  void CheckDone(const MemberId& id);
  bool Full() const;

  EventLoop* const loop_;
  const Send send_;
  std::map<MemberId, Entry> entries_;
  std::set<MemberId> dirty_;
  std::deque<Flight> flights_;  // unacknowledged, by sequence
  int64_t bytes_ = 0;
  uint64_t next_sequence_ = 1;
  bool connected_ = false;
  std::set<MemberId> partial_;  // with an unfinished line
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_TELEMETRY_H_
