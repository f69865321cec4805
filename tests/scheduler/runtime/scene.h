// A stepped runtime with a settable clock, a memory journal and a link that records, for tests.
#ifndef TRAINYARD_TESTS_SCHEDULER_RUNTIME_SCENE_H_
#define TRAINYARD_TESTS_SCHEDULER_RUNTIME_SCENE_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/journal/journal.h"
#include "scheduler/runtime/stepped.h"

namespace trainyard::runtime {

class SetClock : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(1'700'000'000) + passed_; }
  absl::Duration Monotonic() const override { return absl::Hours(1) + passed_; }
  void Pass(absl::Duration time) { passed_ += time; }

 private:
  absl::Duration passed_;
};

class RecordingLink : public AgentLink {
 public:
  bool Send(const std::string& node_id, const agent::v1::SchedulerMessage& message) override {
    sent[node_id].push_back(message);
    return true;
  }
  // What was sent to the node since the last call.
  std::vector<agent::v1::SchedulerMessage> Take(const std::string& node_id) {
    return std::exchange(sent[node_id], {});
  }
  std::map<std::string, std::vector<agent::v1::SchedulerMessage>> sent;
};

inline v1::JobSpec MakeSpec(int ranks = 1, int cpu_milli = 1000) {
  v1::JobSpec spec;
  spec.set_display_name("test");
  spec.mutable_program()->add_command("/bin/true");
  v1::WorkerPool* pool = spec.add_worker_pools();
  pool->set_role("master");
  pool->set_replica_count(ranks);
  pool->mutable_resources()->set_cpu_milli(cpu_milli);
  return spec;
}

inline core::Principal User() {
  core::Principal user;
  user.name = "ann";
  user.role = v1::ADMIN;
  return user;
}

class Scene {
 public:
  Scene() : own_journal_(journal::MakeMemoryJournal()), journal_(own_journal_.get()) { Start(); }
  explicit Scene(journal::Journal* journal) : journal_(journal) { Start(); }

  // The same journal, a new process.
  void Restart() {
    runtime_.reset();
    link = RecordingLink();
    Start();
  }
  void Start() {
    Options options;
    options.clock = &clock;
    options.seed = 1;
    options.recent_jobs_max = recent_jobs_max;
    options.policy = policy;
    options.plan_apart = plan_apart;
    options.token_secret = std::string(32, 's');
    auto runtime = SteppedRuntime::Start(journal_, &link, options);
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    runtime_ = *std::move(runtime);
  }
  SteppedRuntime& runtime() { return *runtime_; }
  const View& view() const { return runtime_->view(); }
  void Step() {
    const absl::Status status = runtime_->Step();
    ASSERT_TRUE(status.ok()) << status;
  }

  absl::StatusOr<core::Reply> Do(core::CommandBody body, core::Principal principal = User()) {
    core::Command command;
    command.principal = std::move(principal);
    command.body = std::move(body);
    absl::StatusOr<core::Reply> answer = absl::UnknownError("no answer came");
    runtime_->Post(std::move(command),
                   [&](absl::StatusOr<core::Reply> reply) { answer = std::move(reply); });
    Step();
    return answer;
  }
  uint64_t Submit(const std::string& job_id, v1::JobSpec spec = MakeSpec()) {
    const auto reply = Do(core::SubmitJob{"default", job_id, std::move(spec), false});
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->uid : 0;
  }

  // The welcome of a node that connects with `cores` cores and holds `members`.
  agent::v1::Welcome Connect(const std::string& node_id, int cores,
                             std::vector<agent::v1::MemberReport> members = {}) {
    agent::v1::Hello hello;
    hello.mutable_inventory()->set_node_id(node_id);
    hello.mutable_inventory()->set_cores(cores);
    hello.mutable_inventory()->set_memory_bytes(int64_t{1} << 33);
    for (agent::v1::MemberReport& member : members) *hello.add_members() = std::move(member);
    agent::v1::Welcome answer;
    runtime_->AgentConnected(node_id, ++session_, hello,
                             [&](absl::StatusOr<agent::v1::Welcome> welcome) {
                               ASSERT_TRUE(welcome.ok()) << welcome.status();
                               answer = *std::move(welcome);
                             });
    Step();
    return answer;
  }
  uint64_t last_session() const { return session_; }
  // Time passes as it does for a process that runs: it looks every second.
  void Live(absl::Duration time) {
    for (; time > absl::ZeroDuration(); time -= absl::Seconds(1)) {
      clock.Pass(std::min(time, absl::Seconds(1)));
      Step();
    }
  }
  void Tell(const std::string& node_id, agent::v1::Fact fact) {
    fact.set_sequence(++facts_[node_id]);
    core::Principal agent;
    agent.name = node_id;
    agent.role = v1::AGENT;
    EXPECT_TRUE(Do(core::AgentFact{node_id, std::move(fact)}, agent).ok());
  }
  // Running, exit 0, release.
  void RunToSuccess(const std::string& node_id, const agent::v1::MemberKey& key) {
    agent::v1::Fact fact;
    *fact.mutable_key() = key;
    fact.mutable_running()->set_pid(1);
    Tell(node_id, fact);
    fact.mutable_exited()->mutable_record()->set_rank(-1);
    Tell(node_id, fact);
    fact.mutable_released();
    Tell(node_id, fact);
  }
  // Desired members set by deltas that were sent to the node since the last call.
  std::vector<agent::v1::DesiredMember> Ordered(const std::string& node_id) {
    std::vector<agent::v1::DesiredMember> members;
    for (const agent::v1::SchedulerMessage& message : link.Take(node_id)) {
      members.insert(members.end(), message.delta().set().begin(), message.delta().set().end());
    }
    return members;
  }

  SetClock clock;
  RecordingLink link;
  size_t recent_jobs_max = 1000;
  placement::Policy policy;  // after a Restart
  bool plan_apart = false;   // the same

 private:
  std::unique_ptr<journal::Journal> own_journal_;
  journal::Journal* journal_;
  std::unique_ptr<SteppedRuntime> runtime_;
  std::map<std::string, uint64_t> facts_;
  uint64_t session_ = 0;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_TESTS_SCHEDULER_RUNTIME_SCENE_H_
