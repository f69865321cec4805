// A bidirectional gRPC stream that is opened again whenever it ends, with jittered back-off. Its
// handlers run on the agent's loop; gRPC's own threads only move messages. At most one write is in
// flight; what is sent while there is no stream is dropped (the agent's state decides what to say
// after the next connect). Loop thread, but for the reactor inside. Include in .cc files only.
#ifndef TRAINYARD_WORKER_AGENT_STREAM_CLIENT_H_
#define TRAINYARD_WORKER_AGENT_STREAM_CLIENT_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "common/mutex.h"
#include "common/random.h"
#include "worker/agent/event_loop.h"

namespace trainyard::worker {

template <typename Request, typename Response>
class StreamClient {
 public:
  using Reactor = grpc::ClientBidiReactor<Request, Response>;
  struct Handlers {
    // Opens the call, for example stub->async()->Control(context, reactor).
    std::function<void(grpc::ClientContext*, Reactor*)> open;
    std::function<void()> connecting;  // a new stream begins: the first message may be sent
    std::function<void(Response)> message;
    std::function<void(const grpc::Status&)> ended;
  };

  StreamClient(EventLoop* loop, std::string token, absl::Duration back_off_max, Handlers handlers,
               uint64_t seed)
      : loop_(loop),
        token_(std::move(token)),
        back_off_max_(back_off_max),
        handlers_(std::move(handlers)),
        random_(seed) {}
  // Waits for the stream's end; no handler runs afterwards.
  ~StreamClient() {
    MutexLock lock(&mutex_);
    closing_ = true;
    if (session_ != nullptr) session_->Cancel();
    while (session_ != nullptr) idle_.Wait(&mutex_);
  }
  StreamClient(const StreamClient&) = delete;
  StreamClient& operator=(const StreamClient&) = delete;

  // Opens the first stream.
  void Start() {
    Session* session = nullptr;
    {
      MutexLock lock(&mutex_);
      if (closing_ || session_ != nullptr) return;
      session = session_ = new Session(this, ++generation_, token_);
    }
    handlers_.connecting();
    session->Begin(handlers_.open);
  }

  void Send(Request request) {
    MutexLock lock(&mutex_);
    if (session_ != nullptr) session_->Push(std::move(request));
  }

  // Ends the stream; a new one is opened as after any end.
  void Restart() {
    MutexLock lock(&mutex_);
    if (session_ != nullptr) session_->Cancel();
  }

 private:
  class Session : public Reactor {
   public:
    Session(StreamClient* owner, uint64_t generation, const std::string& token)
        : owner_(owner), generation_(generation) {
      context_.AddMetadata("authorization", "Bearer " + token);
    }

    void Begin(const std::function<void(grpc::ClientContext*, Reactor*)>& open) {
      open(&context_, this);
      this->AddHold();  // for writes from outside; given back when reading ends
      this->StartRead(&in_);
      {
        MutexLock lock(&mutex_);
        begun_ = true;
        WriteNext();
      }
      this->StartCall();
    }

    void Push(Request request) {
      MutexLock lock(&mutex_);
      if (closed_) return;
      queue_.push_back(std::move(request));
      if (begun_ && !writing_) WriteNext();
    }

    void Cancel() { context_.TryCancel(); }

    void OnReadDone(bool ok) override {
      if (!ok) {
        {
          MutexLock lock(&mutex_);
          closed_ = true;
        }
        this->RemoveHold();
        return;
      }
      owner_->loop_->Post(
          [owner = owner_, generation = generation_, in = std::move(in_)]() mutable {
            owner->OnMessage(generation, std::move(in));
          });
      in_ = Response();
      this->StartRead(&in_);
    }

    void OnWriteDone(bool ok) override {
      MutexLock lock(&mutex_);
      queue_.pop_front();
      writing_ = false;
      if (!ok) closed_ = true;
      if (!closed_) WriteNext();
    }

    void OnDone(const grpc::Status& status) override { owner_->OnSessionDone(this, status); }

    uint64_t generation() const { return generation_; }

   private:
    void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      if (queue_.empty()) return;
      writing_ = true;
      this->StartWrite(&queue_.front());
    }

    StreamClient* const owner_;
    const uint64_t generation_;
    grpc::ClientContext context_;
    Response in_;
    Mutex mutex_;
    std::deque<Request> queue_ ABSL_GUARDED_BY(mutex_);  // front: in flight while writing_
    bool begun_ ABSL_GUARDED_BY(mutex_) = false;
    bool writing_ ABSL_GUARDED_BY(mutex_) = false;
    bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  };

  // Loop thread. Messages of a stream that is over are late and dropped.
  void OnMessage(uint64_t generation, Response message) {
    {
      MutexLock lock(&mutex_);
      if (closing_ || generation != generation_) return;
    }
    back_off_ = kBackOffMin;
    handlers_.message(std::move(message));
  }

  // A thread of gRPC's.
  void OnSessionDone(Session* session, const grpc::Status& status) {
    const uint64_t generation = session->generation();
    // Under the lock: whoever cancels or sends holds it for as long as the session is in use.
    MutexLock lock(&mutex_);
    session_ = nullptr;
    delete session;
    if (!closing_) loop_->Post([this, generation, status] { OnEnded(generation, status); });
    idle_.NotifyAll();
  }

  void OnEnded(uint64_t generation, const grpc::Status& status) {
    {
      MutexLock lock(&mutex_);
      if (closing_ || generation != generation_) return;
    }
    handlers_.ended(status);
    // Between half and the whole of a step that doubles: many agents do not come back at once.
    const absl::Duration wait = back_off_ * (0.5 + 0.5 * random_.Uniform());
    back_off_ = std::min(back_off_ * 2, back_off_max_);
    loop_->After(wait, [this] { Start(); });
  }

  static constexpr absl::Duration kBackOffMin = absl::Milliseconds(50);

  EventLoop* const loop_;
  const std::string token_;
  const absl::Duration back_off_max_;
  const Handlers handlers_;
  Random random_;
  absl::Duration back_off_ = kBackOffMin;
  Mutex mutex_;
  CondVar idle_;
  Session* session_ ABSL_GUARDED_BY(mutex_) = nullptr;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_STREAM_CLIENT_H_
