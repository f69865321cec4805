// An agent as seen by the scheduler: a real client of the control stream that does what a test
// says. One thread.
#ifndef TRAINYARD_TESTS_SCHEDULER_RPC_FAKE_AGENT_H_
#define TRAINYARD_TESTS_SCHEDULER_RPC_FAKE_AGENT_H_

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>

#include "tests/scheduler/rpc/harness.h"
#include "trainyard/agent/v1/agent.grpc.pb.h"

namespace trainyard::rpc {

class FakeAgent {
 public:
  FakeAgent(Harness* harness, const std::string& token)
      : stub_(agent::v1::AgentService::NewStub(harness->channel())),
        call_(Harness::Call(token)),
        stream_(stub_->Control(call_.get())) {}
  ~FakeAgent() { Leave(); }

  agent::v1::Welcome Hello(const std::string& node_id, int cores) {
    agent::v1::AgentMessage message;
    v1::NodeInventory* inventory = message.mutable_hello()->mutable_inventory();
    inventory->set_node_id(node_id);
    inventory->set_hostname(node_id);
    inventory->set_boot_id("boot");
    inventory->set_cores(cores);
    inventory->set_memory_bytes(int64_t{8} << 30);
    inventory->set_address("127.0.0.1");
    inventory->add_capabilities("launcher.daemon");
    stream_->Write(message);
    agent::v1::SchedulerMessage answer;
    while (stream_->Read(&answer)) {
      if (!answer.has_welcome()) continue;
      for (const auto& member : answer.welcome().desired()) desired_.push_back(member);
      return answer.welcome();
    }
    left_ = true;
    ended_ = stream_->Finish();
    return {};
  }

  // An agent counts its facts on over its connections: `sequence` was the last of the one before.
  void ContinueFacts(uint64_t sequence) { fact_ = sequence; }
  uint64_t last_fact() const { return fact_; }

  // The next desired member that is set; reads on until one comes.
  agent::v1::DesiredMember NextDesired() {
    while (desired_.empty()) {
      agent::v1::SchedulerMessage message;
      if (!Read(&message)) {
        ADD_FAILURE() << "the stream ended while a desired state was awaited";
        return {};
      }
    }
    agent::v1::DesiredMember member = desired_.front();
    desired_.pop_front();
    return member;
  }

  // The next order to start a daemon of mpirun; reads on until one comes.
  agent::v1::StartDaemon NextDaemon() {
    while (daemons_.empty()) {
      agent::v1::SchedulerMessage message;
      if (!Read(&message)) {
        ADD_FAILURE() << "the stream ended while a daemon's order was awaited";
        return {};
      }
    }
    agent::v1::StartDaemon order = daemons_.front();
    daemons_.pop_front();
    return order;
  }
  void RefuseDaemon(const agent::v1::MemberKey& key, const std::string& why) {
    agent::v1::AgentMessage message;
    *message.mutable_daemon_refused()->mutable_key() = key;
    message.mutable_daemon_refused()->set_message(why);
    stream_->Write(message);
  }
  // What another node of the gang refused; reads on until it comes.
  agent::v1::DaemonRefused NextRefused() {
    agent::v1::SchedulerMessage message;
    while (Read(&message)) {
      if (message.has_daemon_refused()) return message.daemon_refused();
    }
    ADD_FAILURE() << "the stream ended while a refusal was awaited";
    return {};
  }
  // Asks as mpirun's launch agent does.
  grpc::Status Spawn(const agent::v1::SpawnDaemonRequest& request, const std::string& token) {
    agent::v1::SpawnDaemonResponse response;
    return stub_->SpawnDaemon(Harness::Call(token).get(), request, &response);
  }

  // Sends the fact with the next sequence.
  uint64_t Tell(agent::v1::Fact fact) {
    fact.set_sequence(++fact_);
    agent::v1::AgentMessage message;
    *message.mutable_fact() = std::move(fact);
    stream_->Write(message);
    return fact_;
  }
  void AwaitAck(uint64_t sequence) {
    while (acked_ < sequence) {
      agent::v1::SchedulerMessage message;
      ASSERT_TRUE(Read(&message)) << "the stream ended while an ack was awaited";
    }
  }
  bool Heartbeat(uint64_t sequence) {
    agent::v1::AgentMessage message;
    message.mutable_heartbeat()->set_sequence(sequence);
    if (!stream_->Write(message)) return false;
    agent::v1::SchedulerMessage answer;
    while (Read(&answer)) {
      if (answer.has_lease_renewed()) return answer.lease_renewed().sequence() == sequence;
    }
    return false;
  }

  // Running, exit 0 and release of one member.
  void RunToSuccess(const agent::v1::MemberKey& key) {
    agent::v1::Fact fact;
    *fact.mutable_key() = key;
    fact.mutable_running()->set_pid(1);
    Tell(fact);
    fact.mutable_exited()->mutable_record()->set_rank(-1);
    Tell(fact);
    fact.mutable_released();
    AwaitAck(Tell(fact));
  }

  // Reads until the scheduler ends the stream.
  grpc::Status AwaitEnd() {
    agent::v1::SchedulerMessage message;
    while (stream_->Read(&message)) {
    }
    left_ = true;
    return ended_ = stream_->Finish();
  }

  grpc::Status Leave() {
    if (left_) return ended_;
    left_ = true;
    stream_->WritesDone();
    agent::v1::SchedulerMessage message;
    while (stream_->Read(&message)) {
    }
    ended_ = stream_->Finish();
    return ended_;
  }

 private:
  bool Read(agent::v1::SchedulerMessage* message) {
    if (!stream_->Read(message)) return false;
    if (message->has_delta()) {
      for (const auto& member : message->delta().set()) desired_.push_back(member);
    }
    if (message->has_start_daemon()) daemons_.push_back(message->start_daemon());
    if (message->has_fact_ack()) acked_ = message->fact_ack().sequence();
    return true;
  }

  std::unique_ptr<agent::v1::AgentService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> call_;
  std::unique_ptr<grpc::ClientReaderWriter<agent::v1::AgentMessage, agent::v1::SchedulerMessage>>
      stream_;
  std::deque<agent::v1::DesiredMember> desired_;
  std::deque<agent::v1::StartDaemon> daemons_;
  uint64_t fact_ = 0;
  uint64_t acked_ = 0;
  bool left_ = false;
  grpc::Status ended_;
};

}  // namespace trainyard::rpc

#endif  // TRAINYARD_TESTS_SCHEDULER_RPC_FAKE_AGENT_H_
