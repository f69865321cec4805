// What must hold, looked at after every event that could break it. The checker folds every durable
// event into a state of its own and keeps what was promised to users and what lives on the nodes.
//  - No acknowledged command is lost; one request id makes one thing.
//  - Every reply comes after its events are durable.
//  - Epochs and incarnations are given once; a run's outputs come from one epoch, the current one.
//  - No device serves two members; nothing starts twice under one epoch; strict runs never overlap.
//  - No member of a gang starts before all are prepared.
//  - The core's invariants, among them: no state without a way out.
//  - A recovered scheduler has the state that the durable events give.
// The first violation ends the run. Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_CHECKER_H_
#define TRAINYARD_SIM_RUN_CHECKER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "scheduler/core/core.h"
#include "scheduler/journal/journal.h"
#include "sim/run/context.h"
#include "worker/core/member_id.h"

namespace trainyard::sim {

class Checker {
 public:
  explicit Checker(Context* context) : context_(context) {}

  // The scheduler.
  void Durable(const std::vector<std::string>& records);
  // Recovered from the journal; `first` are the records of its first batch, not yet durable.
  void Recovered(const core::State& state, const std::vector<std::string>& first,
                 journal::Journal* journal);
  // Rows of these jobs are written: they are read from there now.
  void Archived(const std::vector<uint64_t>& job_uids);
  void BackedUp() { backup_ = {state_, promises_, archived_}; }
  void Restored();

  // Users. A reply has left the scheduler, or reached the user.
  // Of any command: it was decided when events up to `sequence` were.
  void Answered(uint64_t sequence, const core::CommandBody& body);
  void SubmitAnswered(const std::string& request_id, uint64_t job_uid);
  void CancelAnswered(uint64_t job_uid);
  void CompleteAnswered(uint64_t study_uid, int32_t trial);

  // Nodes.
  void Launched(int node, const agent::v1::Assignment& assignment);
  void RanksGone(int node, const agent::v1::Assignment& assignment);

  // Everything has had its time: what has not ended never will.
  void Finished(const core::State& engine_state);

  const core::State& state() const { return state_; }
  uint64_t publications() const { return publications_; }
  uint64_t stale_publications_refused() const { return refused_; }
  void StaleRefused() { ++refused_; }
  // Jobs that the running scheduler forgot and whose rows are not written yet: for it they hold
  // nothing any more, while a recovery would know them still.
  void AskForgotten(std::function<std::vector<uint64_t>()> forgotten) {
    forgotten_ = std::move(forgotten);
  }
  const std::map<std::string, uint64_t>& answers() const { return answers_; }
  uint64_t submits() const { return submits_; }
  uint64_t recoveries() const { return recoveries_; }

 private:
  struct Promises {
    absl::flat_hash_map<std::string, uint64_t> jobs;   // by request id
    std::set<uint64_t> cancelled;                      // job uids
    std::set<std::pair<uint64_t, int32_t>> completed;  // trials
  };
  struct Backup {
    core::State state;
    Promises promises;
    absl::flat_hash_set<uint64_t> archived;
  };

  void CheckEvent(const journal::v1::Event& event);
  void CheckPublication(const journal::v1::AttemptEnded& ended);
  void CheckInvariants();
  void CheckPromises(const core::State& state, journal::Journal* journal);
  bool Cancelled(const core::State& state, uint64_t job_uid) const;

  Context* const context_;
  core::State state_;  // of the durable events
  std::function<std::vector<uint64_t>()> forgotten_;
  Promises promises_;
  absl::flat_hash_set<uint64_t> archived_;  // jobs whose rows alone are left
  Backup backup_;
  absl::flat_hash_set<uint64_t> epochs_;
  absl::flat_hash_map<uint64_t, std::set<uint64_t>> published_;  // by run uid
  uint64_t incarnation_ = 0;
  // The last epoch given before a backup was put in place: of attempts up to it the scheduler may
  // know nothing; it starts others beside them, and they may start late beside others.
  uint64_t before_restore_ = 0;
  uint64_t looks_ = 0;
  std::map<std::pair<int, std::string>, worker::MemberId> devices_;
  absl::flat_hash_map<uint64_t, std::map<worker::MemberId, bool>> live_;  // by run; strict?
  std::set<worker::MemberId> launched_;
  uint64_t publications_ = 0;
  uint64_t refused_ = 0;
  std::map<std::string, uint64_t> answers_;  // by command
  uint64_t submits_ = 0;
  uint64_t recoveries_ = 0;
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_CHECKER_H_
