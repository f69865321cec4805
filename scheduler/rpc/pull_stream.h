// A server stream that is pulled: whenever something may be new, Wake() asks Next() for messages
// until there is none. One write in flight, one Finish, at most one thread in Next(). The stream
// owns itself until OnDone; callbacks that may come later hold a weak pointer.
#ifndef TRAINYARD_SCHEDULER_RPC_PULL_STREAM_H_
#define TRAINYARD_SCHEDULER_RPC_PULL_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <utility>

#include "common/grpc_status.h"
#include "common/mutex.h"

namespace trainyard::rpc {

enum class Pulled { kNothing, kMessage, kEnd };

template <typename Response>
class PullStream : public grpc::ServerWriteReactor<Response>,
                   public std::enable_shared_from_this<PullStream<Response>> {
 public:
  // Keeps itself alive and looks for the first message.
  void Begin() {
    self_ = this->shared_from_this();
    Attach();
    Wake();
  }
  // Something may be new. Any thread; returns soon.
  void Wake() {
    {
      MutexLock lock(&mutex_);
      if (finished_) return;
      again_ = true;
      if (busy_) return;
      busy_ = true;
    }
    Pull();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) {
      MutexLock lock(&mutex_);
      cancelled_ = true;
    }
    Pull();
  }
  void OnCancel() override {
    {
      MutexLock lock(&mutex_);
      cancelled_ = true;
      if (busy_ || finished_) return;
      busy_ = true;
    }
    Pull();
  }
  void OnDone() override {
    Detach();
    const std::shared_ptr<PullStream> last = std::move(self_);
  }

 protected:
  // Subscribe and unsubscribe; Wake() may come between.
  virtual void Attach() = 0;
  virtual void Detach() = 0;
  // The next message into `response` (cleared), or nothing now, or the end with `status`.
  virtual Pulled Next(Response* response, absl::Status* status) = 0;

 private:
  // Called with busy_ set: the only one in Next() and the only one who writes.
  void Pull() {
    while (true) {
      {
        MutexLock lock(&mutex_);
        again_ = false;
        if (cancelled_) finished_ = true;
      }
      if (finished_) {
        this->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled"));
        return;
      }
      message_.Clear();
      absl::Status status;
      const Pulled pulled = Next(&message_, &status);
      if (pulled == Pulled::kMessage) {
        this->StartWrite(&message_);
        return;
      }
      MutexLock lock(&mutex_);
      if (pulled == Pulled::kEnd) {
        finished_ = true;
        this->Finish(ToGrpcStatus(status));
        return;
      }
      if (again_ || cancelled_) continue;
      busy_ = false;
      return;
    }
  }

  Mutex mutex_;
  bool busy_ = false;       // set under mutex_
  bool again_ = false;      // set under mutex_
  bool cancelled_ = false;  // set under mutex_
  bool finished_ = false;   // set under mutex_ by the busy one, which alone reads it without
  Response message_;
  std::shared_ptr<PullStream> self_;
};

// A stream that ends at once with an error.
template <typename Response>
class RefusedStream : public grpc::ServerWriteReactor<Response> {
 public:
  explicit RefusedStream(const absl::Status& status) { this->Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_PULL_STREAM_H_
