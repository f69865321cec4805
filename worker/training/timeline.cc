// See timeline.h.
#include "worker/training/timeline.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/training/hang.h"

namespace trainyard::training {
namespace {

constexpr size_t kFlushBytes = 1 << 20;
constexpr int64_t kFlushMicros = 1'000'000;

class TimelineCommunicator : public Communicator {
 public:
  TimelineCommunicator(std::unique_ptr<Communicator> inner, std::unique_ptr<Timeline> timeline)
      : timeline_(std::move(timeline)), inner_(std::move(inner)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  std::string name() const override { return inner_->name(); }

  absl::Status AllReduce(void* data, size_t count, DataType type, ReduceOp op) override {
    return Traced("all-reduce", count * SizeOf(type),
                  [&] { return inner_->AllReduce(data, count, type, op); });
  }
  absl::StatusOr<std::unique_ptr<Pending>> StartAllReduce(void* data, size_t count, DataType type,
                                                          ReduceOp op) override {
    const int64_t start = Timeline::NowMicros();
    auto pending = inner_->StartAllReduce(data, count, type, op);
    if (!pending.ok()) return pending.status();
    return std::make_unique<TracedPending>(*std::move(pending), timeline_.get(), start,
                                           count * SizeOf(type));
  }
  absl::Status ReduceScatter(const void* send, void* receive, size_t count, DataType type,
                             ReduceOp op) override {
    return Traced("reduce-scatter", count * SizeOf(type),
                  [&] { return inner_->ReduceScatter(send, receive, count, type, op); });
  }
  absl::Status AllGather(const void* send, void* receive, size_t count, DataType type) override {
    return Traced("all-gather", count * SizeOf(type),
                  [&] { return inner_->AllGather(send, receive, count, type); });
  }
  absl::Status Broadcast(void* data, size_t count, DataType type, int root) override {
    return Traced("broadcast", count * SizeOf(type),
                  [&] { return inner_->Broadcast(data, count, type, root); });
  }
  absl::Status Barrier() override {
    return Traced("barrier", 0, [&] { return inner_->Barrier(); });
  }
  absl::StatusOr<void*> Allocate(size_t bytes) override { return inner_->Allocate(bytes); }

 private:
  template <typename Call>
  absl::Status Traced(const char* name, uint64_t bytes, const Call& call) {
    const int64_t start = Timeline::NowMicros();
    absl::Status status = call();
    timeline_->Add(name, start, bytes);
    if (!status.ok()) timeline_->Flush();  // the process is likely to end
    return status;
  }
  // On a row of its own from its start to its end, and the wait for it on the rank's.
  class TracedPending : public Pending {
   public:
    TracedPending(std::unique_ptr<Pending> inner, Timeline* timeline, int64_t start, uint64_t bytes)
        : inner_(std::move(inner)), timeline_(timeline), start_(start), bytes_(bytes) {}
    absl::Status Wait() override {
      const int64_t start = Timeline::NowMicros();
      absl::Status status = inner_->Wait();
      timeline_->Add("wait", start, bytes_);
      timeline_->Add("all-reduce", start_, bytes_, 1);
      if (!status.ok()) timeline_->Flush();
      return status;
    }

   private:
    const std::unique_ptr<Pending> inner_;
    Timeline* const timeline_;
    const int64_t start_;
    const uint64_t bytes_;
  };

  const std::unique_ptr<Timeline> timeline_;
  const std::unique_ptr<Communicator> inner_;  // ends first
};

}  // namespace

absl::StatusOr<std::unique_ptr<Timeline>> Timeline::Create(const std::string& folder, int rank) {
  if (absl::Status status = MakeFolders(folder); !status.ok()) return status;
  const std::string path = JoinPath(folder, absl::StrCat("rank-", rank, ".trace.json"));
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) return ErrnoError(errno, "cannot write the timeline", path);
  // An array may stay open at its end.
  const std::string head = absl::StrFormat(
      "[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"args\":{\"name\":\"rank %d on "
      "%s\"}},\n",
      rank, rank, NodeName());
  if (absl::Status status = WriteAll(file.get(), head); !status.ok()) return status;
  return std::unique_ptr<Timeline>(new Timeline(std::move(file), rank));
}

Timeline::~Timeline() { Flush(); }

void Timeline::Flush() {
  MutexLock lock(&mutex_);
  Write();
}

int64_t Timeline::NowMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void Timeline::Add(const char* name, int64_t start_us, uint64_t bytes, int lane) {
  const int64_t end_us = NowMicros();
  MutexLock lock(&mutex_);
  absl::StrAppendFormat(&text_,
                        "{\"name\":\"%s\",\"ph\":\"X\",\"ts\":%d,\"dur\":%d,\"pid\":%d,\"tid\":%d,"
                        "\"args\":{\"bytes\":%d}},\n",
                        name, start_us, end_us - start_us, rank_, lane, bytes);
  if (text_.size() > kFlushBytes || end_us - written_us_ > kFlushMicros) Write();
}

void Timeline::Write() {
  written_us_ = NowMicros();
  WriteAll(file_.get(), text_).IgnoreError();  // a full disk ends no training
  text_.clear();
}

std::unique_ptr<Communicator> WithTimeline(std::unique_ptr<Communicator> communicator,
                                           std::unique_ptr<Timeline> timeline) {
  return std::make_unique<TimelineCommunicator>(std::move(communicator), std::move(timeline));
}

}  // namespace trainyard::training
