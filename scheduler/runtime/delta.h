// What one cycle of the owner thread changed, as immutable rows: the unit that is published to the
// read view and noted for the row writer once its events are durable. A null row: gone.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_DELTA_H_
#define TRAINYARD_SCHEDULER_RUNTIME_DELTA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/core/state.h"
#include "scheduler/placement/placement.h"

namespace trainyard::runtime {

using ExplanationPtr = std::shared_ptr<const placement::Explanation>;

// A terminal job and all that belongs to it, on its way from memory to rows.
struct Archive {
  core::JobPtr job;
  core::SpecPtr spec;
  core::StudyPtr study;
  std::vector<core::RunPtr> runs;
  std::vector<core::TrialPtr> trials;
};

struct Settings {
  std::vector<trainyard::v1::ScaleTier> tiers;
  std::vector<journal::v1::ProjectRow> projects;
};

struct Delta {
  uint64_t revision = 0;  // sequence of the last event in it
  std::vector<std::pair<uint64_t, core::JobPtr>> jobs;
  std::vector<std::pair<uint64_t, core::SpecPtr>> specs;
  std::vector<std::pair<uint64_t, core::RunPtr>> runs;
  std::vector<std::pair<uint64_t, core::StudyPtr>> studies;
  std::vector<std::pair<core::TrialKey, core::KeptTrial>> trials;
  std::vector<std::pair<std::string, core::AgentPtr>> agents;
  std::vector<std::pair<std::string, core::TokenPtr>> tokens;
  std::vector<std::pair<core::ShortId, core::RequestPtr>> requests;
  std::vector<std::pair<std::string, core::SettingPtr>> setting_rows;
  std::vector<std::pair<std::string, core::LedgerPtr>> ledger;
  std::shared_ptr<const Settings> settings;  // null: unchanged
  std::shared_ptr<const journal::v1::ServerRow> server;
  std::vector<ExplanationPtr> explanations;  // replaces those of the same runs
  std::vector<Archive> archives;
};

// Rows of everything `touched` names, as they are in `state` now.
Delta DeltaOf(const core::State& state, const core::Touched& touched);
// Everything in `state` that readers see: all but the answers to requests, and but the runs, which
// are a table already.
Delta DeltaOfAll(const core::State& state);
// The job with its spec, runs, study and trials.
Archive ArchiveOf(const core::State& state, uint64_t job_uid);

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_DELTA_H_
