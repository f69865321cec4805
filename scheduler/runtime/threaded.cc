// The threads around an engine; see runtime.h. The owner thread runs tasks from three queues (facts
// and planners' answers first, then cancels and other changes, then submits), closes a cycle and
// hands the batch to the committer. One thread plans, others think about studies, one more answers
// what people ask about plans, so that no plan waits for any; one writes rows when it is quiet, and
// one checks once what of the journal was left unchecked at the start.
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <deque>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/errors.h"
#include "glog/logging.h"
#include "scheduler/runtime/committer.h"
#include "scheduler/runtime/engine.h"
#include "scheduler/runtime/queue_class.h"
#include "scheduler/runtime/runtime.h"

namespace trainyard::runtime {
namespace {

constexpr absl::Duration kRowLook = absl::Milliseconds(200);
constexpr absl::Duration kRowQuiet = absl::Milliseconds(100);
constexpr int kRowLooksMax = 25;  // without a quiet moment: about five seconds
constexpr size_t kRowsPendingMax = 50000;
constexpr size_t kRowsTrim = 1000;  // written since: worth giving their memory back
constexpr int kTrimLooks = 5;       // without rows: a second
constexpr int kCheckNice = 10;

using Task = std::function<void(Engine*)>;

class Threaded : public Runtime {
 public:
  Threaded(journal::Journal* journal, AgentLink* link, std::unique_ptr<Engine> engine)
      : engine_(std::move(engine)),
        guard_(engine_->options().state_folder, engine_->options().reserve_bytes),
        keeper_(journal, engine_->incarnation(), &engine_->view()),
        committer_(journal, engine_.get(), link, &guard_, &keeper_) {
    owner_ = std::thread([this] { RunOwner(); });
    rows_ = std::thread([this] { RunRows(); });
    planners_.emplace_back([this] { RunPlanner(&work_); });
    for (int i = 0; i < std::max(1, engine_->options().study_threads); ++i) {
      planners_.emplace_back([this] { RunPlanner(&studies_); });
    }
    planners_.emplace_back([this] { RunPlanner(&looks_); });
    checker_ = std::thread([this, journal] { CheckRest(journal); });
  }

  ~Threaded() override {
    checker_stops_ = true;
    checker_.join();
    {
      MutexLock lock(&mutex_);
      closed_ = true;
      planners_stop_ = true;
    }
    wake_.NotifyAll();
    think_.NotifyAll();
    for (std::thread& planner : planners_) planner.join();  // a search of what-ifs ends at once
    {
      MutexLock lock(&mutex_);
      owner_stops_ = true;
    }
    wake_.NotifyAll();
    owner_.join();
    committer_.Stop();
    rows_wake_.NotifyAll();
    rows_.join();
    if (const absl::Status status = keeper_.Flush(); !status.ok()) {
      LOG(WARNING) << "rows not written at the end, the journal's tail has it all: " << status;
    }
  }

  void Post(core::Command command, Callback done) override {
    const QueueClass queue = QueueClassOf(command);
    if (queue == QueueClass::kSubmit && guard_.full()) {
      if (done != nullptr) done(guard_.Refusal());
      return;
    }
    // The task owns both; std::function wants them copyable, so they are shared.
    auto owned =
        std::make_shared<std::pair<core::Command, Callback>>(std::move(command), std::move(done));
    const absl::Status status = Queue(queue, [owned](Engine* engine) {
      engine->Execute(std::move(owned->first), std::move(owned->second));
    });
    if (!status.ok() && owned->second != nullptr) owned->second(status);
  }

  // Returns when all that came before is durable and in the view.
  void AwaitDurable() {
    absl::Notification durable;
    const absl::Status status = Queue(QueueClass::kFact, [&durable](Engine* engine) {
      engine->AfterCommit([&durable] { durable.Notify(); });
    });
    if (status.ok()) durable.WaitForNotification();
  }

  const View& view() const override { return engine_->view(); }

  bool AgentLinked(const std::string& node_id) const override {
    MutexLock lock(&linked_mutex_);
    return linked_.contains(node_id);
  }

  void AgentConnected(const std::string& node_id, uint64_t session, const agent::v1::Hello& hello,
                      std::function<void(absl::StatusOr<agent::v1::Welcome>)> done) override {
    const absl::Status status = Queue(QueueClass::kFact, [=, this](Engine* engine) {
      engine->Connect(node_id, session, hello, [this, node_id, done](auto welcome) {
        if (welcome.ok()) SetLinked(node_id, true);
        done(std::move(welcome));
      });
    });
    if (!status.ok()) done(status);
  }

  bool AgentHeartbeat(const std::string& node_id) override {
    return engine_->leases().Renew(node_id, engine_->options().clock->Monotonic(),
                                   engine_->options().lease);
  }

  void AgentDisconnected(const std::string& node_id, uint64_t session) override {
    // In order with connects of the same node, on the owner's and on the commit thread.
    Queue(QueueClass::kFact, [this, node_id, session](Engine* engine) {
      if (!engine->Disconnect(node_id, session)) return;
      engine->AfterCommit([this, node_id] { SetLinked(node_id, false); });
    }).IgnoreError();
  }

  void LookAhead(core::Command submit, std::function<void(absl::StatusOr<Preview>)> done) override {
    auto shared = std::make_shared<core::Command>(std::move(submit));
    const absl::Status status = Queue(QueueClass::kSubmit, [shared, done](Engine* engine) {
      engine->Look(std::move(*shared), done);
    });
    if (!status.ok()) done(status);
  }

  void WhatIf(uint64_t run_uid,
              std::function<void(std::vector<placement::Counterfactual>)> done) override {
    const absl::Status status = Queue(
        QueueClass::kSubmit, [run_uid, done](Engine* engine) { engine->AskWhatIf(run_uid, done); });
    if (!status.ok()) done({});
  }

 private:
  static constexpr size_t kQueues = 3;

  void SetLinked(const std::string& node_id, bool linked) {
    MutexLock lock(&linked_mutex_);
    if (linked) {
      linked_.insert(node_id);
    } else {
      linked_.erase(node_id);
    }
  }

  absl::Status Queue(QueueClass queue, Task task) {
    {
      MutexLock lock(&mutex_);
      if (closed_) return absl::UnavailableError("the scheduler is stopping; try again");
      std::deque<Task>& tasks = queues_[static_cast<size_t>(queue)];
      // Facts are limited by the agents' own windows; their bound is only a last resort.
      const size_t most = engine_->options().queue_max * (queue == QueueClass::kFact ? 10 : 1);
      if (tasks.size() >= most) {
        return MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                         absl::StrCat(tasks.size(), " requests wait already"),
                         "try again in a second");
      }
      tasks.push_back(std::move(task));
    }
    wake_.NotifyOne();
    return absl::OkStatus();
  }

  bool Empty() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return queues_[0].empty() && queues_[1].empty() && queues_[2].empty();
  }

  // Waits for tasks or until something is due; false when the owner is to end.
  bool TakeTasks(absl::Duration idle, std::vector<Task>* tasks) {
    MutexLock lock(&mutex_);
    if (Empty() && !owner_stops_ && idle > absl::ZeroDuration()) wake_.WaitFor(&mutex_, idle);
    const size_t most = static_cast<size_t>(engine_->options().batch_max);
    for (std::deque<Task>& queue : queues_) {
      while (!queue.empty() && tasks->size() < most) {
        tasks->push_back(std::move(queue.front()));
        queue.pop_front();
      }
    }
    return !tasks->empty() || !owner_stops_;
  }

  void RunOwner() {
    std::vector<Task> tasks;
    do {
      for (Task& task : tasks) task(engine_.get());
      tasks.clear();
      engine_->Close();
      Batch batch = engine_->TakeBatch();
      if (!batch.empty()) committer_.Push(std::move(batch));
      Think();
    } while (TakeTasks(engine_->Idle(), &tasks));
  }

  void Think() {
    for (StudyJob& job : engine_->TakeStudyJobs()) {
      auto shared = std::make_shared<StudyJob>(std::move(job));
      Plan(&studies_, [this, shared] {
        auto answer = std::make_shared<StudyAnswer>(runtime::Think(*shared, view()));
        Answered([answer](Engine* engine) { engine->Answer(std::move(*answer)); });
      });
    }
    for (PreviewJob& preview : engine_->TakePreviews()) {
      auto shared = std::make_shared<PreviewJob>(std::move(preview));
      Plan(&looks_, [this, shared] {
        const auto done = shared->done;
        done(ThinkOver(std::move(*shared), Limited()));
      });
    }
    for (WhatIfJob& ask : engine_->TakeWhatIfs()) {
      auto shared = std::make_shared<WhatIfJob>(std::move(ask));
      Plan(&looks_, [this, shared] {
        const auto done = shared->done;
        done(ThinkOver(std::move(*shared), Limited()));
      });
    }
    auto job = std::make_shared<PlanJob>();
    if (!engine_->TakePlanJob(job.get())) return;
    Plan(&work_, [this, job] {
      auto answer = std::make_shared<PlanAnswer>(ThinkOver(std::move(*job)));
      Answered([answer](Engine* engine) { engine->Answer(std::move(*answer)); });
    });
  }

  // As long as a search of what would start a run may go on.
  placement::GoOn Limited() {
    return [this, end = engine_->options().clock->Monotonic() + kWhatIfTime] {
      if (engine_->options().clock->Monotonic() >= end) return false;
      MutexLock lock(&mutex_);
      return !planners_stop_;
    };
  }

  using Work = std::deque<std::function<void()>>;
  void Plan(Work* queue, std::function<void()> work) {
    {
      MutexLock lock(&mutex_);
      queue->push_back(std::move(work));
    }
    think_.NotifyAll();
  }

  // Unlike others, answers of planners are taken until the owner ends.
  void Answered(Task task) {
    {
      MutexLock lock(&mutex_);
      queues_[0].push_back(std::move(task));
    }
    wake_.NotifyOne();
  }

  void RunPlanner(Work* queue) {
    while (true) {
      std::function<void()> work;
      {
        MutexLock lock(&mutex_);
        while (queue->empty() && !planners_stop_) think_.Wait(&mutex_);
        if (planners_stop_) return;
        work = std::move(queue->front());
        queue->pop_front();
      }
      work();
    }
  }

  void RunRows() {
    int looks = 0;
    size_t written = 0;  // rows since memory was last given back
    int idle = 0;        // looks without rows
    while (true) {
      {
        MutexLock lock(&mutex_);
        if (owner_stops_) return;
        rows_wake_.WaitFor(&mutex_, kRowLook);
        if (owner_stops_) return;
      }
      guard_.Look();
      const size_t pending = keeper_.pending();
      const bool due = pending > 0 && (committer_.Quiet(kRowQuiet) || ++looks > kRowLooksMax ||
                                       pending > kRowsPendingMax);
      idle = pending == 0 ? idle + 1 : 0;
      if (idle >= kTrimLooks && written > kRowsTrim) {
        malloc_trim(0);  // what many rows took on their way is not needed again
        written = 0;
      }
      if (!due) continue;
      looks = 0;
      written += pending;
      const absl::Status status = keeper_.Flush();
      if (absl::IsResourceExhausted(status)) {
        guard_.Full();
      } else if (!status.ok()) {
        EndProcess(status);
      }
    }
  }

  // Once, behind everything else: what of the journal was too large to check before serving.
  void CheckRest(journal::Journal* journal) {
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kCheckNice);  // of this thread alone
    const absl::Status status = journal->CheckRest(checker_stops_);
    if (absl::IsDataLoss(status)) EndProcess(status);
    if (!status.ok() && !absl::IsCancelled(status)) {
      LOG(ERROR) << "not all of the journal could be checked: " << status;
    }
  }

  std::unique_ptr<Engine> engine_;
  DiskGuard guard_;
  RowKeeper keeper_;
  Committer committer_;

  Mutex mutex_;
  CondVar wake_;
  CondVar think_;
  CondVar rows_wake_;
  std::array<std::deque<Task>, kQueues> queues_ ABSL_GUARDED_BY(mutex_);
  Work work_ ABSL_GUARDED_BY(mutex_);     // plans
  Work studies_ ABSL_GUARDED_BY(mutex_);  // suggestions and stops
  Work looks_ ABSL_GUARDED_BY(mutex_);    // what people ask
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool planners_stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool owner_stops_ ABSL_GUARDED_BY(mutex_) = false;
  mutable Mutex linked_mutex_;
  std::set<std::string> linked_ ABSL_GUARDED_BY(linked_mutex_);
  std::atomic<bool> checker_stops_{false};
  std::thread checker_;
  std::thread owner_;
  std::thread rows_;
  std::vector<std::thread> planners_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::Start(journal::Journal* journal, AgentLink* link,
                                                        Options options) {
  auto engine = Engine::Recover(journal, options);
  if (!engine.ok()) return engine.status();
  malloc_trim(0);  // reading takes more memory than what was read
  auto threaded = std::make_unique<Threaded>(journal, link, *std::move(engine));
  threaded->AwaitDurable();
  return std::unique_ptr<Runtime>(std::move(threaded));
}

}  // namespace trainyard::runtime
