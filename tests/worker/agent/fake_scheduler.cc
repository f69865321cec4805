// See fake_scheduler.h.
#include "tests/worker/agent/fake_scheduler.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <unistd.h>

#include <chrono>

#include "absl/time/clock.h"

namespace trainyard::worker {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

std::string TokenOf(const grpc::ServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

bool Same(const agent::v1::MemberKey& a, const agent::v1::MemberKey& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

}  // namespace

FakeScheduler::FakeScheduler(std::string socket_path) : socket_path_(std::move(socket_path)) {}
FakeScheduler::~FakeScheduler() { Stop(); }

void FakeScheduler::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address(), grpc::experimental::LocalServerCredentials(UDS));
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
}

void FakeScheduler::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
  unlink(socket_path_.c_str());
}

void FakeScheduler::SendDelta(const agent::v1::DesiredDelta& delta) {
  if (stream_ == nullptr) return;
  agent::v1::SchedulerMessage message;
  *message.mutable_delta() = delta;
  stream_->Write(message);
}

void FakeScheduler::Want(const agent::v1::DesiredMember& desired) {
  MutexLock lock(&mutex_);
  agent::v1::DesiredMember& kept = desired_[desired.key().SerializeAsString()];
  const agent::v1::Assignment assignment = kept.assignment();
  kept = desired;
  if (!kept.has_assignment()) *kept.mutable_assignment() = assignment;
  agent::v1::DesiredDelta delta;
  delta.set_version(++version_);
  *delta.add_set() = desired;
  SendDelta(delta);
}

void FakeScheduler::Remove(const agent::v1::MemberKey& key) {
  MutexLock lock(&mutex_);
  desired_.erase(key.SerializeAsString());
  agent::v1::DesiredDelta delta;
  delta.set_version(++version_);
  *delta.add_remove() = key;
  SendDelta(delta);
}

void FakeScheduler::set_ack_facts(bool ack) {
  MutexLock lock(&mutex_);
  ack_facts_ = ack;
}
void FakeScheduler::set_incarnation(uint64_t incarnation) {
  MutexLock lock(&mutex_);
  incarnation_ = incarnation;
}
void FakeScheduler::set_lease(int64_t lease_ms, int64_t heartbeat_ms) {
  MutexLock lock(&mutex_);
  lease_ms_ = lease_ms;
  heartbeat_ms_ = heartbeat_ms;
}

void FakeScheduler::Answer(const agent::v1::AgentMessage& message) {
  agent::v1::SchedulerMessage answer;
  if (message.has_hello()) {
    received_.hellos.push_back(message.hello());
    agent::v1::Welcome* const welcome = answer.mutable_welcome();
    welcome->set_incarnation(incarnation_);
    welcome->set_lease_ms(lease_ms_);
    welcome->set_heartbeat_ms(heartbeat_ms_);
    welcome->set_store_address("store");
    welcome->set_version(version_);
    for (const auto& [key, desired] : desired_) *welcome->add_desired() = desired;
  } else if (message.has_heartbeat()) {
    ++received_.heartbeats;
    answer.mutable_lease_renewed()->set_sequence(message.heartbeat().sequence());
  } else if (message.has_fact()) {
    received_.facts.push_back(message.fact());
    if (!ack_facts_) return;
    answer.mutable_fact_ack()->set_sequence(message.fact().sequence());
  } else {
    return;
  }
  stream_->Write(answer);
}

grpc::Status FakeScheduler::Control(grpc::ServerContext* context, ControlStream* stream) {
  {
    MutexLock lock(&mutex_);
    received_.token = TokenOf(*context);
    stream_ = stream;
  }
  agent::v1::AgentMessage message;
  while (stream->Read(&message)) {
    MutexLock lock(&mutex_);
    if (stream_ == stream) Answer(message);
    changed_.NotifyAll();
  }
  MutexLock lock(&mutex_);
  if (stream_ == stream) stream_ = nullptr;
  return grpc::Status::OK;
}

grpc::Status FakeScheduler::Telemetry(
    grpc::ServerContext*,
    grpc::ServerReaderWriter<agent::v1::TelemetryAck, agent::v1::TelemetryBatch>* stream) {
  agent::v1::TelemetryBatch batch;
  while (stream->Read(&batch)) {
    {
      MutexLock lock(&mutex_);
      received_.telemetry.push_back(batch);
      changed_.NotifyAll();
    }
    agent::v1::TelemetryAck ack;
    ack.set_sequence(batch.sequence());
    stream->Write(ack);
  }
  return grpc::Status::OK;
}

bool FakeScheduler::WaitFor(const std::function<bool(const Received&)>& holds) {
  const absl::Time limit = absl::Now() + kPatience;
  MutexLock lock(&mutex_);
  while (!holds(received_)) {
    if (absl::Now() > limit) return false;
    changed_.WaitFor(&mutex_, absl::Milliseconds(200));
  }
  return true;
}

FakeScheduler::Received FakeScheduler::received() {
  MutexLock lock(&mutex_);
  return received_;
}

agent::v1::Exited FakeScheduler::WaitForExit(const agent::v1::MemberKey& key) {
  agent::v1::Exited exited;
  exited.mutable_record()->set_message("no Exited came");
  exited.mutable_record()->set_cause(v1::INTERNAL);
  WaitFor([&](const Received& received) {
    for (const agent::v1::Fact& fact : received.facts) {
      if (!fact.has_exited() || !Same(fact.key(), key)) continue;
      exited = fact.exited();
      return true;
    }
    return false;
  });
  return exited;
}

std::string FakeScheduler::Log(const agent::v1::MemberKey& key, int32_t rank, bool is_stderr) {
  std::map<int64_t, std::string> chunks;
  for (const agent::v1::TelemetryBatch& batch : received().telemetry) {
    for (const agent::v1::LogChunk& chunk : batch.logs()) {
      if (chunk.rank() != rank || chunk.is_stderr() != is_stderr || !Same(chunk.key(), key)) {
        continue;
      }
      if (!chunk.data().empty()) chunks[chunk.offset()] = chunk.data();
    }
  }
  std::string text;
  for (const auto& [offset, data] : chunks) {
    if (static_cast<size_t>(offset) <= text.size()) {
      text = text.substr(0, static_cast<size_t>(offset)) + data;
    }
  }
  return text;
}

std::vector<v1::MetricPoint> FakeScheduler::Points(const agent::v1::MemberKey& key) {
  std::map<int64_t, v1::MetricPoint> points;
  for (const agent::v1::TelemetryBatch& batch : received().telemetry) {
    for (const agent::v1::MetricBatch& metrics : batch.metrics()) {
      if (!Same(metrics.key(), key)) continue;
      for (int i = 0; i < metrics.points_size(); ++i) {
        points[metrics.offset() + i] = metrics.points(i);
      }
    }
  }
  std::vector<v1::MetricPoint> out;
  for (const auto& [index, point] : points) out.push_back(point);
  return out;
}

}  // namespace trainyard::worker
