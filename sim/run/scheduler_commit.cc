// Commits, deliveries and rows of a simulated scheduler, as committer.cc and threaded.cc do them,
// with a fault before and after each step; see scheduler_process.h.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sim/run/scheduler_process.h"

namespace trainyard::sim {
namespace {

constexpr int64_t kFullDiskPause = 100 * kMilli;
constexpr int64_t kRowPause = kSecond;

}  // namespace

void SchedulerProcess::StartCommit() {
  if (committing_ || waiting_.empty()) return;
  committing_ = true;
  in_flight_ = std::exchange(waiting_, {});
  bool writes = false;
  for (const runtime::Batch& batch : in_flight_) writes |= !batch.records.empty();
  if (!writes) return After(1, Kind::kInternal, [this] { FinishCommit(); });
  Random& random = context_->random();
  int64_t latency = Between(&random, 150, 2000);
  if (context_->Strikes(Fault::kSlowDisk, 1e-3)) latency = Between(&random, kSecond, 4 * kSecond);
  After(latency, Kind::kDisk, [this] { FinishCommit(); });
}

// Whether the process ends or stands still there. When it goes on after that, so does `rest`.
bool SchedulerProcess::StopsAt(const char* point, void (SchedulerProcess::*rest)()) {
  Random& random = context_->random();
  switch (context_->StrikesAt(point, Fault::kSchedulerCrash, Fault::kSchedulerHang)) {
    case Context::Strike::kNone:
      return false;
    case Context::Strike::kCrash:
      Crash(Between(&random, 100 * kMilli, 5 * kSecond));
      return true;
    case Context::Strike::kHang:
      Hang(Between(&random, kSecond, 30 * kSecond));
      Run(life_, [this, rest] { (this->*rest)(); });
      return true;
  }
  return false;
}

// False: they are not durable, or the process is gone.
bool SchedulerProcess::AppendRecords(const std::vector<std::string>& records) {
  Random& random = context_->random();
  if (disk_full_) {
    After(kFullDiskPause, Kind::kTimer, [this] { FinishCommit(); });
    return false;
  }
  const bool sync_fails = context_->Strikes(Fault::kSyncFails, 2e-5);
  const bool power_fails = !sync_fails && context_->Strikes(Fault::kLostWrites, 2e-5);
  const bool survives = random.Below(2) == 0;
  if (!(sync_fails || power_fails) || survives) {
    const absl::Status status =
        journal_.Append(engine_->incarnation(), in_flight_.front().before, records);
    if (!status.ok()) {
      context_->Violate(absl::StrCat("the journal refused a batch: ", status.message()));
      return false;
    }
    checker_->Durable(records);
  }
  const bool dies = sync_fails || power_fails;
  if (dies) Crash(Between(&random, 100 * kMilli, 5 * kSecond));
  return !dies;
}

void SchedulerProcess::FinishCommit() {
  const bool writes = std::any_of(in_flight_.begin(), in_flight_.end(),
                                  [](const auto& batch) { return !batch.records.empty(); });
  if (writes && StopsAt("scheduler.before_append", &SchedulerProcess::Append)) return;
  Append();
}

void SchedulerProcess::Append() {
  std::vector<std::string> records;
  for (const runtime::Batch& batch : in_flight_) {
    records.insert(records.end(), batch.records.begin(), batch.records.end());
  }
  if (!records.empty()) {
    if (!AppendRecords(records)) return;
    if (StopsAt("scheduler.after_append", &SchedulerProcess::Delivery)) return;
  }
  Delivery();
}

void SchedulerProcess::Delivery() {
  switch (
      context_->StrikesAt("scheduler.in_delivery", Fault::kSchedulerCrash, Fault::kSchedulerHang)) {
    case Context::Strike::kNone:
      break;
    case Context::Strike::kCrash:
      doomed_ = true;
      words_left_ = static_cast<int>(context_->random().Below(6));
      break;
    case Context::Strike::kHang:  // after it
      Hang(Between(&context_->random(), kSecond, 30 * kSecond));
      break;
  }
  DeliverAll();
  if (!up_) return;
  if (doomed_) return Crash(Between(&context_->random(), 100 * kMilli, 5 * kSecond));
  committing_ = false;
  StartCommit();
}

void SchedulerProcess::DeliverAll() {
  for (runtime::Batch& batch : std::exchange(in_flight_, {})) {
    engine_->Deliver(&batch, this);
    keeper_->Note(batch.delta);
    for (const runtime::Archive& archive : batch.delta.archives) {
      archives_.push_back(archive.job->uid());
    }
  }
}

bool SchedulerProcess::MaySay() { return up_ && (!doomed_ || --words_left_ >= 0); }

void SchedulerProcess::WriteRows() {
  After(kRowPause, Kind::kTimer, [this] { WriteRows(); });
  if (keeper_->pending() == 0 || disk_full_) return;
  if (!StopsAt("scheduler.before_rows", &SchedulerProcess::Flush)) Flush();
}

void SchedulerProcess::Flush() {
  const absl::Status status = keeper_->Flush();
  if (!status.ok()) return context_->Violate(absl::StrCat("rows: ", status.message()));
  checker_->Archived(std::exchange(archives_, {}));
  StopsAt("scheduler.after_rows", &SchedulerProcess::Wake);
}

// The guard against double use of devices is off: what a member held is free with the verdict.
void SchedulerProcess::FreeByVerdict(const runtime::Batch& batch) {
  for (const auto& [uid, run] : batch.delta.runs) {
    if (run == nullptr || run->attempt().end_us() == 0) continue;
    for (const journal::v1::MemberRow& member : run->attempt().members()) {
      if (member.released()) continue;
      core::AgentFact fact;
      fact.node_id = member.node_id();
      fact.fact.mutable_key()->set_run_uid(uid);
      fact.fact.mutable_key()->set_epoch(run->attempt().epoch());
      fact.fact.mutable_key()->set_member(member.member());
      fact.fact.mutable_released();
      core::Command command;
      command.principal.name = member.node_id();
      command.principal.role = v1::AGENT;
      command.body = std::move(fact);
      Post(kFacts, [command](runtime::Engine* engine) { engine->Execute(command, nullptr); });
    }
  }
}

}  // namespace trainyard::sim
