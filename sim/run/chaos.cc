// See chaos.h.
#include "sim/run/chaos.h"

#include <utility>

namespace trainyard::sim {
namespace {

constexpr int64_t kMinute = 60 * kSecond;
constexpr double kDriftMax = 2e-4;  // of a quartz without a time service

}  // namespace

Chaos::Chaos(Context* context, Network* network, SchedulerProcess* scheduler,
             std::vector<std::unique_ptr<Machine>>* machines)
    : context_(context),
      network_(network),
      scheduler_(scheduler),
      machines_(machines),
      random_(MixSeed(context->options().seed, 0x6368616f)) {}

void Chaos::Every(Fault fault, int64_t mean_us, std::function<void()> work) {
  if (!context_->options().faults.contains(fault)) return;
  context_->queue().After(Exponential(&random_, static_cast<double>(mean_us)), Kind::kFault,
                          [this, fault, mean_us, work = std::move(work)] {
                            if (context_->calm()) return;
                            work();
                            Every(fault, mean_us, work);
                          });
}

void Chaos::Node(Fault fault, int64_t mean_us, std::function<void(int, Machine*)> work) {
  Every(fault, mean_us, [this, fault, work = std::move(work)] {
    const size_t node = random_.Below(machines_->size());
    if (fault != Fault::kSupervisorCrash) context_->Count(fault);
    work(static_cast<int>(node), (*machines_)[node].get());
  });
}

void Chaos::Later(int64_t delay_us, std::function<void()> work) {
  context_->queue().After(delay_us, Kind::kFault, [this, work = std::move(work)] {
    if (!context_->calm()) work();
  });
}

void Chaos::Start() {
  StartNetwork();
  StartNodes();
  StartScheduler();
}

void Chaos::StartNetwork() {
  Node(Fault::kPartition, 4 * kMinute, [this](int node, Machine*) {
    context_->Note("partition", node);
    network_->Cut(node, true, true);
    Later(Time(kSecond, 90 * kSecond), [this, node] { network_->Heal(node); });
  });
  Node(Fault::kOneWayPartition, 4 * kMinute, [this](int node, Machine*) {
    const bool up = random_.Below(2) == 0;
    context_->Note(up ? "deaf scheduler" : "deaf node", node);
    network_->Cut(node, up, !up);
    Later(Time(kSecond, 60 * kSecond), [this, node] { network_->Heal(node); });
  });
  Node(Fault::kStoreAway, 8 * kMinute, [this](int, Machine* machine) {
    machine->SetStoreAway(true);
    Later(Time(kSecond, 90 * kSecond), [machine] { machine->SetStoreAway(false); });
  });
}

void Chaos::StartNodes() {
  Node(Fault::kAgentCrash, 3 * kMinute,
       [this](int, Machine* machine) { machine->CrashAgent(Time(100 * kMilli, 60 * kSecond)); });
  Node(Fault::kAgentHang, 3 * kMinute,
       [this](int, Machine* machine) { machine->HangAgent(Time(kSecond, 60 * kSecond)); });
  Node(Fault::kSupervisorCrash, 3 * kMinute,
       [](int, Machine* machine) { machine->KillASupervisor(); });
  Node(Fault::kNodeRestart, 6 * kMinute,
       [this](int, Machine* machine) { machine->PowerOff(Time(2 * kSecond, 120 * kSecond)); });
  Node(Fault::kSpot, 10 * kMinute, [this](int node, Machine* machine) {
    context_->Note("spot notice", node);
    random_.Below(2) == 0 ? machine->GiveNotice() : machine->ShutDown();
    Later(Time(5 * kSecond, 30 * kSecond),
          [this, machine] { machine->PowerOff(Time(60 * kSecond, 300 * kSecond)); });
  });
  Node(Fault::kSlowNode, 6 * kMinute, [this](int, Machine* machine) {
    machine->SetSlow(true);
    Later(Time(10 * kSecond, 120 * kSecond), [machine] { machine->SetSlow(false); });
  });
  Node(Fault::kClockDrift, 10 * kMinute, [this](int, Machine* machine) {
    machine->clock().Drift((2 * random_.Uniform() - 1) * kDriftMax);
  });
  Node(Fault::kClockJump, 5 * kMinute, [this](int, Machine* machine) {
    machine->clock().JumpWall(Time(-3600 * kSecond, 3600 * kSecond));
  });
}

void Chaos::StartScheduler() {
  Every(Fault::kSchedulerCrash, 10 * kMinute, [this] {
    context_->Count(Fault::kSchedulerCrash);
    scheduler_->Crash(Time(100 * kMilli, 90 * kSecond));
  });
  Every(Fault::kSchedulerHang, 10 * kMinute, [this] {
    context_->Count(Fault::kSchedulerHang);
    scheduler_->Hang(Time(kSecond, 40 * kSecond));
  });
  Every(Fault::kDiskFull, 20 * kMinute, [this] {
    context_->Count(Fault::kDiskFull);
    scheduler_->FillDisk(true);
    Later(Time(kSecond, 30 * kSecond), [this] { scheduler_->FillDisk(false); });
  });
  Every(Fault::kClockDrift, 10 * kMinute, [this] {
    context_->Count(Fault::kClockDrift);
    scheduler_->clock().Drift((2 * random_.Uniform() - 1) * kDriftMax);
  });
  Every(Fault::kClockJump, 10 * kMinute, [this] {
    context_->Count(Fault::kClockJump);
    scheduler_->clock().JumpWall(Time(-600 * kSecond, 600 * kSecond));
  });
  Every(Fault::kRestore, 10 * kMinute, [this] { scheduler_->TakeBackup(); });
  Every(Fault::kRestore, 45 * kMinute, [this] { scheduler_->RestoreBackup(); });
}

void Chaos::MendAll() {
  scheduler_->FillDisk(false);
  scheduler_->clock().Drift(0);
  for (size_t node = 0; node < machines_->size(); ++node) {
    Machine* const machine = (*machines_)[node].get();
    network_->Heal(static_cast<int>(node));
    machine->SetSlow(false);
    machine->SetStoreAway(false);
    machine->clock().Drift(0);
  }
}

}  // namespace trainyard::sim
