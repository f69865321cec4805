// One cycle of the scheduler's owner: commands are decided and applied, what is due is done (clock,
// leases, placement), and what must be durable, published and sent is gathered in a batch. No
// thread, no lock, no waiting: the threads around it are in threaded.cc, the simulator steps it.
//  - Execute() any number of commands, then Close() the cycle, then TakeBatch().
//  - A batch is appended to the journal first; only then Deliver() publishes it, sends to agents
//  and answers callers, in that order.
//  - Planner jobs run anywhere and come back through Answer().
#ifndef TRAINYARD_SCHEDULER_RUNTIME_ENGINE_H_
#define TRAINYARD_SCHEDULER_RUNTIME_ENGINE_H_

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "common/random.h"
#include "scheduler/core/core.h"
#include "scheduler/journal/journal.h"
#include "scheduler/placement/placement.h"
#include "scheduler/runtime/cluster_book.h"
#include "scheduler/runtime/delta.h"
#include "scheduler/runtime/leases.h"
#include "scheduler/runtime/lost_gangs.h"
#include "scheduler/runtime/plan_desk.h"
#include "scheduler/runtime/planner.h"
#include "scheduler/runtime/refusals.h"
#include "scheduler/runtime/run_history.h"
#include "scheduler/runtime/runtime.h"
#include "scheduler/runtime/sessions.h"
#include "scheduler/runtime/study_desk.h"
#include "scheduler/runtime/view_table.h"
#include "scheduler/runtime/what_ifs.h"

namespace trainyard::runtime {

struct Batch {
  uint64_t before = 0;               // sequence before its first record
  std::vector<std::string> records;  // encoded events
  Delta delta;
  AgentMessages messages;
  std::vector<std::function<void()>> answers;  // replies and welcomes, in order
  bool empty() const {
    return records.empty() && messages.empty() && answers.empty() && delta.explanations.empty() &&
           delta.archives.empty();
  }
};

class Engine {
 public:
  // Recovers from the journal and starts this server's incarnation; the first batch holds that.
  static absl::StatusOr<std::unique_ptr<Engine>> Recover(journal::Journal* journal,
                                                         const Options& options);

  // Decides and applies; `done` is answered with the batch. now_us and random are filled in. An ask
  // for more trials than there are waits for the optimiser and is decided again, so that its answer
  // and the trials made for it are durable together.
  void Execute(core::Command command, Runtime::Callback done);
  void Connect(const std::string& node_id, uint64_t session, const agent::v1::Hello& hello,
               std::function<void(absl::StatusOr<agent::v1::Welcome>)> done);
  // False, and nothing changes, when the node has connected anew since.
  bool Disconnect(const std::string& node_id, uint64_t session);
  // Runs `then` with the answers of this cycle, in order.
  void AfterCommit(std::function<void()> then) { batch_.answers.push_back(std::move(then)); }
  void Answer(StudyAnswer answer);
  void Answer(PlanAnswer answer);

  // Ends the cycle: what is due by the clock, placement, desired states, rows.
  void Close();
  Batch TakeBatch();
  std::vector<StudyJob> TakeStudyJobs();
  // What would become of a job if it were submitted now. Faults of the submit are answered at once;
  // else the look waits in TakePreviews for a planner thread, which answers. Each costs the owner a
  // snapshot of the queue: at most kPreviewsMax are under way, more are RESOURCE_EXHAUSTED.
  static constexpr int kPreviewsMax = 8;
  void Look(core::Command submit, std::function<void(absl::StatusOr<Preview>)> done);
  std::vector<PreviewJob> TakePreviews() { return std::exchange(previews_, {}); }
  // What would start a run that waits; nothing for any other, and when as many looks are under way
  // as may be. Waits in TakeWhatIfs for a planner thread.
  void AskWhatIf(uint64_t run_uid,
                 std::function<void(std::vector<placement::Counterfactual>)> done);
  std::vector<WhatIfJob> TakeWhatIfs() { return std::exchange(what_ifs_, {}); }
  // At most one plan job is out at a time.
  bool TakePlanJob(PlanJob* job);

  // How long nothing will be due. At most a second.
  absl::Duration Idle() const;

  // Publishes, sends, answers; any one thread, in order of batches, once the records are durable.
  void Deliver(Batch* batch, AgentLink* link);

  const core::State& state() const { return state_; }
  ViewTable& view() { return *view_; }
  Leases& leases() { return leases_; }
  uint64_t incarnation() const { return incarnation_; }
  const Options& options() const { return options_; }
  bool linked(const std::string& node_id) const { return sessions_.IsOpen(node_id); }
  // Answers of planner threads so far, and how many of them looked at everybody anew.
  struct PlanCounts {
    int64_t all = 0;
    int64_t whole = 0;
  };
  const PlanCounts& plan_counts() const { return plan_counts_; }

 private:
  Engine(journal::Journal* journal, Options options);

  absl::Status Load(journal::Journal* journal);
  int64_t NowUs() const;
  absl::StatusOr<core::Reply> Decide(core::Command* command);
  void Internal(core::CommandBody body);
  void NoteCommand(const core::Command& command);
  void Try(core::Command command, Runtime::Callback done, int rounds);
  void AnswerTelling(const core::AddMeasurement& told, core::Reply reply, Runtime::Callback done);
  void CatchUp();
  void EndSession(const std::string& node_id);
  void ExpireLeases(absl::Duration monotonic);
  void EndLostGangs(absl::Duration monotonic);
  void DoDue();
  bool PlaceHead();
  void PlaceNow();
  bool UseQuickPlan() const;
  PlanJob Snapshot(size_t most, bool* truncated);
  void TellDesk();
  PlanJob DeskJob();
  PlanJob LookJob();
  bool CarryOut(const placement::Plan& plan, const ClusterBook::Epochs& epochs, uint64_t version);
  bool WasCarriedOut(const placement::Plan& plan, const ClusterBook::Epochs& epochs) const;
  void Remember(const placement::PlanMemory& memory);
  void Explain(PlanAnswer* answer);
  void SetLinked(const std::string& node_id, bool linked);
  void NoteTerminal(uint64_t job_uid);
  void ForgetOld(const core::Touched& touched, Delta* delta);
  void ForgetDeleted(core::Touched* touched);
  Delta TakeDelta();

  const Options options_;
  journal::Journal* const journal_;
  uint64_t incarnation_ = 0;
  core::State state_;
  std::unique_ptr<ViewTable> view_;
  Leases leases_;
  LostGangs lost_gangs_;
  std::map<std::string, uint64_t> last_session_;  // of each node that has connected
  Sessions sessions_;
  ClusterBook book_;
  StudyDesk desk_;
  RunHistory history_;

  Batch batch_;
  core::Touched touched_;   // since the last TakeBatch
  core::Touched unbooked_;  // since the book and the desk last looked
  std::vector<ExplanationPtr> explanations_;
  size_t foretell_ = 0;  // the explanation of which history was told last
  std::vector<std::pair<std::string, std::function<void(absl::StatusOr<agent::v1::Welcome>)>>>
      connecting_;
  std::vector<StudyJob> study_jobs_;
  std::vector<PreviewJob> previews_;
  std::vector<WhatIfJob> what_ifs_;
  std::shared_ptr<WhatIfs> found_what_ifs_ = std::make_shared<WhatIfs>();
  // Not answered yet; planner threads count down.
  std::shared_ptr<std::atomic<int>> previews_out_ = std::make_shared<std::atomic<int>>(0);
  // What the last plan holds for runs that are to start; not durable: the next plan makes it anew.
  std::vector<placement::Reservation> held_for_gangs_;
  placement::PlanMemory memory_;            // what the last plan left; not durable either
  std::vector<core::Refusal> refused_now_;  // by the last command
  Refusals refusals_;
  int64_t wake_us_ = 0;            // a plan may differ then although nothing happened
  uint64_t specs_known_ = 0;       // the specs of jobs up to this one are or will be rows
  std::deque<uint64_t> terminal_;  // jobs that may leave memory, oldest first
  absl::flat_hash_set<uint64_t> terminal_set_;
  std::deque<uint64_t> deleted_;      // studies that leave memory and rows
  uint64_t planned_version_ = ~0ULL;  // of the book, at the last quick plan
  uint64_t explained_version_ = 0;    // of the book, at the last whole plan
  bool plan_out_ = false;
  bool quick_truncated_ = false;
  std::shared_ptr<PlanDesk> plan_desk_;  // null until a planner thread is needed
  core::Touched untold_;                 // since it was last told
  std::vector<std::pair<std::string, bool>> untold_links_;
  PlanCounts plan_counts_;
  bool whole_due_ = false;                                // the last plan was not a whole one
  absl::Duration plan_began_;                             // monotonic; the one that is out
  absl::Duration next_plan_;                              // monotonic
  absl::Duration next_whole_plan_;                        // monotonic
  absl::Duration retry_plan_ = absl::InfiniteDuration();  // monotonic
  int64_t fruitless_tick_us_ = 0;  // a deadline at which Tick had nothing to say
  absl::Duration last_tick_;       // monotonic
  absl::Duration last_due_;        // monotonic: when we last looked at what is due
  Random random_;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_ENGINE_H_
