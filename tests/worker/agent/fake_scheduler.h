// A scheduler for the agent's tests: the real gRPC service on a unix socket, which records what
// agents say, acknowledges everything and says what a test tells it to. Thread-safe.
#ifndef TRAINYARD_TESTS_WORKER_AGENT_FAKE_SCHEDULER_H_
#define TRAINYARD_TESTS_WORKER_AGENT_FAKE_SCHEDULER_H_

#include <grpcpp/server.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "trainyard/agent/v1/agent.grpc.pb.h"

namespace trainyard::worker {

class FakeScheduler : public agent::v1::AgentService::Service {
 public:
  explicit FakeScheduler(std::string socket_path);
  ~FakeScheduler() override;

  // Serves; may be stopped and started again, as a scheduler that restarts.
  void Start();
  void Stop();
  std::string address() const { return "unix://" + socket_path_; }

  // Sets what one member is wanted to do; sent at once when an agent is connected.
  void Want(const agent::v1::DesiredMember& desired);
  void Remove(const agent::v1::MemberKey& key);
  void set_ack_facts(bool ack);
  void set_incarnation(uint64_t incarnation);
  void set_lease(int64_t lease_ms, int64_t heartbeat_ms);

  // Waits until `holds` is true of what was received; false after half a minute.
  struct Received {
    std::vector<agent::v1::Hello> hellos;
    std::vector<agent::v1::Fact> facts;  // as they came, repeats too
    std::vector<agent::v1::TelemetryBatch> telemetry;
    int heartbeats = 0;
    std::string token;  // of the newest call
  };
  bool WaitFor(const std::function<bool(const Received&)>& holds);
  Received received();
  // The first Exited of `key`; waits for it.
  agent::v1::Exited WaitForExit(const agent::v1::MemberKey& key);
  // All bytes of one log stream so far, in order of their offsets.
  std::string Log(const agent::v1::MemberKey& key, int32_t rank, bool is_stderr);
  std::vector<v1::MetricPoint> Points(const agent::v1::MemberKey& key);

 private:
  using ControlStream =
      grpc::ServerReaderWriter<agent::v1::SchedulerMessage, agent::v1::AgentMessage>;
  grpc::Status Control(grpc::ServerContext* context, ControlStream* stream) override;
  grpc::Status Telemetry(grpc::ServerContext* context,
                         grpc::ServerReaderWriter<agent::v1::TelemetryAck,
                                                  agent::v1::TelemetryBatch>* stream) override;
  void Answer(const agent::v1::AgentMessage& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendDelta(const agent::v1::DesiredDelta& delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string socket_path_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  CondVar changed_;
  Received received_ ABSL_GUARDED_BY(mutex_);
  ControlStream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::map<std::string, agent::v1::DesiredMember> desired_ ABSL_GUARDED_BY(mutex_);
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t incarnation_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t lease_ms_ ABSL_GUARDED_BY(mutex_) = 15000;
  int64_t heartbeat_ms_ ABSL_GUARDED_BY(mutex_) = 1000;
  bool ack_facts_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_TESTS_WORKER_AGENT_FAKE_SCHEDULER_H_
