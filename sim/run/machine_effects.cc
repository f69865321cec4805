// The effects of an agent's core on a simulated node, as worker/agent performs them; see machine.h.
// An agent can die before and after each of them.
#include <utility>

#include "absl/strings/str_cat.h"
#include "sim/run/machine.h"

namespace trainyard::sim {
namespace {

constexpr int kStagingTries = 30;  // a second apart
constexpr double kStagingFails = 0.01;

}  // namespace

void Machine::Perform() {
  if (std::exchange(performing_, true)) return;
  const uint64_t life = life_;
  while (true) {
    if (next_effect_ == effects_.size()) {
      effects_ = core_->TakeEffects();
      next_effect_ = 0;
      if (effects_.empty()) break;
    }
    if (context_->now_us() < hung_until_us_) {  // since the last one
      performing_ = false;
      return Run(life, [this] { Perform(); });
    }
    std::visit([this](auto& one) { Do(one); }, effects_[next_effect_++]);
    if (life != life_) return;
  }
  performing_ = false;
  ScheduleTick();
}

void Machine::Do(worker::SendToScheduler& effect) {
  if (!effect.message.has_heartbeat() && DiesAt("agent.before_send")) return;
  if (stream_ == nullptr) return;
  auto message = std::make_shared<agent::v1::AgentMessage>(std::move(effect.message));
  network_->Send(stream_, Way::kUp, [scheduler = scheduler_, stream = stream_, message] {
    scheduler->Arrive(stream, message);
  });
}

void Machine::Do(const worker::StoreFact& effect) {
  if (DiesAt("agent.before_store_fact")) return;
  disk_.facts.push_back(effect.fact);
  disk_.next_fact = effect.fact.sequence() + 1;
  if (DiesAt("agent.after_store_fact")) return;
  if (!effect.fact.has_exited()) return;
  if (Folder* const folder = Find(worker::IdOf(effect.fact.key()))) {
    folder->reported = effect.fact.sequence();
  }
  DiesAt("agent.after_mark_reported");
}

void Machine::Do(const worker::DropFacts& effect) {
  if (DiesAt("agent.before_drop_facts")) return;
  disk_.acknowledged = std::max(disk_.acknowledged, effect.through);
  std::erase_if(disk_.facts,
                [&](const agent::v1::Fact& fact) { return fact.sequence() <= effect.through; });
}

void Machine::Do(const worker::StoreIncarnation& effect) {
  if (DiesAt("agent.before_store_incarnation")) return;
  disk_.incarnation = effect.incarnation;
}

void Machine::Do(const worker::StageMember& effect) {
  if (DiesAt("agent.before_stage")) return;
  const agent::v1::Assignment* const assignment = core_->FindAssignment(effect.id);
  if (assignment == nullptr) return;
  Folder& folder = disk_.folders[effect.id];
  folder.assignment = std::make_shared<const agent::v1::Assignment>(*assignment);
  After(Slowly(Between(&context_->random(), kMilli, 2 * kSecond)), Kind::kProcess,
        [this, id = effect.id] { TryStaging(id, kStagingTries); });
}

// Half of the programs have something to fetch.
void Machine::TryStaging(const worker::MemberId& id, int tries) {
  if (Find(id) == nullptr) return;
  const bool fetches = id.run_uid % 2 == 0;
  const bool store = !store_away_ && scheduler_->serving() && network_->Reaches(node_, Way::kUp);
  if (fetches && !store && tries > 0) {
    return After(kSecond, Kind::kTimer, [this, id, tries] { TryStaging(id, tries - 1); });
  }
  const bool fails = !context_->calm() && context_->random().Uniform() < kStagingFails;
  const absl::Status status = (fetches && !store) || fails
                                  ? absl::UnavailableError("the store cannot be reached")
                                  : absl::OkStatus();
  core_->Staged(id, status, 12345, Time());
  Perform();
}

void Machine::Do(const worker::CancelStaging&) { DiesAt("agent.before_cancel_staging"); }

void Machine::Do(const worker::LaunchMember& effect) {
  Folder* const folder = Find(effect.id);
  if (folder == nullptr) return;
  folder->assignment =
      std::make_shared<const agent::v1::Assignment>(*core_->FindAssignment(effect.id));
  if (const auto hidden = hidden_.find(effect.id); hidden != hidden_.end()) {
    folder->assignment = std::make_shared<const agent::v1::Assignment>(hidden->second);
  }
  folder->launched = true;
  if (DiesAt("agent.before_launch")) return;
  folder->supervisor = std::make_shared<Supervisor>(context_, checker_, &clock_, Listen(), node_,
                                                    folder->assignment);
  folder->supervisor->Start(core_->LeaseLeft(*folder->assignment, Time()),
                            core_->LeaseGrace(*folder->assignment));
  DiesAt("agent.after_launch");
}

void Machine::Do(const worker::StopMember& effect) {
  if (DiesAt("agent.before_stop")) return;
  Folder* const folder = Find(effect.id);
  if (folder == nullptr || folder->supervisor == nullptr) return;
  folder->supervisor->Stop(effect.reason, effect.grace);
}

void Machine::Do(const worker::RenewLease& effect) {
  Folder* const folder = Find(effect.id);
  if (folder != nullptr && folder->supervisor != nullptr) folder->supervisor->Renew(effect.length);
}

void Machine::Do(const worker::PublishMember& effect) {
  if (DiesAt("agent.before_publish")) return;
  After(Slowly(Between(&context_->random(), 5 * kMilli, kSecond)), Kind::kProcess,
        [this, id = effect.id] {
          TryUpload(id, [this, id](const absl::Status& status) {
            if (DiesAt("agent.after_publish")) return;
            std::vector<v1::OutputTree> outputs;
            if (status.ok()) {
              outputs.emplace_back();
              outputs.back().set_kind("model");
              outputs.back().set_digest(worker::FolderName(id));
              outputs.back().set_epoch(id.epoch);
              outputs.back().set_member(id.member);
            }
            core_->Published(id, status, outputs, Time());
            Perform();
          });
        });
}

// Until the store answers; the core has its own limit.
void Machine::TryUpload(const worker::MemberId& id, std::function<void(const absl::Status&)> done) {
  if (Find(id) == nullptr) return;
  const bool reached =
      !store_away_ && network_->Reaches(node_, Way::kUp) && network_->Reaches(node_, Way::kDown);
  const absl::Status status =
      reached ? scheduler_->AdmitUpload(id) : absl::UnavailableError("no way to the store");
  if (!absl::IsUnavailable(status)) return done(status);
  After(kSecond, Kind::kTimer, [this, id, done = std::move(done)] { TryUpload(id, done); });
}

void Machine::Do(const worker::CleanMember& effect) {
  After(Between(&context_->random(), kMilli, 50 * kMilli), Kind::kProcess, [this, id = effect.id] {
    if (DiesAt("agent.before_clean")) return;
    disk_.folders.erase(id);
    if (DiesAt("agent.after_clean")) return;
    core_->Cleaned(id);
    Perform();
  });
}

void Machine::Do(const worker::Reconnect&) {
  CloseStream();
  Connect();
}

Supervisor::Listener Machine::Listen() {
  Supervisor::Listener listener;
  listener.running = [this](const worker::MemberId& id) { OnRunning(id); };
  listener.ended = [this](const worker::MemberId& id) { OnEnded(id); };
  listener.saved = [this](const worker::MemberId& id, int64_t step) {
    Run(life_, [this, id, step] { OnSaved(id, step); });
  };
  listener.measured = [this](const worker::MemberId& id, const v1::Measurement& point) {
    network_->SendAlone(node_, Way::kUp, [scheduler = scheduler_, id, point] {
      scheduler->Measured(id.run_uid, id.epoch, point);
    });
  };
  listener.is_slow = [this] { return slow_; };
  return listener;
}

void Machine::OnRunning(const worker::MemberId& id) {
  Run(life_, [this, id] {
    core_->Started(id, 1, Time());
    Perform();
  });
}

void Machine::OnEnded(const worker::MemberId& id) {
  Run(life_, [this, id] {
    Folder* const folder = Find(id);
    if (folder == nullptr) return;
    core_->Ended(id, EndOf(*folder), Time());
    Perform();
  });
}

// A checkpoint travels while the program goes on.
void Machine::OnSaved(const worker::MemberId& id, int64_t step) {
  After(Slowly(Between(&context_->random(), 5 * kMilli, kSecond)), Kind::kProcess,
        [this, id, step] {
          TryUpload(id, [this, id, step](const absl::Status& status) {
            if (!status.ok()) return;
            core_->CheckpointDurable(id, step, worker::FolderName(id), Time());
            Perform();
          });
        });
}

void Machine::HideDevices(agent::v1::SchedulerMessage* message) {
  auto* const desired = message->has_welcome() ? message->mutable_welcome()->mutable_desired()
                                               : message->mutable_delta()->mutable_set();
  for (agent::v1::DesiredMember& member : *desired) {
    if (!member.has_assignment()) continue;
    hidden_[worker::IdOf(member.key())] = member.assignment();
    for (agent::v1::RankSlot& rank : *member.mutable_assignment()->mutable_ranks()) {
      rank.clear_device_uuids();
    }
  }
}

Machine::Folder* Machine::Find(const worker::MemberId& id) {
  const auto found = disk_.folders.find(id);
  return found == disk_.folders.end() ? nullptr : &found->second;
}

}  // namespace trainyard::sim
