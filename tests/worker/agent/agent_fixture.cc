// See agent_fixture.h.
#include "tests/worker/agent/agent_fixture.h"

#include <stdlib.h>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "worker/agent/machine.h"

namespace trainyard::worker {
namespace {

std::string MakeTemporary() {
  char name[] = "/tmp/trainyard-agent-test-XXXXXX";
  return mkdtemp(name) == nullptr ? "/nonexistent" : name;
}

}  // namespace

AgentTest::AgentTest() : folder_(MakeTemporary()), scheduler_(folder_ + "/scheduler.sock") {
  MachineOptions machine;
  machine.node_id = "node-1";
  machine.cores = 4;
  machine.nvml_library = "";
  options_.work_dir = folder_ + "/agent";
  options_.bin_folder = TRAINYARD_TEST_BIN;
  options_.inventory = ReadInventory(machine);
  options_.base_env = AllowedEnvironment({"PATH=/usr/bin:/bin"});
  scheduler_.Start();
}

AgentTest::~AgentTest() {
  StopAgent();
  scheduler_.Stop();
  // What a failed test left running dies with its supervisors.
  for (const FoundAttempt& found : FindAttempts(options_.work_dir + "/attempts")) {
    const pid_t supervisor = AttemptFolder(found.path).Supervisor();
    if (supervisor > 0) KillLeft(supervisor, found.path);
  }
  RemoveTree(folder_).IgnoreError();
}

void AgentTest::StartAgent() {
  loop_ = std::make_unique<EventLoop>(&RealClock());
  absl::StatusOr<std::unique_ptr<GrpcChannels>> channels =
      GrpcChannels::Make(loop_.get(), {scheduler_.address(), "agent-token", ""});
  ASSERT_TRUE(channels.ok()) << channels.status();
  channels_ = *std::move(channels);
  AgentChannels out;
  out.send_control = [this](const agent::v1::AgentMessage& m) { channels_->SendControl(m); };
  out.send_telemetry = [this](const agent::v1::TelemetryBatch& b) { channels_->SendTelemetry(b); };
  out.reconnect = [this](const std::string&) { channels_->Reconnect(); };
  out.make_client = [this](const std::string& address, const std::string& token) {
    return store_.MakeClient(address, token);
  };
  agent_ = std::make_unique<Agent>(loop_.get(), options_, out);
  const absl::Status started = agent_->Start();
  ASSERT_TRUE(started.ok()) << started;
  GrpcChannels::Events events;
  events.control_connected = [this] { agent_->OnControlConnected(); };
  events.control_disconnected = [this] { agent_->OnControlDisconnected(); };
  events.control_message = [this](const agent::v1::SchedulerMessage& m) {
    agent_->OnControlMessage(m);
  };
  events.telemetry_connected = [this] { agent_->OnTelemetryConnected(); };
  events.telemetry_disconnected = [this] { agent_->OnTelemetryDisconnected(); };
  events.telemetry_ack = [this](uint64_t sequence) { agent_->OnTelemetryAck(sequence); };
  channels_->Start(std::move(events));
  thread_ = std::thread([this] { loop_->Run(); });
}

void AgentTest::StopAgent() {
  if (loop_ == nullptr) return;
  loop_->Stop();
  if (thread_.joinable()) thread_.join();
  channels_.reset();
  agent_.reset();
  loop_.reset();
}

agent::v1::Assignment AgentTest::Assign(const std::vector<std::string>& argv, int ranks) {
  agent::v1::Assignment assignment;
  assignment.mutable_key()->set_run_uid(next_run_++);
  assignment.mutable_key()->set_epoch((uint64_t{1} << 32) | 1);
  assignment.set_project("default");
  assignment.set_job_id("job_1");
  assignment.set_job_uid(77);
  for (const std::string& word : argv) assignment.mutable_program()->add_command(word);
  for (int rank = 0; rank < ranks; ++rank) {
    agent::v1::RankSlot* const slot = assignment.add_ranks();
    slot->set_rank(rank);
    slot->set_local_rank(rank);
    slot->set_task_type(rank == 0 ? "master" : "worker");
    slot->set_task_index(rank == 0 ? 0 : rank - 1);
  }
  assignment.set_world_size(ranks);
  assignment.set_grace_ms(5000);
  assignment.set_staging_timeout_ms(60000);
  assignment.set_publish_timeout_ms(60000);
  assignment.set_stop_after_ms(900000);
  assignment.set_attempt_token("attempt-token");
  return assignment;
}

agent::v1::MemberKey AgentTest::Run(const agent::v1::Assignment& assignment) {
  agent::v1::DesiredMember desired;
  *desired.mutable_key() = assignment.key();
  desired.set_want(agent::v1::RUN);
  *desired.mutable_assignment() = assignment;
  scheduler_.Want(desired);
  return assignment.key();
}

void AgentTest::Want(const agent::v1::MemberKey& key, agent::v1::Want want,
                     agent::v1::StopReason reason) {
  agent::v1::DesiredMember desired;
  *desired.mutable_key() = key;
  desired.set_want(want);
  desired.set_stop_reason(reason);
  scheduler_.Want(desired);
}

bool AgentTest::WaitForRunning(const agent::v1::MemberKey& key) {
  return scheduler_.WaitFor([&](const FakeScheduler::Received& received) {
    for (const agent::v1::Fact& fact : received.facts) {
      if (fact.has_running() && IdOf(fact.key()) == IdOf(key)) return true;
    }
    return false;
  });
}

bool AgentTest::WaitForReleased(const agent::v1::MemberKey& key) {
  return scheduler_.WaitFor([&](const FakeScheduler::Received& received) {
    for (const agent::v1::Fact& fact : received.facts) {
      if (fact.has_released() && IdOf(fact.key()) == IdOf(key)) return true;
    }
    return false;
  });
}

bool AgentTest::WaitForLog(const agent::v1::MemberKey& key, const std::string& text) {
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (absl::Now() < limit) {
    for (int rank = 0; rank < 4; ++rank) {
      if (absl::StrContains(scheduler_.Log(key, rank, false), text)) return true;
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  return false;
}

std::string AgentTest::AttemptPath(const agent::v1::MemberKey& key) const {
  return options_.work_dir + "/attempts/" + FolderName(IdOf(key));
}

bool AgentTest::WaitForFile(const std::string& path, bool there) {
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (absl::Now() < limit) {
    if (Exists(path) == there) return true;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return false;
}

}  // namespace trainyard::worker
