// The scheduler's ends of control streams, as rpc/control_stream.cc and agent_registry.cc have
// them; see scheduler_process.h.
#include <utility>

#include "sim/run/scheduler_process.h"

namespace trainyard::sim {

void SchedulerProcess::Arrive(const StreamPtr& stream,
                              std::shared_ptr<agent::v1::AgentMessage> message) {
  if (stream->scheduler_life != life_) return;
  Run(life_, [this, stream, message = std::move(message)] {
    if (stream->server_closed) return;
    switch (message->body_case()) {
      case agent::v1::AgentMessage::kHello:
        return OnHello(stream, message->hello());
      case agent::v1::AgentMessage::kHeartbeat:
        return OnHeartbeat(stream, message->heartbeat());
      case agent::v1::AgentMessage::kFact:
        return OnFact(stream, message->fact());
      case agent::v1::AgentMessage::kDesiredAck:
        return stream->order.Acknowledged(message->desired_ack().version(), clock_.Monotonic());
      case agent::v1::AgentMessage::kDaemonRefused:
      case agent::v1::AgentMessage::BODY_NOT_SET:
        return;
    }
  });
}

void SchedulerProcess::OnHello(const StreamPtr& stream, const agent::v1::Hello& hello) {
  if (std::exchange(stream->greeted, true)) return Close(stream);
  stream->order.Begin(hello.first_unacked_fact());
  const std::string& node_id = hello.inventory().node_id();
  StreamPtr& registered = streams_[node_id];
  if (registered != nullptr) registered->server_closed = true;
  registered = stream;
  stream->session = ++sessions_;
  auto copy = std::make_shared<agent::v1::Hello>(hello);
  if (context_->GuardOff(Guard::kFreeByRelease)) ForgetEndedMembers(copy.get());
  Post(kFacts, [=, this](runtime::Engine* engine) {
    engine->Connect(node_id, stream->session, *copy,
                    [=, this](absl::StatusOr<agent::v1::Welcome> welcome) {
                      if (stream->server_closed || !MaySay()) return;
                      if (!welcome.ok()) return Close(stream);
                      agent::v1::SchedulerMessage message;
                      *message.mutable_welcome() = *std::move(welcome);
                      stream->welcomed = true;
                      stream->order.Told(message.welcome().version(), clock_.Monotonic());
                      Down(stream, std::move(message));
                    });
  });
}

void SchedulerProcess::OnHeartbeat(const StreamPtr& stream, const agent::v1::Heartbeat& heartbeat) {
  if (!stream->welcomed) return;
  const std::string node_id = NodeName(stream->node);
  if (!engine_->leases().Renew(node_id, clock_.Monotonic(), engine_->options().lease)) {
    return Close(stream);
  }
  if (stream->order.Lags(clock_.Monotonic())) return Close(stream);
  agent::v1::SchedulerMessage message;
  message.mutable_lease_renewed()->set_sequence(heartbeat.sequence());
  Down(stream, std::move(message));
}

void SchedulerProcess::OnFact(const StreamPtr& stream, agent::v1::Fact fact) {
  if (!stream->greeted || !stream->order.TakeFact(fact.sequence())) return Close(stream);
  if (context_->GuardOff(Guard::kFence)) ForgetEpoch(&fact);
  core::Command command;
  command.principal.name = NodeName(stream->node);
  command.principal.role = v1::AGENT;
  command.body = core::AgentFact{command.principal.name, std::move(fact)};
  auto owned = std::make_shared<core::Command>(std::move(command));
  Post(kFacts, [owned](runtime::Engine* engine) { engine->Execute(std::move(*owned), nullptr); });
}

// Of the end of a stream the server learns as its handler does: the node has no session any more.
void SchedulerProcess::Broken(const StreamPtr& stream) {
  if (stream->scheduler_life != life_) return;
  Run(life_, [this, stream] {
    if (!stream->server_closed) Close(stream);
  });
}

void SchedulerProcess::Close(const StreamPtr& stream) {
  stream->server_closed = true;
  if (network_->Reaches(stream->node, Way::kDown)) network_->BreakSoon(stream);
  const std::string node_id = NodeName(stream->node);
  const auto registered = streams_.find(node_id);
  if (registered == streams_.end() || registered->second != stream) return;
  streams_.erase(registered);
  // The thread that tells of the end may be late: the node may have connected anew before.
  After(Between(&context_->random(), 1, kMilli), Kind::kTimer, [=, this] {
    Post(kFacts, [=](runtime::Engine* engine) { engine->Disconnect(node_id, stream->session); });
  });
}

bool SchedulerProcess::Send(const std::string& node_id,
                            const agent::v1::SchedulerMessage& message) {
  const auto registered = streams_.find(node_id);
  if (registered == streams_.end() || !registered->second->welcomed || !MaySay()) return false;
  if (message.has_delta()) {
    registered->second->order.Told(message.delta().version(), clock_.Monotonic());
  }
  Down(registered->second, message);
  return true;
}

void SchedulerProcess::Down(const StreamPtr& stream, agent::v1::SchedulerMessage message) {
  auto shared = std::make_shared<agent::v1::SchedulerMessage>(std::move(message));
  network_->Send(stream, Way::kDown, [this, stream, shared] { at_agent_(stream, *shared); });
}

// The fence is off: whatever epoch a fact has, it is taken for the current one's.
void SchedulerProcess::ForgetEpoch(agent::v1::Fact* fact) const {
  const auto run = engine_->state().runs.find(fact->key().run_uid());
  if (run == engine_->state().runs.end()) return;
  fact->mutable_key()->set_epoch(run->second->attempt().epoch());
}

// The release guard is off: members whose attempt is over are not looked for.
void SchedulerProcess::ForgetEndedMembers(agent::v1::Hello* hello) const {
  agent::v1::Hello kept = *hello;
  kept.clear_members();
  for (const agent::v1::MemberReport& report : hello->members()) {
    const auto run = engine_->state().runs.find(report.key().run_uid());
    const bool current = run != engine_->state().runs.end() &&
                         run->second->attempt().epoch() == report.key().epoch() &&
                         run->second->attempt().end_us() == 0;
    if (current) *kept.add_members() = report;
  }
  *hello = std::move(kept);
}

}  // namespace trainyard::sim
