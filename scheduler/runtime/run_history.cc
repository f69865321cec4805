// See run_history.h.
#include "scheduler/runtime/run_history.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "scheduler/runtime/planner_view.h"

namespace trainyard::runtime {
namespace {

constexpr absl::Duration kShareGap = absl::Seconds(5);
constexpr size_t kForetoldMax = 20'000;

}  // namespace

std::string HistoryName(const journal::v1::JobRow& job, const trainyard::v1::JobSpec& spec) {
  const std::string& whole = spec.display_name().empty() ? job.job_id() : spec.display_name();
  size_t size = whole.size();
  const auto is_tail = [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  };
  while (size > 0 && is_tail(whole[size - 1])) --size;
  return size == 0 ? whole : whole.substr(0, size);
}

void RunHistory::Ended(const core::State& state, const journal::v1::RunRow& run) {
  foretold_.erase(run.uid());
  if (run.used().run_us() <= 0 || !ended_.insert(run.uid()).second) return;
  const auto job = state.jobs.find(run.job_uid());
  const auto spec = state.specs.find(run.job_uid());
  if (job == state.jobs.end() || spec == state.specs.end()) return;
  const int64_t milli = placement::ChargeMilli(NeedsOf(*spec->second), placement::Policy());
  history_.ObserveRun(job->second->principal(), HistoryName(*job->second, *spec->second),
                      static_cast<double>(milli) / 1000, run.used().run_us());
  changed_ = true;
}

void RunHistory::Update(const core::State& state, const core::Touched& touched) {
  for (const uint64_t uid : touched.runs) {
    const auto found = state.runs.find(uid);
    if (found == state.runs.end()) {
      ended_.erase(uid);
      foretold_.erase(uid);
      continue;
    }
    const journal::v1::RunRow& run = *found->second;
    if (run.state() == journal::v1::R_DONE) {
      Ended(state, run);
      continue;
    }
    const auto foretold = foretold_.find(uid);
    if (foretold == foretold_.end() || run.state() != journal::v1::R_ACTIVE) continue;
    const Foresight& said = foretold->second;
    if (!said.overdue) {
      history_.ObserveStart(said.wait_us, said.band, run.attempt().placed_us() - said.said_us);
      changed_ = true;
    }
    foretold_.erase(foretold);
  }
}

void RunHistory::CountOverdue(const core::State& state, int64_t now_us) {
  for (; !due_.empty() && due_.top().first <= now_us; due_.pop()) {
    const auto foretold = foretold_.find(due_.top().second);
    if (foretold == foretold_.end() || foretold->second.overdue) continue;
    const auto run = state.runs.find(foretold->first);
    if (run == state.runs.end() || run->second->state() != journal::v1::R_WAITING) continue;
    const auto job = state.jobs.find(run->second->job_uid());
    const auto spec = state.specs.find(run->second->job_uid());
    if (job == state.jobs.end() || spec == state.specs.end()) continue;
    foretold->second.overdue = true;
    if (!MayStart(state, *job->second, *spec->second)) continue;  // its owner keeps it waiting
    const Foresight& said = foretold->second;
    history_.ObserveStart(said.wait_us, said.band, said.band.high_us * 5 / 4 + 1'000'000);
    changed_ = true;
  }
}

bool RunHistory::Foretold(const placement::Explanation& explanation, int64_t now_us) {
  if (foretold_.size() >= kForetoldMax) return false;
  if (explanation.estimated_start_us == 0) return true;
  const auto [found, is_new] = foretold_.try_emplace(explanation.run_uid);
  if (!is_new) return true;
  const auto from_now = [now_us](int64_t time_us) {
    return std::max<int64_t>(0, time_us - now_us);
  };
  found->second.said_us = now_us;
  found->second.wait_us = from_now(explanation.estimated_start_us);
  found->second.band = {from_now(explanation.estimate_earliest_us),
                        from_now(explanation.estimate_latest_us)};
  due_.emplace(now_us + found->second.band.high_us + 1, explanation.run_uid);
  return true;
}

std::shared_ptr<const placement::RunTimeHistory> RunHistory::Shared(absl::Duration monotonic) {
  const bool due = shared_ == nullptr || monotonic >= shared_at_ + kShareGap;
  if (changed_ && due) {
    shared_ = std::make_shared<const placement::RunTimeHistory>(history_);
    shared_at_ = monotonic;
    changed_ = false;
  }
  return shared_;
}

}  // namespace trainyard::runtime
