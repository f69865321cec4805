// A two-way stream with an outbox: Push() queues, one write in flight, one Finish, OnDone deletes.
// The outbox is bounded; a peer that does not read loses its stream with RESOURCE_EXHAUSTED.
#ifndef TRAINYARD_SCHEDULER_RPC_DUPLEX_STREAM_H_
#define TRAINYARD_SCHEDULER_RPC_DUPLEX_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <utility>

#include "common/errors.h"
#include "common/grpc_status.h"
#include "common/mutex.h"

namespace trainyard::rpc {

template <typename Request, typename Response>
class DuplexStream : public grpc::ServerBidiReactor<Request, Response>,
                     public std::enable_shared_from_this<DuplexStream<Request, Response>> {
 public:
  static constexpr size_t kOutboxMax = 20000;

  void Begin() {
    self_ = this->shared_from_this();
    this->StartRead(&request_);
  }
  // False when the stream is over or the outbox is full (then it ends). Any thread.
  bool Push(Response response) {
    MutexLock lock(&mutex_);
    if (closing_) return false;
    if (outbox_.size() >= kOutboxMax) {
      CloseLocked(MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                            "the peer does not read what it is sent", "connect again"));
      return false;
    }
    outbox_.push_back(std::move(response));
    if (!writing_) WriteLocked();
    return true;
  }
  // Ends the stream after the write in flight; the first status counts.
  void Close(const absl::Status& status) {
    MutexLock lock(&mutex_);
    CloseLocked(status);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Close(absl::OkStatus());
      return;
    }
    Received(&request_);
    {
      MutexLock lock(&mutex_);
      if (closing_) return;
    }
    request_.Clear();
    this->StartRead(&request_);
  }
  void OnWriteDone(bool ok) override {
    MutexLock lock(&mutex_);
    writing_ = false;
    outbox_.pop_front();
    if (!ok && !closing_) {
      closing_ = true;
      status_ = absl::CancelledError("the peer is gone");
    }
    if (closing_) {
      FinishLocked();
    } else if (!outbox_.empty()) {
      WriteLocked();
    }
  }
  void OnCancel() override { Close(absl::CancelledError("the call was cancelled")); }
  void OnDone() override {
    Ended();
    const std::shared_ptr<DuplexStream> last = std::move(self_);
  }

 protected:
  // One message came; the next is read when it returns.
  virtual void Received(Request* request) = 0;
  // No call comes after it.
  virtual void Ended() = 0;

 private:
  void WriteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    writing_ = true;
    this->StartWrite(&outbox_.front());
  }
  void CloseLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (closing_) return;
    closing_ = true;
    status_ = status;
    if (!writing_) FinishLocked();
  }
  void FinishLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (finished_) return;
    finished_ = true;
    this->Finish(ToGrpcStatus(status_));
  }

  Mutex mutex_;
  std::deque<Response> outbox_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  Request request_;
  std::shared_ptr<DuplexStream> self_;
};

// A two-way stream that ends at once with an error.
template <typename Request, typename Response>
class RefusedDuplex : public grpc::ServerBidiReactor<Request, Response> {
 public:
  explicit RefusedDuplex(const absl::Status& status) { this->Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_DUPLEX_STREAM_H_
