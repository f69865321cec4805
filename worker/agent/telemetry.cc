// See telemetry.h.
#include "worker/agent/telemetry.h"

#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace trainyard::worker {
namespace {

constexpr size_t kFlightsMax = 32;
// Of one member: what it prints meanwhile goes together once one of them is acknowledged, so that a
// program of many short lines costs few batches.
constexpr int kMemberFlightsMax = 3;
constexpr int64_t kBytesMax = 4 << 20;
constexpr int64_t kBatchBytes = 256 << 10;  // of each stream, well below the message limit
constexpr absl::Duration kPartialLine = absl::Milliseconds(250);

}  // namespace

void Telemetry::Add(const MemberId& id, const std::string& folder,
                    const agent::v1::Assignment& assignment) {
  entries_[id].tail = std::make_unique<Tail>(folder, assignment);
}

const Tail* Telemetry::FindTail(const MemberId& id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : found->second.tail.get();
}

void Telemetry::Poke(const MemberId& id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  if (!connected_ || Full()) found->second.tail->Trim();
  dirty_.insert(id);
  Pump();
}

void Telemetry::Finish(const MemberId& id, absl::Duration limit, std::function<void()> done) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return done();
  Entry& entry = found->second;
  entry.finishing = true;
  if (entry.timer != 0) loop_->Cancel(entry.timer);
  entry.done = std::move(done);
  entry.timer = loop_->After(limit, [this, id] {
    const auto late = entries_.find(id);
    if (late == entries_.end() || !late->second.done) return;
    std::exchange(late->second.done, nullptr)();
  });
  // Without output there is nothing to wait for, connected or not.
  while (!Full() && PumpOne(id, &entry)) {
  }
  if (!entry.ended) dirty_.insert(id);
  CheckDone(id);
}

bool Telemetry::Unsent(const MemberId& id) const {
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.finishing) return false;
  return !found->second.ended || found->second.in_flight > 0;
}

void Telemetry::Remove(const MemberId& id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  if (found->second.timer != 0) loop_->Cancel(found->second.timer);
  entries_.erase(found);
  dirty_.erase(id);
}

void Telemetry::OnConnected() {
  connected_ = true;
  for (const Flight& flight : flights_) send_(flight.batch);
  Pump();
}

void Telemetry::OnDisconnected() { connected_ = false; }

void Telemetry::OnAck(uint64_t sequence) {
  std::set<MemberId> touched;
  while (!flights_.empty() && flights_.front().batch.sequence() <= sequence) {
    const Flight& flight = flights_.front();
    bytes_ -= flight.bytes;
    const auto found = entries_.find(flight.id);
    if (found != entries_.end()) --found->second.in_flight;
    touched.insert(flight.id);
    flights_.pop_front();
  }
  Pump();
  for (const MemberId& id : touched) CheckDone(id);
}

bool Telemetry::Full() const { return flights_.size() >= kFlightsMax || bytes_ >= kBytesMax; }

// One batch of each member in turn: a loud program does not silence the others.
void Telemetry::Pump() {
  bool moved = true;
  while (connected_ && moved && !Full()) {
    moved = false;
    const std::set<MemberId> round = std::exchange(dirty_, {});
    for (const MemberId& id : round) {
      const auto found = entries_.find(id);
      if (found == entries_.end()) continue;
      const bool waits = Full() || found->second.in_flight >= kMemberFlightsMax;
      moved = moved || !waits;
      if (waits || PumpOne(id, &found->second)) dirty_.insert(id);
    }
  }
}

// True when there is more to read at once.
bool Telemetry::PumpOne(const MemberId& id, Entry* entry) {
  if (entry->ended) return false;
  agent::v1::TelemetryBatch batch;
  const int64_t now_us = absl::ToUnixMicros(loop_->clock().Now());
  const bool any = entry->tail->Read(
      kBatchBytes, entry->finishing ? Tail::Partial::kEnds : Tail::Partial::kWaits, now_us, &batch);
  const bool more = entry->tail->has_more();
  if (entry->finishing && !more) {
    entry->ended = true;
    entry->tail->End(&batch);
  }
  if (any || batch.logs_size() > 0) Launch(id, entry, std::move(batch));
  if (entry->tail->has_partial()) {
    partial_.insert(id);
    if (partial_.size() == 1) loop_->After(kPartialLine, [this] { FlushPartial(); });
  }
  return more;
}

// A prompt or progress bar without a line end is shown a little later.
void Telemetry::FlushPartial() {
  for (const MemberId& id : std::exchange(partial_, {})) {
    const auto found = entries_.find(id);
    if (found == entries_.end() || Full() || !connected_ || found->second.ended) continue;
    agent::v1::TelemetryBatch batch;
    const int64_t now_us = absl::ToUnixMicros(loop_->clock().Now());
    if (found->second.tail->Read(kBatchBytes, Tail::Partial::kShown, now_us, &batch)) {
      Launch(id, &found->second, std::move(batch));
    }
  }
}

void Telemetry::Launch(const MemberId& id, Entry* entry, agent::v1::TelemetryBatch batch) {
  batch.set_sequence(next_sequence_++);
  ++entry->in_flight;
  Flight flight{std::move(batch), id, 0};
  flight.bytes = static_cast<int64_t>(flight.batch.ByteSizeLong());
  bytes_ += flight.bytes;
  send_(flight.batch);
  flights_.push_back(std::move(flight));
}

void Telemetry::CheckDone(const MemberId& id) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.done) return;
  Entry& entry = found->second;
  if (!entry.ended || entry.in_flight > 0) return;
  loop_->Cancel(entry.timer);
  std::exchange(entry.done, nullptr)();
}

}  // namespace trainyard::worker
