// See committer.h.
#include "scheduler/runtime/committer.h"

#include <unistd.h>

#include <iterator>
#include <utility>

#include "absl/time/clock.h"
#include "common/fault_point.h"
#include "glog/logging.h"

namespace trainyard::runtime {
namespace {

constexpr size_t kRecordsMax = 20000;  // waiting; the owner pauses beyond
constexpr absl::Duration kFullDiskPause = absl::Milliseconds(100);

}  // namespace

void EndProcess(const absl::Status& status) {
  LOG(ERROR) << "journal failed, the process ends: " << status;
  google::FlushLogFiles(google::INFO);
  _exit(70);
}

Committer::Committer(journal::Journal* journal, Engine* engine, AgentLink* link, DiskGuard* guard,
                     RowKeeper* keeper)
    : journal_(journal), engine_(engine), link_(link), guard_(guard), keeper_(keeper) {
  thread_ = std::thread([this] { Run(); });
}

Committer::~Committer() { Stop(); }

void Committer::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void Committer::Push(Batch batch) {
  {
    MutexLock lock(&mutex_);
    while (waiting_records_ > kRecordsMax) {
      owner_waits_ = true;
      changed_.Wait(&mutex_);
    }
    owner_waits_ = false;
    waiting_records_ += batch.records.size();
    waiting_.push_back(std::move(batch));
  }
  changed_.NotifyAll();
}

bool Committer::Quiet(absl::Duration pause) const {
  MutexLock lock(&mutex_);
  return waiting_.empty() && engine_->options().clock->Monotonic() - last_commit_ >= pause;
}

void Committer::Run() {
  while (true) {
    std::vector<Batch> batches;
    bool wake_owner = false;
    {
      MutexLock lock(&mutex_);
      while (waiting_.empty() && !stopping_) changed_.Wait(&mutex_);
      if (waiting_.empty()) return;
      batches = std::exchange(waiting_, {});
      waiting_records_ = 0;
      wake_owner = owner_waits_;
    }
    if (wake_owner) changed_.NotifyAll();
    if (!Commit(&batches)) return;
    MutexLock lock(&mutex_);
    last_commit_ = engine_->options().clock->Monotonic();
  }
}

bool Committer::Stopping() const {
  MutexLock lock(&mutex_);
  return stopping_;
}

bool Committer::Commit(std::vector<Batch>* batches) {
  std::vector<std::string> records;
  for (Batch& batch : *batches) {
    std::move(batch.records.begin(), batch.records.end(), std::back_inserter(records));
  }
  if (!records.empty()) {
    TRAINYARD_FAULT_POINT("runtime.before_append");
    absl::Status status =
        journal_->Append(engine_->incarnation(), batches->front().before, records);
    while (absl::IsResourceExhausted(status)) {
      // Nothing was written and nothing was acknowledged: waiting loses nothing.
      if (!guard_->full()) LOG(ERROR) << "disk full, submits are refused: " << status;
      guard_->Full();
      if (Stopping()) return false;
      absl::SleepFor(kFullDiskPause);
      status = journal_->Append(engine_->incarnation(), batches->front().before, records);
    }
    TRAINYARD_FAULT_POINT("runtime.after_append");
    if (!status.ok()) EndProcess(status);
    guard_->Written();
  }
  for (Batch& batch : *batches) {
    engine_->Deliver(&batch, link_);
    keeper_->Note(batch.delta);
  }
  return true;
}

}  // namespace trainyard::runtime
