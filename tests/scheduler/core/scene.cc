// See scene.h.
#include "tests/scheduler/core/scene.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/fold.h"
#include "scheduler/core/ranks.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {

Spec::Spec() {
  spec.set_display_name("train");
  spec.mutable_program()->add_command("/bin/true");
  v1::WorkerPool* pool = spec.add_worker_pools();
  pool->set_role("master");
  pool->set_replica_count(1);
  pool->mutable_resources()->set_cpu_milli(1000);
}
Spec& Spec::Ranks(int count) {
  if (count < 2) return *this;
  if (spec.worker_pools_size() < 2) {
    *spec.add_worker_pools() = spec.worker_pools(0);
    spec.mutable_worker_pools(1)->set_role("worker");
  }
  spec.mutable_worker_pools(1)->set_replica_count(count - 1);
  return *this;
}
Spec& Spec::Cpu(int64_t milli) {
  for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
    pool.mutable_resources()->set_cpu_milli(milli);
  }
  return *this;
}
Spec& Spec::Gpus(int count) {
  for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
    pool.mutable_resources()->set_gpu_count(count);
  }
  return *this;
}
Spec& Spec::GpuMilli(int milli) {
  for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
    pool.mutable_resources()->set_gpu_milli(milli);
  }
  return *this;
}
Spec& Spec::Retries(int user, int infrastructure) {
  spec.mutable_scheduling()->set_max_retries(user);
  spec.mutable_scheduling()->set_max_infrastructure_retries(infrastructure);
  return *this;
}
Spec& Spec::Timeout(int64_t seconds) {
  spec.mutable_scheduling()->mutable_timeout()->set_seconds(seconds);
  return *this;
}
Spec& Spec::MaxWait(int64_t seconds) {
  spec.mutable_scheduling()->mutable_max_wait()->set_seconds(seconds);
  return *this;
}
Spec& Spec::Grace(int64_t seconds) {
  spec.mutable_scheduling()->mutable_grace()->set_seconds(seconds);
  return *this;
}
Spec& Spec::Study(int64_t trials, int64_t parallel, int64_t max_failed) {
  v1::StudySpec::Metric* metric = spec.mutable_study_spec()->add_metrics();
  metric->set_metric_id("accuracy");
  metric->set_goal(v1::StudySpec::MAXIMIZE);
  v1::StudySpec::Parameter* parameter = spec.mutable_study_spec()->add_parameters();
  parameter->set_parameter_id("lr");
  parameter->mutable_double_range()->set_min(0);
  parameter->mutable_double_range()->set_max(1);
  spec.set_max_trial_count(trials);
  spec.set_parallel_trial_count(parallel);
  spec.set_max_failed_trial_count(max_failed);
  return *this;
}
Spec& Spec::Best() {
  spec.mutable_study_spec()->set_selection(v1::StudySpec::BEST);
  return *this;
}

Principal Admin(const std::string& name) { return User(name, v1::ADMIN, ""); }
Principal User(const std::string& name, v1::Role role, const std::string& project) {
  Principal principal;
  principal.name = name;
  principal.role = role;
  principal.project = project;
  return principal;
}
Principal System() {
  Principal principal = Admin("system");
  principal.is_system = true;
  return principal;
}

v1::Measurement Point(int64_t step, double value, const std::string& metric) {
  v1::Measurement point;
  point.set_step(step);
  point.add_metrics()->set_metric_id(metric);
  point.mutable_metrics(0)->set_value(value);
  return point;
}
v1::ExitRecord Failure(v1::ExitCause cause, const std::string& message) {
  v1::ExitRecord record;
  record.set_cause(cause);
  record.set_message(message);
  return record;
}

Scene::Scene() { Do(StartServer{"test", 1}, System()); }

Scene::~Scene() {
  EXPECT_EQ(CheckInvariants(state_), std::vector<std::string>());
  if (forgot_) return;
  State again;
  Touched touched;
  for (const records::Event& event : events_) Apply(event, &again, &touched);
  EXPECT_EQ(StateHash(again), StateHash(state_)) << "replay gave another state";
  RebuildIndexes(&again);
  EXPECT_EQ(CheckInvariants(again), std::vector<std::string>());
  EXPECT_EQ(StateHash(again), StateHash(state_)) << "loading gave another state";
}

absl::StatusOr<Decision> Scene::Try(CommandBody body, Principal who, const std::string& request_id,
                                    const std::string& body_hash) {
  Command command;
  command.principal = std::move(who);
  command.request_id = request_id;
  command.body_hash = body_hash;
  command.now_us = now_us_;
  command.random = random_++;
  command.body = std::move(body);
  absl::StatusOr<Decision> decision = Decide(state_, command);
  if (decision.ok()) Take(*decision);
  return decision;
}

Reply Scene::Do(CommandBody body, Principal who) {
  const absl::StatusOr<Decision> decision = Try(std::move(body), std::move(who));
  EXPECT_TRUE(decision.ok()) << decision.status();
  return decision.ok() ? decision->reply : Reply();
}

void Scene::Take(const Decision& decision) {
  for (const records::Event& decided : decision.events) {
    records::Event event = decided;
    event.set_sequence(state_.sequence + 1);
    Apply(event, &state_, &touched_);
    events_.push_back(std::move(event));
  }
  if (++commands_ % check_every_ != 0) return;
  EXPECT_EQ(CheckInvariants(state_), std::vector<std::string>())
      << "after " << (events_.empty() ? "" : events_.back().ShortDebugString());
}

uint64_t Scene::Submit(const std::string& name, const Spec& spec) {
  return Do(SubmitJob{"default", name, spec.spec, false}).uid;
}
void Scene::Cancel(const std::string& name) { Do(CancelJob{"default", name, ""}); }
void Scene::Pause(const std::string& name) { Do(PauseJob{"default", name, false}); }
void Scene::Resume(const std::string& name) { Do(PauseJob{"default", name, true}); }
void Scene::Tick() { Do(core::Tick{}, System()); }

void Scene::Pass(double seconds) {
  const int64_t until = now_us_ + static_cast<int64_t>(seconds * kSecondUs);
  while (NextDeadline(state_) <= until) {
    now_us_ = std::max(now_us_, NextDeadline(state_));
    const size_t before = events_.size();
    Tick();
    if (events_.size() == before) {
      ADD_FAILURE() << "a deadline is due and nothing comes of it";
      break;
    }
  }
  now_us_ = until;
}

void Scene::Node(const std::string& id, int cores, int gpus,
                 const std::map<std::string, std::string>& labels) {
  AgentConnect connect;
  connect.node_id = id;
  connect.inventory.set_node_id(id);
  connect.inventory.set_cores(cores);
  connect.inventory.set_memory_bytes(int64_t{1} << 34);
  connect.inventory.set_address(absl::StrCat(id, ".test"));
  connect.inventory.mutable_labels()->insert(labels.begin(), labels.end());
  for (int i = 0; i < gpus; ++i) {
    v1::Device* device = connect.inventory.add_devices();
    device->set_uuid(absl::StrCat(id, "-gpu", i));
    device->set_index(i);
    device->set_healthy(true);
  }
  Do(std::move(connect), User(id, v1::AGENT, ""));
}

void Scene::Reconnect(const std::string& id, const std::vector<wire::MemberKey>& members) {
  AgentConnect connect;
  connect.node_id = id;
  connect.inventory = state_.agents.at(id)->inventory();
  connect.first_unacked_fact = facts_[id] + 1;
  for (const wire::MemberKey& key : members) {
    wire::MemberReport report;
    *report.mutable_key() = key;
    report.set_phase(wire::RUNNING_PHASE);
    connect.members.push_back(std::move(report));
  }
  Do(std::move(connect), User(id, v1::AGENT, ""));
}
void Scene::Lose(const std::string& id) { Do(AgentLoss{id, "lease ended"}, System()); }

std::vector<std::string> Scene::FreeDevices(const std::string& node) const {
  std::vector<std::string> free;
  const auto use = state_.node_use.find(node);
  for (const v1::Device& device : state_.agents.at(node)->inventory().devices()) {
    const bool taken =
        use != state_.node_use.end() && use->second.device_milli.count(device.uuid()) > 0;
    if (!taken) free.push_back(device.uuid());
  }
  return free;
}

PlacedRun Scene::Plan(uint64_t run, const std::vector<Slice>& slices) const {
  const std::vector<RankNeed> needs = RanksOf(*state_.specs.at(Run(run).job_uid()));
  PlacedRun plan;
  plan.run_uid = run;
  std::map<std::string, std::vector<std::string>> free;
  for (const Slice& slice : slices) {
    if (free.count(slice.node) == 0 && state_.agents.count(slice.node) > 0) {
      free[slice.node] = FreeDevices(slice.node);
    }
    std::vector<std::string>& devices = free[slice.node];
    records::MemberRow member;
    member.set_node_id(slice.node);
    for (const int rank : slice.ranks) {
      wire::RankSlot* slot = member.add_ranks();
      slot->set_rank(rank);
      const RankNeed need = static_cast<size_t>(rank) < needs.size() ? needs[rank] : RankNeed();
      const int count = need.gpu_milli > 0 ? 1 : need.gpu_count;
      for (int i = 0; i < count && !devices.empty(); ++i) {
        slot->add_device_uuids(devices.front());
        if (need.gpu_milli == 0) devices.erase(devices.begin());
      }
    }
    plan.members.push_back(std::move(member));
  }
  return plan;
}

void Scene::Place(uint64_t run, const std::vector<Slice>& slices) {
  ApplyPlan plan;
  plan.placements.push_back(Plan(run, slices));
  Do(std::move(plan), System());
}

int Scene::PlaceAll() {
  int placed = 0;
  const std::vector<uint64_t> waiting(state_.waiting_runs.begin(), state_.waiting_runs.end());
  for (const uint64_t uid : waiting) {
    if (Run(uid).state() != records::R_WAITING) continue;
    const auto needs = RanksOf(*state_.specs.at(Run(uid).job_uid()));
    for (const auto& [node, agent] : state_.agents) {
      std::vector<int> ranks(needs.size());
      for (size_t i = 0; i < ranks.size(); ++i) ranks[i] = static_cast<int>(i);
      Place(uid, {{node, ranks}});
      if (Run(uid).state() != records::R_ACTIVE) continue;
      ++placed;
      break;
    }
  }
  return placed;
}

void Scene::Preempt(uint64_t run) {
  ApplyPlan plan;
  plan.preemptions.push_back({run, "for a better one"});
  Do(std::move(plan), System());
}

wire::MemberKey Scene::Key(uint64_t run, int member) const {
  wire::MemberKey key;
  key.set_run_uid(run);
  key.set_epoch(Run(run).attempt().epoch());
  key.set_member(member);
  return key;
}

bool Scene::Tell(const std::string& node, wire::Fact fact) {
  if (fact.sequence() == 0) fact.set_sequence(++facts_[node]);
  const auto decision = Try(AgentFact{node, std::move(fact)}, User(node, v1::AGENT, ""));
  EXPECT_TRUE(decision.ok()) << decision.status();
  return decision.ok() && !decision->ignored_fact;
}

void Scene::Prepared(uint64_t run, int member) {
  wire::Fact fact;
  *fact.mutable_key() = Key(run, member);
  fact.mutable_prepared()->set_port(7000 + member);
  Tell(Run(run).attempt().members(member).node_id(), fact);
}
void Scene::Running(uint64_t run, int member) {
  wire::Fact fact;
  *fact.mutable_key() = Key(run, member);
  fact.mutable_running()->set_pid(42);
  Tell(Run(run).attempt().members(member).node_id(), fact);
}
void Scene::ExitWith(uint64_t run, int member, const wire::Exited& exited) {
  wire::Fact fact;
  *fact.mutable_key() = Key(run, member);
  *fact.mutable_exited() = exited;
  Tell(Run(run).attempt().members(member).node_id(), fact);
}
void Scene::Exit(uint64_t run, int member, const v1::ExitRecord& record) {
  wire::Exited exited;
  *exited.mutable_record() = record;
  ExitWith(run, member, exited);
}
void Scene::Succeed(uint64_t run, int member) {
  wire::Exited exited;
  exited.mutable_record()->set_rank(-1);
  ExitWith(run, member, exited);
}
void Scene::Stopped(uint64_t run, int member) {
  wire::Exited exited;
  exited.mutable_record()->set_cause(v1::CANCELLED_CAUSE);
  exited.set_stopped_on_request(true);
  ExitWith(run, member, exited);
}
void Scene::Release(uint64_t run, int member) {
  wire::Fact fact;
  *fact.mutable_key() = Key(run, member);
  fact.mutable_released();
  Tell(Run(run).attempt().members(member).node_id(), fact);
}
void Scene::Part(uint64_t run, int member, int64_t step, const std::string& tree) {
  wire::Fact fact;
  *fact.mutable_key() = Key(run, member);
  fact.mutable_checkpoint_part()->set_step(step);
  fact.mutable_checkpoint_part()->set_tree(tree);
  Tell(Run(run).attempt().members(member).node_id(), fact);
}

void Scene::PlaceAndRun(uint64_t run, const std::string& node) {
  const auto needs = RanksOf(*state_.specs.at(Run(run).job_uid()));
  Slice slice{node, {}};
  for (const RankNeed& need : needs) slice.ranks.push_back(need.rank);
  Place(run, {slice});
  ASSERT_EQ(Run(run).state(), records::R_ACTIVE) << "was not placed";
  Running(run);
}
void Scene::RunToSuccess(uint64_t run) {
  if (Run(run).state() == records::R_WAITING) PlaceAll();
  ASSERT_EQ(Run(run).state(), records::R_ACTIVE) << "was not placed";
  Running(run);
  Succeed(run);
  Release(run);
}

void Scene::Suggest(uint64_t study, int count, bool exhausted) {
  ApplySuggestions suggestions;
  suggestions.study_uid = study;
  suggestions.first_trial = Study(study).next_trial();
  suggestions.exhausted = exhausted;
  for (int i = 0; i < count; ++i) {
    records::TrialsSuggested::Suggestion suggestion;
    v1::ParameterValue* value = suggestion.add_parameters();
    value->set_parameter_id("lr");
    value->set_number(0.1 * (suggestions.first_trial + i));
    suggestion.set_seed(static_cast<uint64_t>(suggestions.first_trial + i));
    suggestions.suggestions.push_back(std::move(suggestion));
  }
  Do(std::move(suggestions), System());
}
void Scene::SuggestAll() {
  for (int round = 0; round < 10; ++round) {
    const std::vector<SuggestionNeed> needs = NeededSuggestions(state_);
    if (needs.empty()) return;
    for (const SuggestionNeed& need : needs) Suggest(need.study_uid, need.count);
  }
}
void Scene::Report(uint64_t run, int64_t step, double value) {
  Do(ReportMeasurements{run, Run(run).attempt().epoch(), {Point(step, value)}}, System());
}
void Scene::EarlyStop(uint64_t study, int32_t trial, const std::string& reason) {
  Do(ApplyStops{study, {{trial, reason}}}, System());
}

const records::JobRow& Scene::Job(uint64_t uid) const { return *state_.jobs.at(uid); }
const records::JobRow& Scene::Job(const std::string& name) const {
  return Job(state_.job_by_name.at(NameKey("default", name)));
}
const records::RunRow& Scene::Run(uint64_t uid) const {
  const RunPtr now = state_.runs.at(uid);
  RunPtr& seen = looked_at_[uid];
  if (seen == nullptr || seen->revision() != now->revision()) seen = now;
  return state_.runs.rows().contains(uid) ? *now : *seen;
}
const records::RunRow& Scene::RunOf(const std::string& job) const {
  return Run(Job(job).run_uid());
}
const records::RunRow& Scene::RunOfTrial(uint64_t study, int32_t trial) const {
  return Run(Trial(study, trial).run_uid());
}
const records::StudyRow& Scene::Study(uint64_t uid) const { return *state_.studies.at(uid); }
records::TrialRow Scene::Trial(uint64_t study, int32_t id) const {
  return *state_.trials.at({study, id}).row();
}
uint64_t Scene::StudyOf(const std::string& job) const { return Job(job).study_uid(); }

std::vector<std::string> Scene::Demand(uint64_t run) const {
  std::vector<std::string> demands;
  for (const NodeDemand& demand : DemandOfRun(state_, run)) {
    demands.push_back(
        absl::StrCat(demand.node_id, " ", wire::Want_Name(demand.member.want()),
                     demand.member.stop_reason() == wire::STOP_REASON_UNSPECIFIED
                         ? ""
                         : absl::StrCat(" ", wire::StopReason_Name(demand.member.stop_reason()))));
  }
  return demands;
}

void Scene::Restart() {
  State again;
  Touched touched;
  for (const records::Event& event : events_) Apply(event, &again, &touched);
  EXPECT_EQ(StateHash(again), StateHash(state_));
  state_ = std::move(again);
  Do(StartServer{"test", state_.server.incarnation() + 1}, System());
}

void Scene::ForgetTerminal() {
  std::vector<uint64_t> over;
  for (const auto& [uid, job] : state_.jobs) {
    if (MayForget(state_, uid)) over.push_back(uid);
  }
  for (const uint64_t uid : over) Forget(uid, &state_);
  forgot_ |= !over.empty();
}

}  // namespace trainyard::core
