// See job_streams.h.
#include "scheduler/rpc/job_streams.h"

#include <memory>
#include <string>
#include <utility>

#include "common/names.h"
#include "scheduler/api/convert.h"
#include "scheduler/api/jobs.h"
#include "scheduler/rpc/auth.h"
#include "scheduler/rpc/pull_stream.h"

namespace trainyard::rpc {
namespace {

constexpr int kLinesPerMessage = 4000;
constexpr int kTrialsMax = 1'000'000;

class WatchStream : public PullStream<v1::WatchJobResponse> {
 public:
  WatchStream(const api::Context& context, core::JobPtr job, uint64_t after_revision)
      : context_(context), job_(std::move(job)), after_revision_(after_revision) {}

 protected:
  void Attach() override {
    std::weak_ptr<PullStream> weak = weak_from_this();
    watch_ = context_.runtime->view().Watch(job_->uid(), [weak](uint64_t) {
      if (const auto self = weak.lock()) self->Wake();
    });
  }
  void Detach() override { context_.runtime->view().Unwatch(watch_); }

  Pulled Next(v1::WatchJobResponse* response, absl::Status* status) override {
    if (ended_) return Pulled::kEnd;
    const runtime::View& view = context_.runtime->view();
    const core::JobPtr row = view.Job(job_->uid());
    if (row == nullptr) {
      *status = api::NotFound("job", FormatJob(job_->project(), job_->job_id()));
      return Pulled::kEnd;
    }
    *response->mutable_job() = api::JobOf(view, *row, v1::FULL_VIEW);
    ended_ = api::IsTerminal(row->state());
    std::string bytes = response->SerializeAsString();
    const bool seen = response->job().revision() <= after_revision_;
    if (bytes == last_ || (last_.empty() && seen && !ended_)) return Pulled::kNothing;
    last_ = std::move(bytes);
    return Pulled::kMessage;
  }

 private:
  const api::Context context_;
  const core::JobPtr job_;
  const uint64_t after_revision_;
  uint64_t watch_ = 0;
  std::string last_;
  bool ended_ = false;
};

class TailStream : public PullStream<v1::TailLogsResponse> {
 public:
  TailStream(const api::Context& context, core::JobPtr job, const v1::TailLogsRequest& request)
      : context_(context), job_(std::move(job)), request_(request), cursor_(request.cursor()) {}

 protected:
  void Attach() override {
    if (!request_.follow()) return;
    std::weak_ptr<PullStream> weak = weak_from_this();
    const auto wake = [weak] {
      if (const auto self = weak.lock()) self->Wake();
    };
    watch_ = context_.runtime->view().Watch(job_->uid(), [wake](uint64_t) { wake(); });
    subscription_ = context_.store->logs().Subscribe(job_->uid(), wake);
  }
  void Detach() override {
    if (!request_.follow()) return;
    context_.runtime->view().Unwatch(watch_);
    context_.store->logs().Unsubscribe(subscription_);
  }

  Pulled Next(v1::TailLogsResponse* response, absl::Status* status) override {
    if (ended_) return Pulled::kEnd;
    // Asked before the read: lines that came before the end are then surely in it.
    const bool over = !request_.follow() || JobIsOver();
    absl::StatusOr<store::LogStore::Page> page =
        context_.store->logs().Read(job_->uid(), request_, cursor_, kLinesPerMessage);
    if (!page.ok()) {
      *status = page.status();
      return Pulled::kEnd;
    }
    cursor_ = page->next_cursor;
    for (v1::LogLine& line : page->lines) *response->add_lines() = std::move(line);
    ended_ = over && page->at_end;
    response->set_end(ended_);
    // A follower of a job that is silent learns that it is heard: it comes back after a break.
    const bool greets = request_.follow() && !std::exchange(greeted_, true);
    if (response->lines_size() > 0 || ended_ || greets) return Pulled::kMessage;
    return Pulled::kNothing;
  }

 private:
  // Whether no line can come any more: the job has ended and no reachable node holds a part of it.
  bool JobIsOver() const {
    const runtime::View& view = context_.runtime->view();
    const core::JobPtr row = view.Job(job_->uid());
    if (row == nullptr) return true;
    if (!api::IsTerminal(row->state())) return false;
    if (row->study_uid() == 0) return RunIsOver(view.Run(row->run_uid()));
    for (const core::TrialPtr& trial : view.Trials(row->study_uid(), 0, kTrialsMax)) {
      if (!RunIsOver(view.Run(trial->run_uid()))) return false;
    }
    return true;
  }
  bool RunIsOver(const core::RunPtr& run) const {
    if (run == nullptr) return true;
    for (const journal::v1::MemberRow& member : run->attempt().members()) {
      if (!member.released() && context_.runtime->AgentLinked(member.node_id())) return false;
    }
    return true;
  }

  const api::Context context_;
  const core::JobPtr job_;
  const v1::TailLogsRequest request_;
  std::string cursor_;
  uint64_t watch_ = 0;
  uint64_t subscription_ = 0;
  bool greeted_ = false;
  bool ended_ = false;
};

absl::StatusOr<core::JobPtr> JobToRead(const api::Context& context,
                                       const grpc::CallbackServerContext& call,
                                       const std::string& name) {
  const absl::StatusOr<api::Identity> caller = CallerOf(context, call);
  if (!caller.ok()) return caller.status();
  return api::FindJob(context, caller->principal, core::Action::kRead, name);
}

}  // namespace

grpc::ServerWriteReactor<v1::WatchJobResponse>* StartWatch(const api::Context& context,
                                                           grpc::CallbackServerContext* call,
                                                           const v1::WatchJobRequest& request) {
  absl::StatusOr<core::JobPtr> job = JobToRead(context, *call, request.name());
  if (!job.ok()) return new RefusedStream<v1::WatchJobResponse>(job.status());
  auto stream = std::make_shared<WatchStream>(context, *std::move(job), request.after_revision());
  stream->Begin();
  return stream.get();
}

grpc::ServerWriteReactor<v1::TailLogsResponse>* StartTail(const api::Context& context,
                                                          grpc::CallbackServerContext* call,
                                                          const v1::TailLogsRequest& request) {
  absl::StatusOr<core::JobPtr> job = JobToRead(context, *call, request.name());
  if (!job.ok()) return new RefusedStream<v1::TailLogsResponse>(job.status());
  auto stream = std::make_shared<TailStream>(context, *std::move(job), request);
  stream->Begin();
  return stream.get();
}

}  // namespace trainyard::rpc
