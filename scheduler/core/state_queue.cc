// The part of the state's rows that is about the queue: settings, the ledger, and the indexes of
// who waits for whom and of what is due on nodes. See state_rows.h.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/core/deadline.h"
#include "scheduler/core/ledger.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

template <class Map>
typename Map::mapped_type Find(const Map& map, const std::string& key) {
  const auto it = map.find(key);
  return it == map.end() ? nullptr : it->second;
}

}  // namespace

int64_t DueOfNode(const records::AgentRow& agent) {
  int64_t due = kNever;
  if (agent.draining() && agent.drain_deadline_us() > 0) due = agent.drain_deadline_us();
  const int64_t leaves = LeavesAtUs(agent);
  if (leaves > 0 && agent.connected() && !agent.leaving()) {
    due = std::min(due, leaves - kLeaveAheadUs);
  }
  return due;
}

int64_t DueOfSetting(const records::SettingRow& setting) {
  if (!setting.has_reservation()) return kNever;
  const v1::Reservation& reservation = setting.reservation();
  const int64_t seconds =
      setting.begun() ? reservation.end_time().seconds() : reservation.start_time().seconds();
  return seconds * kSecondUs;
}

SettingPtr StateRows::Setting(const std::string& key) const { return Find(state_->settings, key); }
LedgerPtr StateRows::Ledger(const std::string& key) const { return Find(state_->ledger, key); }

void StateRows::SetClusterDeadline(const std::string& key, int64_t time_us) {
  const auto it = state_->cluster_deadline_of.find(key);
  if (it != state_->cluster_deadline_of.end()) {
    if (it->second == time_us) return;
    state_->cluster_deadlines.erase({it->second, key});
    state_->cluster_deadline_of.erase(it);
  }
  if (time_us == kNever) return;
  state_->cluster_deadlines.insert({time_us, key});
  state_->cluster_deadline_of[key] = time_us;
}

void StateRows::PutSetting(SettingPtr row) {
  touched_->setting_keys.insert(row->key());
  SetClusterDeadline(row->key(), DueOfSetting(*row));
  state_->settings[row->key()] = std::move(row);
}

void StateRows::DropSetting(const std::string& key) {
  touched_->setting_keys.insert(key);
  SetClusterDeadline(key, kNever);
  state_->settings.erase(key);
}

void StateRows::PutLedger(LedgerPtr row) {
  const std::string key = LedgerKey(*row);
  touched_->ledger_keys.insert(key);
  state_->ledger[key] = std::move(row);
}

void StateRows::IndexTelling(uint64_t job_uid) {
  const JobPtr job = Job(job_uid);
  if (job == nullptr || !IsTerminal(job->state())) return;
  if (state_->dependents.contains(job_uid)) state_->untold_jobs.insert(job_uid);
}

// Most jobs have nothing of this: they cost two look-ups of an absent message.
void StateRows::IndexQueue(const records::JobRow* old, const records::JobRow& now) {
  const bool over = IsTerminal(now.state());
  if (over) IndexTelling(now.uid());
  if (!now.has_queue() && (old == nullptr || !old->has_queue())) return;
  if (old != nullptr) {
    for (const records::WaitsFor& wait : old->queue().waits_for()) {
      auto& dependents = state_->dependents[wait.job_uid()];
      dependents.erase(now.uid());
      if (!dependents.empty()) continue;
      state_->dependents.erase(wait.job_uid());
      state_->untold_jobs.erase(wait.job_uid());
    }
  }
  for (const records::WaitsFor& wait : now.queue().waits_for()) {
    if (over) continue;
    state_->dependents[wait.job_uid()].insert(now.uid());
    IndexTelling(wait.job_uid());
  }
  const bool broken = !now.queue().broken().empty() && !over && !now.cancel_requested();
  if (broken) {
    state_->broken_jobs.insert(now.uid());
  } else {
    state_->broken_jobs.erase(now.uid());
  }
  if (old == nullptr || old->queue().SerializeAsString() == now.queue().SerializeAsString()) return;
  // What is said of the job's place is also read of its runs.
  const auto look_again = [this](uint64_t run_uid) {
    const RunPtr run = Run(run_uid);
    if (run == nullptr) return;
    touched_->runs.insert(run_uid);
    IndexDeadline(*run);
  };
  look_again(now.run_uid());
  if (now.study_uid() == 0) return;
  for (const int32_t id : OpenTrials(now.study_uid())) {
    look_again(state_->trials.at({now.study_uid(), id})->run_uid());
  }
}

void StateRows::ForgetQueue(const records::JobRow& job) {
  state_->dependents.erase(job.uid());
  state_->untold_jobs.erase(job.uid());
  state_->broken_jobs.erase(job.uid());
}

}  // namespace trainyard::core
