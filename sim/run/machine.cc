// Power, life of the agent and its connection; see machine.h. Effects are in machine_effects.cc.
#include "sim/run/machine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace trainyard::sim {
namespace {

constexpr int kDevices = 4;
constexpr int64_t kReconnectMaxUs = 5 * kSecond;
constexpr int64_t kLeavePatience = 5 * kSecond;

}  // namespace

Machine::Machine(Context* context, Network* network, Checker* checker, SchedulerProcess* scheduler,
                 int node)
    : context_(context),
      network_(network),
      checker_(checker),
      scheduler_(scheduler),
      node_(node),
      clock_(context->queue().clock()) {
  inventory_.set_node_id(NodeName(node));
  inventory_.set_hostname(NodeName(node));
  inventory_.set_address(absl::StrCat(NodeName(node), ".sim"));
  inventory_.set_cores(8);
  inventory_.set_memory_bytes(int64_t{1} << 36);
  for (int i = 0; i < kDevices; ++i) {
    v1::Device* const device = inventory_.add_devices();
    device->set_uuid(absl::StrCat(NodeName(node), "-gpu", i));
    device->set_model("H200");
    device->set_memory_bytes(int64_t{1} << 37);
    device->set_index(i);
    device->set_healthy(true);
  }
}

void Machine::PowerOn() {
  on_ = true;
  inventory_.set_boot_id(absl::StrCat("boot-", ++boots_));
  inventory_.clear_available_until();
  StartAgent();
}

void Machine::PowerOff(int64_t back_us) {
  if (!on_) return;
  context_->Note("power off", node_);
  CrashAgent(-1);
  on_ = false;
  // The log of facts is not synced either: its end may be gone.
  disk_.facts.resize(disk_.facts.size() - context_->random().Below(disk_.facts.size() + 1));
  for (auto& [id, folder] : disk_.folders) {
    if (folder.supervisor != nullptr) folder.supervisor->Die();
    // The mark is not synced: what it says is told a second time.
    if (folder.reported.has_value() && context_->random().Below(2) == 0) folder.reported.reset();
  }
  context_->queue().After(back_us, Kind::kFault, [this] {
    if (!on_) PowerOn();
  });
}

void Machine::CrashAgent(int64_t restart_us) {
  if (!agent_up_) return;
  context_->Note("agent crashed", node_);
  ++life_;
  agent_up_ = connecting_ = false;
  hung_until_us_ = 0;
  backlog_.clear();
  // The core may be on the stack.
  auto gone = std::make_shared<std::unique_ptr<worker::AgentCore>>(std::move(core_));
  context_->queue().After(0, Kind::kInternal, [gone] {});
  if (stream_ != nullptr) {
    stream_->agent_closed = true;
    if (restart_us >= 0 && network_->Reaches(node_, Way::kUp)) {
      network_->BreakSoon(stream_);
    } else {
      network_->Break(stream_);
    }
    stream_.reset();
  }
  if (restart_us < 0) return;
  context_->queue().After(restart_us, Kind::kFault, [this, life = life_] {
    if (on_ && life == life_ && !agent_up_) StartAgent();
  });
}

void Machine::HangAgent(int64_t for_us) {
  if (!agent_up_) return;
  context_->Note("agent hangs", node_, static_cast<uint64_t>(for_us));
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

void Machine::KillASupervisor() {
  std::vector<std::shared_ptr<Supervisor>> live;
  for (auto& [id, folder] : disk_.folders) {
    if (folder.supervisor != nullptr && !folder.supervisor->ended()) {
      live.push_back(folder.supervisor);
    }
  }
  if (live.empty()) return;
  context_->Count(Fault::kSupervisorCrash);
  context_->Note("supervisor killed", node_);
  live[context_->random().Below(live.size())]->Die();
}

// As worker/agent/agent_end.cc, OnLeave.
void Machine::GiveNotice() {
  inventory_.mutable_available_until()->set_seconds(
      absl::ToUnixSeconds(clock_.Now() + absl::Minutes(2)));
  Run(life_, [this] {
    core_->InventoryChanged(inventory_, Time());
    Perform();
    LeaveSoon();
  });
}

void Machine::LeaveSoon() {
  After(kLeavePatience, Kind::kTimer, [this] {
    if (!inventory_.has_available_until()) return;
    core_->Leave(Time());
    Perform();
  });
}

void Machine::ShutDown() {
  std::vector<std::shared_ptr<Supervisor>> told;
  for (auto& [id, folder] : disk_.folders) {
    if (folder.supervisor != nullptr && !folder.supervisor->ended()) {
      told.push_back(folder.supervisor);
    }
  }
  for (const auto& supervisor : told) {
    supervisor->Stop(agent::v1::STOP_PREEMPT,
                     absl::Milliseconds(supervisor->assignment()->grace_ms()));
  }
}

void Machine::SetSlow(bool slow) {
  slow_ = slow;
  network_->Slow(node_, slow);
}

size_t Machine::live_supervisors() const {
  return static_cast<size_t>(
      std::count_if(disk_.folders.begin(), disk_.folders.end(), [](const auto& entry) {
        return entry.second.supervisor != nullptr && !entry.second.supervisor->ended();
      }));
}

void Machine::StartAgent() {
  ++life_;
  agent_up_ = true;
  connecting_ = performing_ = false;
  effects_.clear();
  next_effect_ = 0;
  failures_ = 0;
  tick_time_ = absl::InfiniteDuration();
  context_->Note("agent started", node_);
  core_ = std::make_unique<worker::AgentCore>(inventory_, disk_.incarnation);
  core_->RestoreFacts(disk_.facts, disk_.next_fact, disk_.acknowledged);
  std::vector<worker::MemberId> ids;
  for (const auto& [id, folder] : disk_.folders) ids.push_back(id);
  for (const worker::MemberId& id : ids) {
    Adopt(id, Find(id));
    if (!agent_up_) return;
  }
  Perform();
  Connect();
  if (inventory_.has_available_until()) LeaveSoon();
}

// As worker/agent/agent_launch.cc.
void Machine::Adopt(const worker::MemberId& id, Folder* folder) {
  using Phase = worker::AgentCore::Phase;
  if (!folder->launched) {
    disk_.folders.erase(id);  // nothing of it ever ran
    return;
  }
  const agent::v1::Assignment& assignment = *folder->assignment;
  const std::shared_ptr<Supervisor> supervisor = folder->supervisor;
  if (supervisor != nullptr && !supervisor->ended()) {
    core_->Adopt(assignment, Phase::kStarting, worker::MemberEnd(), 0, Time());
    if (supervisor->announced()) core_->Started(id, 1, Time());
    for (const int64_t step : supervisor->saves()) OnSaved(id, step);
    return;
  }
  if (folder->reported.has_value()) {
    core_->Adopt(assignment, Phase::kExited, EndOf(*folder), *folder->reported, Time());
    return;
  }
  core_->Adopt(assignment, Phase::kStarting, worker::MemberEnd(), 0, Time());
  if (supervisor != nullptr && supervisor->announced()) core_->Started(id, 1, Time());
  core_->Ended(id, EndOf(*folder), Time());
}

worker::MemberEnd Machine::EndOf(const Folder& folder) const {
  if (folder.supervisor != nullptr && folder.supervisor->record().has_value()) {
    return *folder.supervisor->record();
  }
  worker::MemberEnd end;
  end.record.set_rank(-1);
  end.record.set_node(NodeName(node_));
  end.record.set_cause(v1::INTERNAL);
  return end;
}

worker::Now Machine::Time() const { return {clock_.Monotonic(), absl::ToUnixMicros(clock_.Now())}; }

void Machine::Run(uint64_t life, const std::function<void()>& work) {
  if (life != life_ || !agent_up_) return;
  if (context_->now_us() < hung_until_us_) {
    backlog_.push_back([this, life, work] { Run(life, work); });
    return;
  }
  work();
}

void Machine::After(int64_t delay_us, Kind kind, std::function<void()> work) {
  context_->queue().After(delay_us, kind,
                          [this, life = life_, work = std::move(work)] { Run(life, work); });
}

bool Machine::DiesAt(const char* point) {
  Random& random = context_->random();
  switch (context_->StrikesAt(point, Fault::kAgentCrash, Fault::kAgentHang)) {
    case Context::Strike::kNone:
      return false;
    case Context::Strike::kCrash:
      CrashAgent(Between(&random, 100 * kMilli, 20 * kSecond));
      return true;
    case Context::Strike::kHang:
      HangAgent(Between(&random, kSecond, 40 * kSecond));
      return false;
  }
  return false;
}

void Machine::Connect() {
  if (std::exchange(connecting_, true)) return;
  const int64_t backoff = std::min(kReconnectMaxUs, (100 * kMilli) << std::min(failures_, 6));
  const int64_t wait = Between(&context_->random(), backoff / 2, backoff);
  After(wait, Kind::kTimer, [this] {
    connecting_ = false;
    const bool reached = scheduler_->serving() && network_->Reaches(node_, Way::kUp) &&
                         network_->Reaches(node_, Way::kDown);
    if (!reached) {
      ++failures_;
      return Connect();
    }
    failures_ = 0;
    stream_ = std::make_shared<Stream>();
    stream_->node = node_;
    stream_->scheduler_life = scheduler_->life();
    stream_->agent_life = life_;
    core_->Connected(Time());
    Perform();
  });
}

void Machine::CloseStream() {
  if (stream_ == nullptr) return;
  stream_->agent_closed = true;
  if (network_->Reaches(node_, Way::kUp)) {
    network_->BreakSoon(stream_);
  } else {
    network_->Break(stream_);
  }
  stream_.reset();
  core_->Disconnected();
}

void Machine::Broken(const StreamPtr& stream) {
  if (stream->agent_life != life_) return;
  Run(life_, [this, stream] {
    if (stream->agent_closed || stream != stream_) return;
    CloseStream();
    Perform();
    if (agent_up_) Connect();
  });
}

void Machine::Arrive(const StreamPtr& stream, const agent::v1::SchedulerMessage& message) {
  if (stream->agent_life != life_) return;
  if (context_->now_us() < hung_until_us_) {
    backlog_.push_back([this, stream, message] { Arrive(stream, message); });
    return;
  }
  if (!agent_up_ || stream != stream_) return;
  const bool orders = message.has_welcome() || message.has_delta();
  if (orders && context_->GuardOff(Guard::kFreeByRelease)) {
    agent::v1::SchedulerMessage hidden = message;
    HideDevices(&hidden);
    core_->Receive(hidden, Time());
  } else {
    core_->Receive(message, Time());
  }
  Perform();
}

void Machine::ScheduleTick() {
  const absl::Duration next = core_->NextTick();
  if (next == tick_time_) return;
  tick_time_ = next;
  const uint64_t round = ++tick_round_;
  if (next == absl::InfiniteDuration()) return;
  After(clock_.WorldMicros(next - clock_.Monotonic()), Kind::kTimer, [this, round] {
    if (round != tick_round_) return;
    tick_time_ = absl::InfiniteDuration();
    core_->Tick(Time());
    Perform();
  });
}

}  // namespace trainyard::sim
