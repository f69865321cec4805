// Life, queues and calls of a simulated scheduler; see scheduler_process.h. Commits, planners and
// rows are in scheduler_commit.cc, control streams in scheduler_streams.cc.
#include "sim/run/scheduler_process.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"

namespace trainyard::sim {
namespace {

constexpr absl::Duration kLease = absl::Seconds(10);
constexpr size_t kBatchMax = 512;

}  // namespace

SchedulerProcess::SchedulerProcess(Context* context, Network* network, Checker* checker,
                                   AtAgent at_agent)
    : context_(context),
      network_(network),
      checker_(checker),
      at_agent_(std::move(at_agent)),
      clock_(context->queue().clock()),
      journal_(!context->GuardOff(Guard::kEpochOnce)) {}

// In memory no more, of batches that wait, are on their way to the disk, or have no rows yet.
std::vector<uint64_t> SchedulerProcess::Forgotten() const {
  std::vector<uint64_t> uids = archives_;
  for (const auto* batches : {&waiting_, &in_flight_}) {
    for (const runtime::Batch& batch : *batches) {
      for (const runtime::Archive& archive : batch.delta.archives) {
        uids.push_back(archive.job->uid());
      }
    }
  }
  return uids;
}

void SchedulerProcess::Start() {
  ++life_;
  checker_->AskForgotten([this] { return Forgotten(); });
  runtime::Options options;
  options.clock = &clock_;
  options.version = "sim";
  options.store_address = "store";
  options.lease = kLease;
  options.recent_jobs_max = 8;
  options.policy = *placement::PolicyNamed("las-r");  // the real scheduler's default
  options.seed = context_->random().Next() | 1;
  options.plan_apart = options.seed % 4 == 1;  // some lives plan as large clusters do
  auto engine = runtime::Engine::Recover(&journal_, options);
  if (!engine.ok()) {
    return context_->Violate(
        absl::StrCat("the journal cannot be read: ", engine.status().message()));
  }
  engine_ = *std::move(engine);
  keeper_ =
      std::make_unique<runtime::RowKeeper>(&journal_, engine_->incarnation(), &engine_->view());
  up_ = true;
  serving_ = doomed_ = committing_ = false;
  context_->Note("scheduler started", -1, engine_->incarnation());
  // As the real owner thread: a batch is taken only of a closed cycle, or its delta stays behind.
  engine_->Close();
  const core::State recovered = engine_->state();  // before old jobs leave memory
  runtime::Batch first = engine_->TakeBatch();
  checker_->Recovered(recovered, first.records, &journal_);
  first.answers.push_back([this, life = life_] {
    if (life == life_) serving_ = true;
  });
  waiting_.push_back(std::move(first));
  StartCommit();
  Wake();
  After(kSecond, Kind::kTimer, [this] { WriteRows(); });
}

void SchedulerProcess::Crash(int64_t restart_us) {
  if (!up_) return;
  context_->Note("scheduler crashed", -1);
  ++life_;
  up_ = serving_ = cycle_waits_ = committing_ = doomed_ = false;
  hung_until_us_ = 0;
  backlog_.clear();
  for (auto& queue : tasks_) queue.clear();
  waiting_.clear();
  in_flight_.clear();
  archives_.clear();
  // The engine may be on the stack: it goes when that is over.
  auto gone = std::make_shared<
      std::pair<std::unique_ptr<runtime::Engine>, std::unique_ptr<runtime::RowKeeper>>>(
      std::move(engine_), std::move(keeper_));
  context_->queue().After(0, Kind::kInternal, [gone] {});
  for (auto& [node, stream] : std::exchange(streams_, {})) {
    stream->server_closed = true;
    if (network_->Reaches(stream->node, Way::kDown)) network_->BreakSoon(stream);
  }
  context_->queue().After(restart_us, Kind::kFault, [this, life = life_] {
    if (life == life_ && !up_) Start();
  });
}

void SchedulerProcess::Hang(int64_t for_us) {
  if (!up_) return;
  context_->Note("scheduler hangs", -1, static_cast<uint64_t>(for_us));
  hung_until_us_ = context_->now_us() + for_us;
  context_->queue().After(for_us, Kind::kFault, [this, life = life_] {
    if (life != life_) return;
    hung_until_us_ = 0;
    for (auto& work : std::exchange(backlog_, {})) {
      if (life != life_) return;
      work();
    }
  });
}

void SchedulerProcess::TakeBackup() {
  if (!up_ || committing_) return;
  journal_.Back();
  checker_->BackedUp();
}

void SchedulerProcess::RestoreBackup() {
  if (!journal_.has_backup() || !up_) return;
  context_->Count(Fault::kRestore);
  Crash(3 * kSecond);
  context_->Note("backup restored", -1);
  journal_.Restore();
  checker_->Restored();
}

void SchedulerProcess::Run(uint64_t life, const std::function<void()>& work) {
  if (life != life_ || !up_) return;
  if (context_->now_us() < hung_until_us_) {
    backlog_.push_back([this, life, work] { Run(life, work); });
    return;
  }
  work();
}

void SchedulerProcess::After(int64_t delay_us, Kind kind, std::function<void()> work) {
  context_->queue().After(delay_us, kind,
                          [this, life = life_, work = std::move(work)] { Run(life, work); });
}

void SchedulerProcess::Post(Queue queue, Task task) {
  tasks_[queue].push_back(std::move(task));
  Wake();
}

void SchedulerProcess::Wake() {
  if (std::exchange(cycle_waits_, true)) return;
  After(Between(&context_->random(), 10, 100), Kind::kInternal, [this] { Cycle(); });
}

void SchedulerProcess::Cycle() {
  cycle_waits_ = false;
  size_t done = 0;
  for (auto& queue : tasks_) {
    for (; !queue.empty() && done < kBatchMax; ++done) {
      const Task task = std::move(queue.front());
      queue.pop_front();
      task(engine_.get());
    }
  }
  engine_->Close();
  runtime::Batch batch = engine_->TakeBatch();
  if (context_->GuardOff(Guard::kAckAfterSync)) {
    for (const auto& answer : std::exchange(batch.answers, {})) answer();
  }
  if (context_->GuardOff(Guard::kFreeByRelease)) FreeByVerdict(batch);
  if (!batch.empty()) waiting_.push_back(std::move(batch));
  Think();
  StartCommit();
  if (!Empty()) Wake();
  ScheduleIdle();
}

void SchedulerProcess::ScheduleIdle() {
  const int64_t wait = clock_.WorldMicros(engine_->Idle());
  After(std::max<int64_t>(wait, kMilli), Kind::kTimer, [this, round = ++idle_round_] {
    if (round == idle_round_) Wake();
  });
}

void SchedulerProcess::Think() {
  Random& random = context_->random();
  for (runtime::StudyJob& job : engine_->TakeStudyJobs()) {
    auto shared = std::make_shared<runtime::StudyJob>(std::move(job));
    After(Between(&random, kMilli, 50 * kMilli), Kind::kPlanner, [this, shared] {
      auto answer =
          std::make_shared<runtime::StudyAnswer>(runtime::Think(*shared, engine_->view()));
      Post(kFacts, [answer](runtime::Engine* engine) { engine->Answer(std::move(*answer)); });
    });
  }
  auto job = std::make_shared<runtime::PlanJob>();
  if (!engine_->TakePlanJob(job.get())) return;
  After(Between(&random, kMilli, 50 * kMilli), Kind::kPlanner, [this, job] {
    auto answer = std::make_shared<runtime::PlanAnswer>(runtime::ThinkOver(std::move(*job)));
    Post(kFacts, [answer](runtime::Engine* engine) { engine->Answer(std::move(*answer)); });
  });
}

void SchedulerProcess::Call(const core::Command& command, Reply reply) {
  if (!serving_) return reply(absl::UnavailableError("the scheduler is away"));
  const bool is_submit = std::holds_alternative<core::SubmitJob>(command.body) ||
                         std::holds_alternative<core::AskTrials>(command.body) ||
                         std::holds_alternative<core::CreateStudy>(command.body);
  if (is_submit && disk_full_) return reply(absl::ResourceExhaustedError("the disk is full"));
  Run(life_, [=, this] {
    Post(is_submit ? kSubmits : kChanges, [=, this](runtime::Engine* engine) {
      const auto decided = std::make_shared<uint64_t>(0);
      engine->Execute(command, [=, this](const absl::StatusOr<core::Reply>& answer) {
        if (!MaySay()) return;
        if (answer.ok()) checker_->Answered(*decided, command.body);
        reply(answer);
      });
      *decided = engine->state().sequence;
    });
  });
}

void SchedulerProcess::Measured(uint64_t run_uid, uint64_t epoch,
                                const v1::Measurement& measurement) {
  if (!serving_) return;
  Run(life_, [=, this] {
    core::Command command;
    command.principal.name = absl::StrCat(run_uid, "/", epoch);
    command.principal.role = v1::ADMIN;
    command.principal.is_system = true;
    command.body = core::ReportMeasurements{run_uid, epoch, {measurement}};
    Post(kFacts, [command](runtime::Engine* engine) { engine->Execute(command, nullptr); });
  });
}

// As rpc and store do it: the token of an attempt is good while its epoch is the run's current one
// and one of its members is not released.
absl::Status SchedulerProcess::AdmitUpload(const worker::MemberId& id) {
  if (!serving_ || context_->now_us() < hung_until_us_) return absl::UnavailableError("no store");
  if (context_->GuardOff(Guard::kFence)) return absl::OkStatus();
  const core::RunPtr run = engine_->view().Run(id.run_uid);
  const bool lives =
      run != nullptr && run->attempt().epoch() == id.epoch &&
      std::any_of(run->attempt().members().begin(), run->attempt().members().end(),
                  [](const journal::v1::MemberRow& member) { return !member.released(); });
  if (lives) return absl::OkStatus();
  checker_->StaleRefused();
  return absl::UnauthenticatedError("the token is of an attempt that is over");
}

}  // namespace trainyard::sim
