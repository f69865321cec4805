// The scheduler of a simulated world: the real Engine and RowKeeper, stepped. This class plays the
// part of the threads around them (runtime/threaded.cc, committer.cc) and of the control streams
// (rpc/control_stream.cc): queues, group commits that take time, deliveries, planners, rows; and it
// can crash and hang at every point of that, and be restarted. Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_SCHEDULER_PROCESS_H_
#define TRAINYARD_SIM_RUN_SCHEDULER_PROCESS_H_

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "scheduler/runtime/engine.h"
#include "scheduler/runtime/row_keeper.h"
#include "sim/run/checker.h"
#include "sim/run/context.h"
#include "sim/run/network.h"
#include "sim/run/sim_clock.h"
#include "sim/run/sim_journal.h"

namespace trainyard::sim {

class SchedulerProcess : public runtime::AgentLink {
 public:
  using Reply = std::function<void(const absl::StatusOr<core::Reply>&)>;

  using AtAgent = std::function<void(const StreamPtr&, const agent::v1::SchedulerMessage&)>;

  // `at_agent` takes what arrives at the other end of a stream.
  SchedulerProcess(Context* context, Network* network, Checker* checker, AtAgent at_agent);

  void Start();
  // The process is gone; it starts again after that time.
  void Crash(int64_t restart_us);
  void Hang(int64_t for_us);
  void FillDisk(bool full) { disk_full_ = full; }
  // Ends the process, puts the last backup in the journal's place and starts it.
  void RestoreBackup();
  void TakeBackup();

  bool up() const { return up_; }
  bool serving() const { return serving_; }
  uint64_t life() const { return life_; }
  SimClock& clock() { return clock_; }
  const core::State& state() const { return engine_->state(); }
  // Nothing waits to be decided or to become durable.
  bool quiet() const { return serving_ && !committing_ && waiting_.empty() && Empty(); }

  // What arrives. Streams first.
  void Arrive(const StreamPtr& stream, std::shared_ptr<agent::v1::AgentMessage> message);
  void Broken(const StreamPtr& stream);
  // Calls of users: the reply is handed out when it leaves the scheduler.
  void Call(const core::Command& command, Reply reply);
  void Measured(uint64_t run_uid, uint64_t epoch, const v1::Measurement& measurement);
  // Whether the store takes bytes of that attempt now.
  absl::Status AdmitUpload(const worker::MemberId& id);

  // Of AgentLink.
  bool Send(const std::string& node_id, const agent::v1::SchedulerMessage& message) override;

 private:
  using Task = std::function<void(runtime::Engine*)>;
  enum Queue { kFacts, kChanges, kSubmits };

  // Runs it now, later when the process hangs, never when this life is over.
  void Run(uint64_t life, const std::function<void()>& work);
  void After(int64_t delay_us, Kind kind, std::function<void()> work);
  void Post(Queue queue, Task task);
  void Wake();
  bool Empty() const { return tasks_[0].empty() && tasks_[1].empty() && tasks_[2].empty(); }

  void Cycle();
  void Think();
  void ScheduleIdle();
  void StartCommit();
  bool StopsAt(const char* point, void (SchedulerProcess::*rest)());
  void FinishCommit();
  void Append();
  void Delivery();
  bool AppendRecords(const std::vector<std::string>& records);
  void DeliverAll();
  void WriteRows();
  void Flush();
  // False: the process dies in the middle of what it says.
  bool MaySay();

  // Guards that may be off.
  void FreeByVerdict(const runtime::Batch& batch);
  void ForgetEpoch(agent::v1::Fact* fact) const;
  void ForgetEndedMembers(agent::v1::Hello* hello) const;

  void OnHello(const StreamPtr& stream, const agent::v1::Hello& hello);
  void OnHeartbeat(const StreamPtr& stream, const agent::v1::Heartbeat& heartbeat);
  void OnFact(const StreamPtr& stream, agent::v1::Fact fact);
  void Close(const StreamPtr& stream);
  void Down(const StreamPtr& stream, agent::v1::SchedulerMessage message);

  Context* const context_;
  Network* const network_;
  Checker* const checker_;
  const AtAgent at_agent_;
  SimClock clock_;
  SimJournal journal_;
  bool up_ = false;
  bool serving_ = false;
  uint64_t life_ = 0;
  int64_t hung_until_us_ = 0;
  std::deque<std::function<void()>> backlog_;  // while it hangs
  std::unique_ptr<runtime::Engine> engine_;
  std::unique_ptr<runtime::RowKeeper> keeper_;
  std::array<std::deque<Task>, 3> tasks_;
  bool cycle_waits_ = false;
  uint64_t idle_round_ = 0;
  std::vector<runtime::Batch> waiting_;
  std::vector<runtime::Batch> in_flight_;
  bool committing_ = false;
  bool disk_full_ = false;
  bool doomed_ = false;             // dies when what it still may say is said
  int words_left_ = 0;              // when doomed
  uint64_t sessions_ = 0;           // streams that were greeted
  std::vector<uint64_t> archives_;  // noted, not yet written
  std::vector<uint64_t> Forgotten() const;
  std::map<std::string, StreamPtr> streams_;
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_SCHEDULER_PROCESS_H_
