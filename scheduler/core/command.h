// Commands: wishes from people, facts from agents, answers of planners, ticks of the clock. A wish
// may be refused; a fact that makes no sense is counted and changes nothing. Time and randomness
// come inside.
#ifndef TRAINYARD_SCHEDULER_CORE_COMMAND_H_
#define TRAINYARD_SCHEDULER_CORE_COMMAND_H_

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "trainyard/agent/v1/agent.pb.h"
#include "trainyard/journal/v1/journal.pb.h"

namespace trainyard::core {

// Who asks. Roles of trainyard.v1.Role; `project` limits VIEWER, SUBMITTER and PROJECT_ADMIN ("" =
// every project).
struct Principal {
  std::string
      name;  // user name, node id of an agent, "run/epoch" of an attempt, "system" for ourselves
  trainyard::v1::Role role = trainyard::v1::ROLE_UNSPECIFIED;
  std::string project;
  bool is_system = false;
};

struct StartServer {
  std::string version;
  uint64_t incarnation = 0;  // of the journal's opening; becomes the server's
};
struct CreateProject {
  std::string project;
  std::string run_as;
  std::string team = "";
};
struct SetTier {
  trainyard::v1::ScaleTier tier;
};
struct CreateToken {
  journal::v1::TokenRow token;
};  // also join tokens; hash inside, never the secret
struct RevokeToken {
  std::string id;
};
// All keys of the node's agent, and join tokens that name it and were not used.
struct RevokeNode {
  std::string node_id;
};
// Studies to learn from, by uid, as they were at a revision of the view.
struct EarlierStudies {
  std::vector<uint64_t> uids;
  uint64_t revision = 0;
};
struct SubmitJob {
  std::string project;
  std::string job_id;
  trainyard::v1::JobSpec spec;
  bool validate_only = false;
  // How jobs that the spec waits for ended, by id, where they have left memory.
  std::map<std::string, trainyard::v1::JobState> ended = {};
  EarlierStudies earlier = {};  // that the study spec names
};
struct CancelJob {
  std::string project;
  std::string job_id;
  std::string reason;
};
struct SetJobLabels {
  std::string project;
  std::string job_id;
  std::map<std::string, std::string> labels;
  uint64_t etag = 0;
};
struct PauseJob {
  std::string project;
  std::string job_id;
  bool resume = false;
};
struct CreateStudy {
  std::string project;
  std::string study_id;
  trainyard::v1::StudySpec spec;
  EarlierStudies earlier = {};  // that the spec names
};
struct DeleteStudy {
  std::string project;
  std::string study_id;
};
// Ask: open trials of the client first, then requested trials that nobody holds. Reply.short_by
// tells how many suggestions the planner must make before asking again.
struct AskTrials {
  std::string project;
  std::string study_id;
  int32_t count = 1;
  std::string client_id;
};
struct AddMeasurement {
  std::string project;
  std::string study_id;
  int32_t trial = 0;
  trainyard::v1::Measurement measurement;
};
struct CompleteTrial {
  std::string project;
  std::string study_id;
  int32_t trial = 0;
  bool has_measurement = false;
  trainyard::v1::Measurement measurement;
  bool infeasible = false;
  std::string reason;
};
struct DrainNode {
  std::string node_id;
  bool undo = false;
  std::string reason;
  int64_t deadline_us = 0;  // what still runs then is preempted; 0: it may end by itself
};
// Only what is set in `queueing` changes.
struct SetQueueing {
  std::string project;
  std::string job_id;
  journal::v1::Queueing queueing;
  uint64_t etag = 0;
};
struct SetSetting {
  journal::v1::SettingRow setting;
  bool only_new = false;  // ALREADY_EXISTS instead of replacing
};
struct DeleteSetting {
  std::string key;
};
// Replaces what is said of a project that exists.
struct SetProject {
  journal::v1::ProjectRow project;
};

// From agents.
struct AgentJoin {
  std::string join_token_hash;
  std::string agent_token_hash;
  trainyard::v1::NodeInventory inventory;
};
struct AgentConnect {
  std::string node_id;
  trainyard::v1::NodeInventory inventory;
  std::vector<agent::v1::MemberReport> members;
  uint64_t first_unacked_fact = 0;  // of its Hello; 1: a new agent, or one that lost its disk
};
struct AgentLoss {
  std::string node_id;
  std::string reason;
};  // lease ended without a word
// A gang failed as it does when one of its nodes cannot be reached, and of these nodes the
// scheduler has heard nothing for a while either; their leases go on.
struct GangSilence {
  uint64_t run_uid = 0;
  uint64_t epoch = 0;
  std::vector<std::string> silent;
};
struct AgentFact {
  std::string node_id;
  agent::v1::Fact fact;
};
struct ReportMeasurements {
  uint64_t run_uid = 0;
  uint64_t epoch = 0;
  std::vector<trainyard::v1::Measurement> measurements;
};

// From planners; each item is checked again on its own and dropped when it no longer fits.
struct PlacedRun {
  uint64_t run_uid = 0;
  std::vector<journal::v1::MemberRow> members;
};
// Why a placement was dropped although its run waits.
struct Refusal {
  uint64_t run_uid = 0;
  std::string node_id;  // that is in the way; empty: no one node
  std::string why;
};
struct PreemptedRun {
  uint64_t run_uid = 0;
  std::string reason;
  uint64_t epoch = 0;        // of the attempt that the plan saw; 0: any
  uint64_t for_run_uid = 0;  // dropped when that run does not wait any more; 0: for nobody
  bool shrinks = false;      // an elastic run that goes on with fewer replicas
};
struct ApplyPlan {
  std::vector<PlacedRun> placements;
  std::vector<PreemptedRun> preemptions;
};
struct ApplySuggestions {
  uint64_t study_uid = 0;
  int32_t first_trial = 0;  // dropped unless it is the study's next_trial
  std::vector<journal::v1::TrialsSuggested::Suggestion> suggestions;
  bool exhausted = false;
};
struct ApplyStops {
  uint64_t study_uid = 0;
  std::vector<std::pair<int32_t, std::string>> stops;
  // May go on later: held with the checkpoint they have, stopped when they have none.
  std::vector<std::pair<int32_t, std::string>> holds = {};
  std::vector<int32_t> resumes = {};
  bool stop_held = false;  // nothing runs or will begin: those still held do not go on
  bool empty() const { return stops.empty() && holds.empty() && resumes.empty() && !stop_held; }
};
struct ApplyStudyStop {
  uint64_t study_uid = 0;
  std::string reason;
};

// Timers: expiry of max_wait, time limits, back-off, preparation, grace, publishing; pruning of
// request ids.
struct Tick {};

using CommandBody =
    std::variant<StartServer, CreateProject, SetTier, CreateToken, RevokeToken, SubmitJob,
                 CancelJob, SetJobLabels, PauseJob, CreateStudy, DeleteStudy, AskTrials,
                 AddMeasurement, CompleteTrial, DrainNode, AgentJoin, AgentConnect, AgentLoss,
                 GangSilence, AgentFact, ReportMeasurements, ApplyPlan, ApplySuggestions,
                 ApplyStops, ApplyStudyStop, Tick, SetQueueing, SetSetting, DeleteSetting,
                 SetProject, RevokeNode>;

struct Command {
  Principal principal;
  std::string request_id;  // "" : none
  std::string body_hash;   // SHA-256 of the request, with a request id
  int64_t now_us = 0;      // wall; Decide never lets journal time run backwards
  uint64_t random = 0;     // for made-up names and study seeds
  CommandBody body;
};

// What the caller learns once the events are durable.
struct Reply {
  uint64_t uid = 0;             // of the job or study touched
  std::string name;             // full resource name
  std::vector<int32_t> trials;  // AskTrials
  int32_t short_by = 0;         // AskTrials
  bool should_stop = false;     // AddMeasurement
  bool look_first = false;      // AddMeasurement: the study's rule has yet to look at it
  bool repeated = false;        // the answer to an earlier request of the same id
};

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_COMMAND_H_
