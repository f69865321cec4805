// The published read view: durable state only, read by any thread, never from the owner thread.
// Rows are immutable and shared; a lookup takes a short lock. Every publication raises the revision
// (the sequence of its last event).
#ifndef TRAINYARD_SCHEDULER_RUNTIME_VIEW_H_
#define TRAINYARD_SCHEDULER_RUNTIME_VIEW_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/core/state.h"
#include "scheduler/placement/placement.h"

namespace trainyard::runtime {

class View {
 public:
  virtual ~View() = default;
  virtual uint64_t revision() const = 0;
  virtual uint64_t incarnation() const = 0;

  // Null (or NOT_FOUND) when absent. Terminal jobs that left memory are read from rows.
  virtual core::JobPtr Job(uint64_t uid) const = 0;
  virtual core::JobPtr JobByName(absl::string_view project, absl::string_view job_id) const = 0;
  virtual core::SpecPtr Spec(uint64_t job_uid) const = 0;
  virtual core::RunPtr Run(uint64_t run_uid) const = 0;
  virtual core::StudyPtr Study(uint64_t uid) const = 0;
  virtual core::StudyPtr StudyByName(absl::string_view project,
                                     absl::string_view study_id) const = 0;
  virtual core::TrialPtr Trial(uint64_t study_uid, int32_t id) const = 0;
  // Trials with id > after, rising, at most `limit`.
  virtual std::vector<core::TrialPtr> Trials(uint64_t study_uid, int32_t after,
                                             int limit) const = 0;
  virtual std::vector<core::AgentPtr> Agents() const = 0;
  virtual core::AgentPtr Agent(absl::string_view node_id) const = 0;
  virtual core::TokenPtr TokenByHash(absl::string_view hash) const = 0;
  virtual std::vector<core::TokenPtr> Tokens() const = 0;
  virtual std::vector<trainyard::v1::ScaleTier> Tiers() const = 0;
  virtual std::vector<journal::v1::ProjectRow> Projects() const = 0;
  // Queues, quotas and reservations by their key; all below a prefix, in order of key.
  virtual core::SettingPtr Setting(absl::string_view key) const = 0;
  virtual std::vector<core::SettingPtr> SettingsBelow(absl::string_view prefix) const = 0;
  // What attempts that have ended used, from one day to before another; rising.
  virtual std::vector<core::LedgerPtr> Ledger(int32_t from_day, int32_t until_day) const = 0;
  // Runs that hold devices or cores now, and runs that wait; of every project.
  virtual std::vector<core::RunPtr> LiveRuns() const = 0;
  virtual std::vector<core::RunPtr> RunsOnNode(absl::string_view node_id) const = 0;
  // Newest first: uid < before_uid (0: from the newest), at most `limit`. "" = all projects.
  virtual std::vector<core::JobPtr> Jobs(absl::string_view project, uint64_t before_uid,
                                         int limit) const = 0;
  virtual std::vector<core::StudyPtr> Studies(absl::string_view project, uint64_t before_uid,
                                              int limit) const = 0;
  // Why a waiting run waits, as of the last plan; null when it does not wait.
  virtual std::shared_ptr<const placement::Explanation> Explanation(uint64_t run_uid) const = 0;

  // `on_change` is called (commit thread, must not block) after each publication that touched the
  // job, its runs, its study or its trials; job_uid 0: any. Until Unwatch.
  virtual uint64_t Watch(uint64_t job_uid,
                         std::function<void(uint64_t revision)> on_change) const = 0;
  virtual void Unwatch(uint64_t id) const = 0;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_VIEW_H_
