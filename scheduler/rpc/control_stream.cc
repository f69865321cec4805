// The control stream; see agent_streams.h.
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/api/daemons.h"
#include "scheduler/rpc/agent_streams.h"
#include "scheduler/rpc/auth.h"
#include "scheduler/rpc/duplex_stream.h"
#include "scheduler/runtime/session_order.h"

namespace trainyard::rpc {
namespace {

using Duplex = DuplexStream<agent::v1::AgentMessage, agent::v1::SchedulerMessage>;

// No two streams of this process have the same.
uint64_t NextSession() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

class ControlStream : public Duplex, public AgentStream {
 public:
  ControlStream(const api::Context& context, std::string token, core::Principal principal,
                AgentRegistry* registry, MetricHub* hub)
      : context_(context),
        token_(std::move(token)),
        principal_(std::move(principal)),
        registry_(registry),
        hub_(hub),
        node_id_(principal_.name) {}

  // What comes before the welcome was meant for the session before; the welcome holds it all.
  bool Send(const agent::v1::SchedulerMessage& message) override {
    if (!welcomed_.load(std::memory_order_acquire)) return false;
    if (message.has_delta()) order_.Told(message.delta().version(), Now());
    return Push(message);
  }
  void Replaced() override {
    Close(absl::AbortedError("another connection of this node took over"));
  }
  void LookAgain() override {
    if (const auto caller = api::Identify(context_, token_); !caller.ok()) Close(caller.status());
  }

 protected:
  void Received(agent::v1::AgentMessage* message) override {
    // The key may have been revoked, or have expired, since the stream began.
    if (const auto caller = api::Identify(context_, token_); !caller.ok()) {
      return Close(caller.status());
    }
    switch (message->body_case()) {
      case agent::v1::AgentMessage::kHello:
        return Hello(message->hello());
      case agent::v1::AgentMessage::kHeartbeat:
        return Heartbeat(message->heartbeat());
      case agent::v1::AgentMessage::kFact:
        return Fact(message->mutable_fact());
      case agent::v1::AgentMessage::kDesiredAck:
        return order_.Acknowledged(message->desired_ack().version(), Now());
      case agent::v1::AgentMessage::kDaemonRefused:
        return api::RefuseDaemon(context_, principal_, message->daemon_refused(), registry_);
      case agent::v1::AgentMessage::BODY_NOT_SET:
        return;  // of a later version
    }
  }

  void Ended() override {
    if (registry_->Remove(node_id_, this)) {
      context_.runtime->AgentDisconnected(node_id_, session_);
    }
  }

 private:
  void Hello(const agent::v1::Hello& hello) {
    if (greeted_) return Close(absl::FailedPreconditionError("a second hello on one stream"));
    greeted_ = true;
    if (!hello.inventory().node_id().empty() && hello.inventory().node_id() != node_id_) {
      return Close(MakeError(
          absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
          absl::StrCat("the token is of node \"", node_id_, "\", the agent says it is \"",
                       hello.inventory().node_id(), "\""),
          absl::StrCat("start it with --node_id=", node_id_, ", or join with a new token")));
    }
    order_.Begin(hello.first_unacked_fact());
    // From here on this stream is the node's; an older one that ends now disconnects nobody.
    const std::shared_ptr<Duplex> self = shared_from_this();
    registry_->Register(node_id_, std::shared_ptr<AgentStream>(self, this));
    const std::weak_ptr<Duplex> weak = self;
    context_.runtime->AgentConnected(node_id_, session_, hello,
                                     [this, weak](absl::StatusOr<agent::v1::Welcome> welcome) {
                                       const std::shared_ptr<Duplex> alive = weak.lock();
                                       if (alive == nullptr) return;
                                       if (!welcome.ok()) return Close(welcome.status());
                                       agent::v1::SchedulerMessage message;
                                       *message.mutable_welcome() = *std::move(welcome);
                                       // Deltas come after it, on this same thread; a heartbeat
                                       // may come as soon as the welcome is out.
                                       welcomed_.store(true, std::memory_order_release);
                                       order_.Told(message.welcome().version(), Now());
                                       Push(std::move(message));
                                     });
  }

  void Heartbeat(const agent::v1::Heartbeat& heartbeat) {
    if (!welcomed_.load(std::memory_order_acquire)) return;  // its lease has not begun yet
    if (!context_.runtime->AgentHeartbeat(node_id_)) {
      return Close(absl::AbortedError("the lease was lost; connect anew"));
    }
    if (order_.Lags(Now())) {
      return Close(absl::AbortedError("what the node is to run is not acknowledged; connect anew"));
    }
    agent::v1::SchedulerMessage message;
    message.mutable_lease_renewed()->set_sequence(heartbeat.sequence());
    Push(std::move(message));
  }

  void Fact(agent::v1::Fact* fact) {
    if (!greeted_) return Close(absl::FailedPreconditionError("a fact before the hello"));
    if (!order_.TakeFact(fact->sequence())) {
      return Close(absl::AbortedError("facts before this one are missing; connect anew"));
    }
    // What was measured before the end belongs to the trial's result.
    if (fact->has_exited()) hub_->Flush(fact->key().run_uid());
    core::Command command;
    command.principal = principal_;
    command.body = core::AgentFact{node_id_, std::move(*fact)};
    // Refused, it must not be taken for acknowledged by a later one.
    const std::weak_ptr<Duplex> weak = shared_from_this();
    context_.runtime->Post(std::move(command), [weak](const absl::StatusOr<core::Reply>& reply) {
      const bool refused =
          absl::IsResourceExhausted(reply.status()) || absl::IsUnavailable(reply.status());
      if (!refused) return;
      if (const auto alive = weak.lock()) alive->Close(reply.status());
    });
  }

  absl::Duration Now() const { return context_.clock->Monotonic(); }

  const api::Context context_;
  const std::string token_;
  const core::Principal principal_;
  AgentRegistry* const registry_;
  MetricHub* const hub_;
  const std::string node_id_;
  const uint64_t session_ = NextSession();
  runtime::SessionOrder order_;
  bool greeted_ = false;  // reader's thread alone
  std::atomic<bool> welcomed_{false};
};

}  // namespace

grpc::ServerBidiReactor<agent::v1::AgentMessage, agent::v1::SchedulerMessage>* StartControl(
    const api::Context& context, grpc::CallbackServerContext* call, AgentRegistry* registry,
    MetricHub* hub) {
  absl::StatusOr<api::Identity> caller = CallerOf(context, *call);
  if (!caller.ok()) {
    return new RefusedDuplex<agent::v1::AgentMessage, agent::v1::SchedulerMessage>(caller.status());
  }
  auto stream = std::make_shared<ControlStream>(context, BearerOf(*call),
                                                std::move(caller->principal), registry, hub);
  stream->Begin();
  return stream.get();
}

}  // namespace trainyard::rpc
