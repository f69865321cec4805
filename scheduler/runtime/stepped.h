// A runtime without threads, for the simulator and for tests: what was posted is done in Step(), on
// the caller's thread, with the injected clock. Same engine, same order of effects.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_STEPPED_H_
#define TRAINYARD_SCHEDULER_RUNTIME_STEPPED_H_

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "scheduler/runtime/engine.h"
#include "scheduler/runtime/row_keeper.h"
#include "scheduler/runtime/runtime.h"

namespace trainyard::runtime {

class SteppedRuntime : public Runtime {
 public:
  static absl::StatusOr<std::unique_ptr<SteppedRuntime>> Start(journal::Journal* journal,
                                                               AgentLink* link, Options options);

  // Runs what is queued and due, commits, delivers, thinks, until nothing is left to do now. The
  // journal's error when an append failed: then the runtime is dead, as after a crash.
  absl::Status Step();
  // How long nothing will be due, unless something is posted.
  absl::Duration Idle() const { return engine_->Idle(); }
  absl::Status WriteRows() { return keeper_.Flush(); }
  const Engine& engine() const { return *engine_; }

  void Post(core::Command command, Callback done) override;
  const View& view() const override { return engine_->view(); }
  bool AgentLinked(const std::string& node_id) const override { return engine_->linked(node_id); }
  void AgentConnected(const std::string& node_id, uint64_t session, const agent::v1::Hello& hello,
                      std::function<void(absl::StatusOr<agent::v1::Welcome>)> done) override;
  bool AgentHeartbeat(const std::string& node_id) override;
  void AgentDisconnected(const std::string& node_id, uint64_t session) override;
  void LookAhead(core::Command submit, std::function<void(absl::StatusOr<Preview>)> done) override;
  void WhatIf(uint64_t run_uid,
              std::function<void(std::vector<placement::Counterfactual>)> done) override;

 private:
  SteppedRuntime(journal::Journal* journal, AgentLink* link, std::unique_ptr<Engine> engine);
  absl::Status Cycle(bool* worked);

  journal::Journal* const journal_;
  AgentLink* const link_;
  std::unique_ptr<Engine> engine_;
  RowKeeper keeper_;
  std::deque<std::function<void(Engine*)>> tasks_;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_STEPPED_H_
