// See stepped.h.
#include "scheduler/runtime/stepped.h"

#include <utility>

namespace trainyard::runtime {

SteppedRuntime::SteppedRuntime(journal::Journal* journal, AgentLink* link,
                               std::unique_ptr<Engine> engine)
    : journal_(journal),
      link_(link),
      engine_(std::move(engine)),
      keeper_(journal, engine_->incarnation(), &engine_->view()) {}

absl::StatusOr<std::unique_ptr<SteppedRuntime>> SteppedRuntime::Start(journal::Journal* journal,
                                                                      AgentLink* link,
                                                                      Options options) {
  auto engine = Engine::Recover(journal, options);
  if (!engine.ok()) return engine.status();
  std::unique_ptr<SteppedRuntime> runtime(new SteppedRuntime(journal, link, *std::move(engine)));
  if (absl::Status status = runtime->Step(); !status.ok()) return status;
  return runtime;
}

absl::Status SteppedRuntime::Cycle(bool* worked) {
  std::deque<std::function<void(Engine*)>> tasks = std::exchange(tasks_, {});
  for (const auto& task : tasks) task(engine_.get());
  engine_->Close();
  Batch batch = engine_->TakeBatch();
  *worked = !tasks.empty() || !batch.empty();
  if (!batch.records.empty()) {
    const absl::Status status =
        journal_->Append(engine_->incarnation(), batch.before, batch.records);
    if (!status.ok()) return status;
  }
  engine_->Deliver(&batch, link_);
  keeper_.Note(batch.delta);
  for (const StudyJob& job : engine_->TakeStudyJobs()) {
    *worked = true;
    engine_->Answer(Think(job, view()));
  }
  PlanJob job;
  if (engine_->TakePlanJob(&job)) {
    *worked = true;
    engine_->Answer(ThinkOver(std::move(job)));
  }
  for (PreviewJob& preview : engine_->TakePreviews()) {
    const auto done = preview.done;
    done(ThinkOver(std::move(preview), [] { return true; }));
  }
  for (WhatIfJob& ask : engine_->TakeWhatIfs()) {
    const auto done = ask.done;
    done(ThinkOver(std::move(ask), [] { return true; }));
  }
  return absl::OkStatus();
}

absl::Status SteppedRuntime::Step() {
  bool worked = true;
  while (worked) {
    if (absl::Status status = Cycle(&worked); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void SteppedRuntime::Post(core::Command command, Callback done) {
  auto owned =
      std::make_shared<std::pair<core::Command, Callback>>(std::move(command), std::move(done));
  tasks_.push_back([owned](Engine* engine) {
    engine->Execute(std::move(owned->first), std::move(owned->second));
  });
}

void SteppedRuntime::AgentConnected(const std::string& node_id, uint64_t session,
                                    const agent::v1::Hello& hello,
                                    std::function<void(absl::StatusOr<agent::v1::Welcome>)> done) {
  tasks_.push_back([=](Engine* engine) { engine->Connect(node_id, session, hello, done); });
}

bool SteppedRuntime::AgentHeartbeat(const std::string& node_id) {
  return engine_->leases().Renew(node_id, engine_->options().clock->Monotonic(),
                                 engine_->options().lease);
}

void SteppedRuntime::AgentDisconnected(const std::string& node_id, uint64_t session) {
  tasks_.push_back([=](Engine* engine) { engine->Disconnect(node_id, session); });
}

void SteppedRuntime::LookAhead(core::Command submit,
                               std::function<void(absl::StatusOr<Preview>)> done) {
  auto shared = std::make_shared<core::Command>(std::move(submit));
  tasks_.push_back([shared, done](Engine* engine) { engine->Look(std::move(*shared), done); });
}

void SteppedRuntime::WhatIf(uint64_t run_uid,
                            std::function<void(std::vector<placement::Counterfactual>)> done) {
  tasks_.push_back([run_uid, done](Engine* engine) { engine->AskWhatIf(run_uid, done); });
}

}  // namespace trainyard::runtime
