// libFuzzer on what agents and the scheduler tell each other: whatever an agent says leaves the
// scheduler's state sound, and whatever the scheduler says an agent does not fall over.
//   kind 0: AgentMessage to the scheduler; 1: SchedulerMessage to the agent; others: time passes.
// tests/fuzz/run.py builds and runs it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>

#include "scheduler/core/core.h"
#include "tests/fuzz/framed.h"
#include "worker/core/agent_core.h"

namespace trainyard {
namespace {

// A scheduler with one node and one run of two ranks on it.
class Scheduler {
 public:
  Scheduler() {
    core::Principal system = Who("system", v1::ADMIN);
    system.is_system = true;
    Do(core::StartServer{"fuzz", 1}, system);
    core::AgentConnect connect;
    connect.node_id = "n0";
    connect.inventory.set_node_id("n0");
    connect.inventory.set_cores(8);
    connect.inventory.set_memory_bytes(int64_t{1} << 33);
    Do(connect, Who("n0", v1::AGENT));
    core::SubmitJob submit;
    submit.project = "default";
    submit.spec.mutable_program()->add_command("true");
    v1::WorkerPool* const pool = submit.spec.add_worker_pools();
    pool->set_role("master");
    pool->set_replica_count(1);
    pool->mutable_resources()->set_cpu_milli(1000);
    *submit.spec.add_worker_pools() = *pool;
    submit.spec.mutable_worker_pools(1)->set_role("worker");
    Do(submit, Who("ada", v1::ADMIN));
    core::PlacedRun placed;
    placed.run_uid = *state_.waiting_runs.begin();
    placed.members.emplace_back();
    placed.members[0].set_node_id("n0");
    placed.members[0].add_ranks()->set_rank(0);
    placed.members[0].add_ranks()->set_rank(1);
    core::ApplyPlan plan;
    plan.placements.push_back(placed);
    Do(plan, system);
    if (state_.active_runs.empty()) abort();
  }

  void Hear(const agent::v1::AgentMessage& message) {
    if (message.has_hello()) {
      core::AgentConnect connect;
      connect.node_id = "n0";
      connect.inventory = message.hello().inventory();
      connect.first_unacked_fact = message.hello().first_unacked_fact();
      connect.members.assign(message.hello().members().begin(), message.hello().members().end());
      Do(connect, Who("n0", v1::AGENT));
    } else if (message.has_fact()) {
      Do(core::AgentFact{"n0", message.fact()}, Who("n0", v1::AGENT));
    }
  }

  void Check() const {
    const std::vector<std::string> broken = core::CheckInvariants(state_);
    if (broken.empty()) return;
    std::cerr << broken.front() << "\n";
    abort();
  }

  agent::v1::Welcome Welcome() const {
    agent::v1::Welcome welcome;
    welcome.set_incarnation(1);
    welcome.set_version(1);
    welcome.set_lease_ms(10000);
    welcome.set_heartbeat_ms(1000);
    for (const auto& member : core::DemandOfNode(state_, "n0")) *welcome.add_desired() = member;
    return welcome;
  }

 private:
  static core::Principal Who(const std::string& name, v1::Role role) {
    core::Principal who;
    who.name = name;
    who.role = role;
    return who;
  }

  void Do(core::CommandBody body, const core::Principal& who) {
    core::Command command;
    command.principal = who;
    command.now_us = now_us_ += 1000;
    command.random = 7;
    command.body = std::move(body);
    const auto decision = core::Decide(state_, command);
    if (!decision.ok()) return;
    for (journal::v1::Event event : decision->events) {
      event.set_sequence(state_.sequence + 1);
      core::Apply(event, &state_, &touched_);
    }
  }

  core::State state_;
  core::Touched touched_;
  int64_t now_us_ = 1'700'000'000'000'000;
};

}  // namespace
}  // namespace trainyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using trainyard::worker::Now;
  trainyard::Scheduler scheduler;
  trainyard::worker::AgentCore agent({}, 0);
  Now now{absl::Seconds(100), 1};
  agent.Connected(now);
  trainyard::agent::v1::SchedulerMessage first;
  *first.mutable_welcome() = scheduler.Welcome();
  agent.Receive(first, now);
  for (trainyard::Frame frame; trainyard::NextFrame(&data, &size, &frame);) {
    trainyard::agent::v1::AgentMessage up;
    trainyard::agent::v1::SchedulerMessage down;
    if (frame.kind == 0 && up.ParseFromString(frame.bytes)) {
      scheduler.Hear(up);
    } else if (frame.kind == 1 && down.ParseFromString(frame.bytes)) {
      agent.Receive(down, now);
    } else {
      now.monotonic += absl::Milliseconds(100 * frame.bytes.size());
      agent.Tick(now);
    }
    agent.TakeEffects();
  }
  scheduler.Check();
  return 0;
}
