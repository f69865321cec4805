// The state of the cluster: entities as immutable rows, indexes over them. One thread owns it (the
// owner thread); rows are shared with readers by pointer, so Apply replaces a row (copy, change,
// put back) and never edits one in place. Containers whose order can reach a decision are ordered.
#ifndef TRAINYARD_SCHEDULER_CORE_STATE_H_
#define TRAINYARD_SCHEDULER_CORE_STATE_H_

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "scheduler/core/kept_trial.h"
#include "scheduler/core/run_table.h"
#include "trainyard/journal/v1/journal.pb.h"

namespace trainyard::core {

using JobPtr = std::shared_ptr<const journal::v1::JobRow>;
using SpecPtr = std::shared_ptr<const trainyard::v1::JobSpec>;
using StudyPtr = std::shared_ptr<const journal::v1::StudyRow>;
using AgentPtr = std::shared_ptr<const journal::v1::AgentRow>;
using TokenPtr = std::shared_ptr<const journal::v1::TokenRow>;
using SettingPtr = std::shared_ptr<const journal::v1::SettingRow>;
using LedgerPtr = std::shared_ptr<const journal::v1::LedgerRow>;
using TrialKey = std::pair<uint64_t, int32_t>;  // study uid, trial id

// What the unreleased members on one node hold together.
struct NodeUse {
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  int32_t members = 0;
  std::map<std::string, int32_t> device_milli;  // by uuid; absent: free
};

// 15 bytes of the SHA-256 of a text, see ShortKey: a key that needs no memory of its own.
using ShortId = std::pair<uint64_t, uint64_t>;

// The answer to an earlier request, packed: there may be one per waiting job.
struct SeenRequest {
  uint64_t body_hash = 0;
  int64_t time_us = 0;
  uint64_t uid = 0;
};
using RequestPtr = std::shared_ptr<const journal::v1::RequestRow>;

struct State {
  journal::v1::ServerRow server;
  uint64_t sequence = 0;  // of the last event applied

  // Uids rise, which fills the nodes of these trees; a hash table would be half empty at times.
  absl::btree_map<uint64_t, JobPtr> jobs;
  absl::btree_map<uint64_t, SpecPtr> specs;  // by job uid
  RunTable runs;
  absl::flat_hash_map<uint64_t, StudyPtr> studies;
  absl::btree_map<TrialKey, KeptTrial> trials;
  std::map<std::string, AgentPtr> agents;  // by node id
  std::map<std::string, TokenPtr> tokens;  // by token id
  std::map<std::string, trainyard::v1::ScaleTier> tiers;
  std::map<std::string, journal::v1::ProjectRow> projects;
  std::map<std::string, SettingPtr> settings;              // by key: queues, quotas, reservations
  std::map<std::string, LedgerPtr> ledger;                 // by LedgerKey
  absl::flat_hash_map<ShortId, SeenRequest> requests;      // by RequestRow.key; see RequestRowOf
  absl::flat_hash_map<ShortId, RequestPtr> long_requests;  // whole, where there is more to say

  // Indexes, kept by Apply alone.
  absl::flat_hash_map<ShortId, uint64_t> job_by_name;    // by NameKey
  absl::flat_hash_map<ShortId, uint64_t> study_by_name;  // by NameKey
  absl::flat_hash_map<std::string, std::string> token_by_hash;
  absl::btree_set<uint64_t> waiting_runs;  // WAITING and BACKING_OFF, by uid (submit order)
  absl::btree_set<uint64_t> active_runs;   // an attempt holds or may hold devices
  absl::btree_set<uint64_t> live_studies;  // active
  std::map<std::string, std::set<uint64_t>> runs_by_node;  // runs with an unreleased member there
  std::deque<std::pair<int64_t, ShortId>> request_times;   // for pruning: (time, key), rising
  std::map<std::string, NodeUse> node_use;                 // by node id; absent: nothing held
  std::set<TrialKey> open_trials;                    // not ended, of studies that are not over
  absl::btree_set<uint64_t> hungry_studies;          // want suggestions, see NeededSuggestions
  std::set<std::pair<int64_t, uint64_t>> deadlines;  // (wall micros, run uid): what Tick looks at
  absl::flat_hash_map<uint64_t, int64_t> deadline_of_run;
  // Of the open trials: those that nobody has yet, and those that a client was handed.
  std::set<TrialKey> requested_trials;
  std::map<std::pair<uint64_t, std::string>, std::set<int32_t>> trials_of_client;
  // Of nodes ("nodes/{n}": a drain's end, a machine that leaves) and of reservations, by their key.
  std::set<std::pair<int64_t, std::string>> cluster_deadlines;
  std::map<std::string, int64_t> cluster_deadline_of;
  std::map<uint64_t, std::set<uint64_t>> dependents;  // job uid -> jobs that wait for its end
  absl::btree_set<uint64_t> untold_jobs;              // ended, and some dependents do not know yet
  absl::btree_set<uint64_t> broken_jobs;              // live, and can never start

  // Names of jobs that left memory stay taken: hash of "project/job", and the uid.
  absl::flat_hash_map<uint64_t, uint64_t> old_names;
  // Equal specs that arrive near each other share one object: the last spec of each hash slot.
  struct SharedSpec {
    std::string digest;
    SpecPtr spec;
  };
  std::array<SharedSpec, 256> shared_specs;
};

// What one Apply changed: for entity rows, the read view and Demand.
struct Touched {
  std::set<uint64_t> jobs;
  std::set<uint64_t> runs;
  std::set<uint64_t> studies;
  std::set<TrialKey> trials;
  std::set<std::string> agents;
  std::set<std::string> tokens;
  std::set<ShortId> requests;
  std::set<std::string> setting_keys;
  std::set<std::string> ledger_keys;
  bool settings = false;  // tiers, projects
  bool server = false;
  void Clear() { *this = Touched(); }
  void Merge(const Touched& other);
};

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_STATE_H_
