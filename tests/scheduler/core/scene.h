// A scene for tests of the core: a state with a clock, builders for specs, nodes, plans and facts,
// each one line. After every command the invariants are checked, and at the end of the scene the
// stored events are replayed: both states must have one hash.
#ifndef TRAINYARD_TESTS_SCHEDULER_CORE_SCENE_H_
#define TRAINYARD_TESTS_SCHEDULER_CORE_SCENE_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/core/core.h"
#include "scheduler/core/types.h"

namespace trainyard::core {

// Spec().Ranks(2).Gpus(1).Retries(3)
class Spec {
 public:
  Spec();
  Spec& Ranks(int count);
  Spec& Cpu(int64_t milli);
  Spec& Gpus(int count);
  Spec& GpuMilli(int milli);
  Spec& Retries(int user, int infrastructure = 0);
  Spec& Timeout(int64_t seconds);
  Spec& MaxWait(int64_t seconds);
  Spec& Grace(int64_t seconds);
  // A tuning job that maximizes "accuracy".
  Spec& Study(int64_t trials, int64_t parallel, int64_t max_failed = 0);
  Spec& Best();
  v1::JobSpec spec;
};

Principal Admin(const std::string& name = "ann");
Principal User(const std::string& name, v1::Role role, const std::string& project = "default");
Principal System();

v1::Measurement Point(int64_t step, double value, const std::string& metric = "accuracy");
v1::ExitRecord Failure(v1::ExitCause cause, const std::string& message = "it broke");

class Scene {
 public:
  Scene();
  ~Scene();  // replays and compares

  // Commands. Fails the test when the command is refused, but for Try.
  absl::StatusOr<Decision> Try(CommandBody body, Principal who = Admin(),
                               const std::string& request_id = "",
                               const std::string& body_hash = "");
  Reply Do(CommandBody body, Principal who = Admin());

  uint64_t Submit(const std::string& name, const Spec& spec = Spec());  // the job's uid
  void Cancel(const std::string& name);
  void Pause(const std::string& name);
  void Resume(const std::string& name);
  void Pass(double seconds);  // time goes by and ticks until nothing is due
  void Tick();
  void Away(double seconds) { now_us_ += static_cast<int64_t>(seconds * kSecondUs); }  // no ticks

  // Nodes. Devices are named NODE-gpu0 ...
  void Node(const std::string& id, int cores = 8, int gpus = 0,
            const std::map<std::string, std::string>& labels = {});
  // Connects again with these members on board, in phase RUNNING.
  void Reconnect(const std::string& id, const std::vector<wire::MemberKey>& members = {});
  void Lose(const std::string& id);

  // Placing: member i holds these ranks on that node; devices are taken in order.
  struct Slice {
    std::string node;
    std::vector<int> ranks;
  };
  void Place(uint64_t run, const std::vector<Slice>& slices);
  PlacedRun Plan(uint64_t run, const std::vector<Slice>& slices) const;
  // First fit for every waiting run, in order; returns how many were placed.
  int PlaceAll();
  void Preempt(uint64_t run);

  // Facts of a member of the run's current attempt.
  void Prepared(uint64_t run, int member = 0);
  void Running(uint64_t run, int member = 0);
  void Exit(uint64_t run, int member, const v1::ExitRecord& record);
  void ExitWith(uint64_t run, int member, const wire::Exited& exited);
  void Succeed(uint64_t run, int member = 0);  // exit 0
  void Stopped(uint64_t run, int member = 0);  // ended by the stop
  void Release(uint64_t run, int member = 0);
  void Part(uint64_t run, int member, int64_t step, const std::string& tree);
  wire::MemberKey Key(uint64_t run, int member = 0) const;
  // A fact as it is; true when it changed something. Sequence 0 gets the node's next one.
  bool Tell(const std::string& node, wire::Fact fact);
  // Placed on one node, running, exit 0, released.
  void RunToSuccess(uint64_t run);
  void PlaceAndRun(uint64_t run, const std::string& node);

  // Studies.
  void Suggest(uint64_t study, int count, bool exhausted = false);
  void SuggestAll();  // what NeededSuggestions asks for
  void Report(uint64_t run, int64_t step, double value);
  void EarlyStop(uint64_t study, int32_t trial, const std::string& reason = "below the median");

  // Looking. Rows must exist.
  const State& state() const { return state_; }
  int64_t now_us() const { return now_us_; }
  const records::JobRow& Job(uint64_t uid) const;
  const records::JobRow& Job(const std::string& name) const;
  const records::RunRow& Run(uint64_t uid) const;
  const records::RunRow& RunOf(const std::string& job) const;
  const records::RunRow& RunOfTrial(uint64_t study, int32_t trial) const;
  const records::StudyRow& Study(uint64_t uid) const;
  records::TrialRow Trial(uint64_t study, int32_t id) const;
  uint64_t StudyOf(const std::string& job) const;
  const std::vector<records::Event>& events() const { return events_; }
  // "node want reason" of each desired member of the run.
  std::vector<std::string> Demand(uint64_t run) const;

  // Starts the server anew on the replayed events.
  void Restart();
  // Invariants are checked after every n-th command (property tests); 1 at first.
  void CheckEvery(int commands) { check_every_ = commands; }
  void ForgetTerminal();

 private:
  void Take(const Decision& decision);
  std::vector<std::string> FreeDevices(const std::string& node) const;

  State state_;
  Touched touched_;
  std::vector<records::Event> events_;
  int64_t now_us_ = 1'700'000'000'000'000;
  uint64_t random_ = 1;
  int commands_ = 0;
  int check_every_ = 1;
  bool forgot_ = false;
  std::map<std::string, uint64_t> facts_;
  mutable std::map<uint64_t, RunPtr> looked_at_;  // a packed run's row is gone with its pointer
};

}  // namespace trainyard::core

#endif  // TRAINYARD_TESTS_SCHEDULER_CORE_SCENE_H_
