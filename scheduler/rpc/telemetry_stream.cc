// The telemetry stream; see agent_streams.h.
#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "glog/logging.h"
#include "scheduler/rpc/agent_streams.h"
#include "scheduler/rpc/auth.h"
#include "scheduler/rpc/duplex_stream.h"

namespace trainyard::rpc {
namespace {

using Duplex = DuplexStream<agent::v1::TelemetryBatch, agent::v1::TelemetryAck>;

class TelemetryStream : public Duplex {
 public:
  TelemetryStream(const api::Context& context, std::string token, std::string node_id,
                  MetricHub* hub)
      : context_(context), token_(std::move(token)), node_id_(std::move(node_id)), hub_(hub) {}

 protected:
  void Received(agent::v1::TelemetryBatch* batch) override {
    if (const auto caller = api::Identify(context_, token_); !caller.ok()) {
      return Close(caller.status());
    }
    const uint64_t sequence = batch->sequence();
    Wait(sequence);
    bool ends = false;
    for (const agent::v1::LogChunk& chunk : batch->logs()) {
      if (!Find(chunk.key())) continue;
      const auto stored = context_.store->logs().Append(
          job_->project(), job_->job_id(), job_->uid(), run_->trial(), chunk, node_id_);
      if (!Kept(stored.status())) return;
      ends = ends || chunk.end();
    }
    for (const agent::v1::MetricBatch& metrics : batch->metrics()) {
      if (!Find(metrics.key())) continue;
      const auto stored = context_.store->metrics().Append(job_->uid(), run_->trial(), metrics);
      if (!Kept(stored.status())) return;
      if (!stored.ok()) continue;
      Wait(sequence);
      const std::weak_ptr<Duplex> weak = shared_from_this();
      const bool pending = hub_->Add(*run_, metrics, [this, weak, sequence] {
        if (const std::shared_ptr<Duplex> alive = weak.lock()) Landed(sequence);
      });
      if (!pending) Landed(sequence);
    }
    if (ends && run_ != nullptr) hub_->Flush(run_->uid());  // its agent waits for these
    Landed(sequence);
  }

  void Ended() override {}

 private:
  // A batch and how many things of it are not durable yet. Acknowledged in order.
  struct Pending {
    uint64_t sequence = 0;
    int things = 0;
  };

  void Wait(uint64_t sequence) {
    MutexLock lock(&pending_mutex_);
    if (pending_.empty() || pending_.back().sequence != sequence) pending_.push_back({sequence, 0});
    ++pending_.back().things;
  }

  // Any thread.
  void Landed(uint64_t sequence) {
    MutexLock lock(&pending_mutex_);
    for (Pending& pending : pending_) {
      if (pending.sequence == sequence) --pending.things;
    }
    uint64_t through = 0;
    for (; !pending_.empty() && pending_.front().things == 0; pending_.pop_front()) {
      through = pending_.front().sequence;
    }
    if (through == 0) return;
    agent::v1::TelemetryAck ack;
    ack.set_sequence(through);
    Push(std::move(ack));
  }

  // False, and the stream is closed, when what was sent may be stored later. What can never be
  // stored must not hold up what comes after it.
  bool Kept(const absl::Status& status) {
    if (status.ok()) return true;
    if (absl::IsInvalidArgument(status)) {
      LOG(WARNING) << "telemetry dropped node=" << node_id_ << ": " << status;
      return true;
    }
    Close(status);
    return false;
  }

  // Finds run and job of a member and checks that this node has or had it; the last one is kept.
  bool Find(const agent::v1::MemberKey& key) {
    if (run_ != nullptr && run_->uid() == key.run_uid() && epoch_ == key.epoch()) return true;
    const runtime::View& view = context_.runtime->view();
    core::RunPtr run = view.Run(key.run_uid());
    core::JobPtr job = run == nullptr ? nullptr : view.Job(run->job_uid());
    if (job == nullptr || !Had(*run, key.epoch())) {
      LOG(WARNING) << "telemetry dropped node=" << node_id_ << " run=" << key.run_uid()
                   << " epoch=" << key.epoch() << ": the node never had this member";
      return false;
    }
    run_ = std::move(run);
    job_ = std::move(job);
    epoch_ = key.epoch();
    return true;
  }

  bool Had(const journal::v1::RunRow& run, uint64_t epoch) const {
    if (run.attempt().epoch() == epoch) {
      return std::any_of(run.attempt().members().begin(), run.attempt().members().end(),
                         [&](const auto& member) { return member.node_id() == node_id_; });
    }
    return std::any_of(run.past_attempts().begin(), run.past_attempts().end(),
                       [&](const v1::AttemptSummary& past) {
                         return past.epoch() == epoch &&
                                std::find(past.nodes().begin(), past.nodes().end(), node_id_) !=
                                    past.nodes().end();
                       });
  }

  const api::Context context_;
  const std::string token_;
  const std::string node_id_;
  MetricHub* const hub_;
  core::RunPtr run_;
  core::JobPtr job_;
  uint64_t epoch_ = 0;
  Mutex pending_mutex_;
  std::deque<Pending> pending_ ABSL_GUARDED_BY(pending_mutex_);
};

}  // namespace

grpc::ServerBidiReactor<agent::v1::TelemetryBatch, agent::v1::TelemetryAck>* StartTelemetry(
    const api::Context& context, grpc::CallbackServerContext* call, MetricHub* hub) {
  absl::StatusOr<api::Identity> caller = CallerOf(context, *call);
  if (!caller.ok()) {
    return new RefusedDuplex<agent::v1::TelemetryBatch, agent::v1::TelemetryAck>(caller.status());
  }
  auto stream =
      std::make_shared<TelemetryStream>(context, BearerOf(*call), caller->principal.name, hub);
  stream->Begin();
  return stream.get();
}

}  // namespace trainyard::rpc
