// A hundred thousand events of random commands and of agents that answer late, twice or never, with
// the invariants checked on the way and the replay at the end. One seed, one run.
//  TRAINYARD_TEST_SEED plays another seed, TRAINYARD_TEST_LONG=1 a hundred times as many events.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <vector>

#include "common/random.h"
#include "scheduler/core/state_rows.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

constexpr int kNodes = 5;

class Walk {
 public:
  explicit Walk(uint64_t seed) : random_(seed) {
    scene_.CheckEvery(7);
    for (int i = 0; i < kNodes; ++i) scene_.Node(NodeName(i), 4, 3);
  }

  void Step() {
    const uint64_t dice = random_.Below(100);
    if (dice < 8) return SubmitSomething();
    if (dice < 12) return ChangeSomething();
    if (dice < 24) return PlaceSomething();
    if (dice < 72) return TellSomething();
    if (dice < 80) return static_cast<void>(scene_.SuggestAll());
    if (dice < 86) return MeasureSomething();
    if (dice < 89) return AskAndTell();
    if (dice < 93) return ShakeANode();
    if (dice < 95) return StopSomething();
    scene_.Pass(static_cast<double>(random_.Below(dice < 99 ? 3 : 700)));
  }

  // Everything is answered until nothing is left: each state has a way out.
  void Drain() {
    for (int i = 0; i < kNodes; ++i) {
      Reconnect(i);
      scene_.Do(DrainNode{NodeName(i), true, ""});
    }
    const auto settings = scene_.state().settings;
    for (const auto& [key, setting] : settings) scene_.Do(DeleteSetting{key});
    for (const uint64_t uid : Uids(scene_.state().jobs)) {
      SetQueueing wish{"default", scene_.Job(uid).job_id(), {}, 0};
      wish.queueing.set_hold(false);
      scene_.Try(wish).IgnoreError();
      // Others may wait for its end.
      scene_.Try(PauseJob{"default", scene_.Job(uid).job_id(), true}).IgnoreError();
    }
    for (int round = 0; round < 400 && !Settled(); ++round) {
      for (const uint64_t uid : Uids(scene_.state().runs)) Obey(uid);
      scene_.SuggestAll();
      scene_.PlaceAll();
      StopHeld();
      scene_.Pass(30);
    }
    if (Settled()) return;
    for (const auto& [uid, job] : scene_.state().jobs) {
      if (!IsTerminal(job->state()) && !job->paused()) ADD_FAILURE() << Describe(*job);
    }
  }
  bool Settled() const {
    for (const auto& [uid, job] : scene_.state().jobs) {
      if (!IsTerminal(job->state()) && !job->paused()) return false;
    }
    return true;
  }
  size_t events() const { return scene_.events().size(); }
  size_t jobs() const { return scene_.state().jobs.size(); }
  void Forget() { scene_.ForgetTerminal(); }
  Scene& scene() { return scene_; }

 private:
  std::string Describe(const records::JobRow& job) const {
    std::string out = "never ended: " + job.ShortDebugString();
    for (const auto& [uid, run] : scene_.state().runs) {
      if (run->job_uid() == job.uid()) out += "\n  run " + run->ShortDebugString();
    }
    if (job.study_uid() != 0) out += "\n  " + scene_.Study(job.study_uid()).ShortDebugString();
    return out;
  }
  static std::string NodeName(uint64_t i) { return "n" + std::to_string(i); }
  template <class Map>
  static std::vector<uint64_t> Uids(const Map& map) {
    std::vector<uint64_t> uids;
    for (const auto& [uid, row] : map) uids.push_back(uid);
    std::sort(uids.begin(), uids.end());
    return uids;
  }
  template <class Items>
  auto Pick(const Items& items) {
    return items[random_.Below(items.size())];
  }

  void SubmitSomething() {
    if (scene_.state().jobs.size() > 25) return ChangeSomething();
    Spec spec;
    spec.Ranks(1 + static_cast<int>(random_.Below(3)));
    if (random_.Below(3) == 0) spec.Gpus(1);
    spec.Retries(static_cast<int>(random_.Below(2)), static_cast<int>(random_.Below(3)));
    if (random_.Below(4) == 0) spec.Timeout(20);
    if (random_.Below(6) == 0) spec.MaxWait(30);
    if (random_.Below(3) == 0) {
      spec.Study(1 + static_cast<int64_t>(random_.Below(6)),
                 1 + static_cast<int64_t>(random_.Below(3)));
    }
    if (random_.Below(8) == 0) spec.spec.mutable_scheduling()->set_hold(true);
    const std::vector<uint64_t> jobs = Uids(scene_.state().jobs);
    if (!jobs.empty() && random_.Below(4) == 0) {
      v1::Dependency* const after = spec.spec.mutable_scheduling()->add_after();
      after->set_job(scene_.Job(Pick(jobs)).job_id());
      if (random_.Below(2) == 0) after->set_on(v1::Dependency::END);
    }
    scene_.Try(SubmitJob{"default", "", spec.spec}).IgnoreError();
  }
  void Requeue(const std::string& job) {
    SetQueueing wish{"default", job, {}, 0};
    const uint64_t dice = random_.Below(6);
    if (dice == 0) wish.queueing.set_hold(true);
    if (dice == 1 || dice == 2) wish.queueing.set_hold(false);
    if (dice == 3) wish.queueing.set_priority(static_cast<int32_t>(random_.Below(9)));
    if (dice == 4)
      wish.queueing.set_timeout_us(static_cast<int64_t>(1 + random_.Below(90)) * kSecondUs);
    if (dice == 5)
      wish.queueing.set_max_wait_us(static_cast<int64_t>(random_.Below(90)) * kSecondUs);
    scene_.Try(wish).IgnoreError();
  }
  void Reserve(uint64_t node) {
    SetSetting set;
    set.setting.set_key("reservations/r" + std::to_string(random_.Below(3)));
    v1::Reservation* const reservation = set.setting.mutable_reservation();
    if (random_.Below(3) > 0) reservation->add_nodes(NodeName(node));
    const int64_t start = scene_.now_us() / kSecondUs + static_cast<int64_t>(random_.Below(40));
    reservation->mutable_start_time()->set_seconds(start);
    reservation->mutable_end_time()->set_seconds(start + 1 +
                                                 static_cast<int64_t>(random_.Below(40)));
    scene_.Do(set);
  }

  void ChangeSomething() {
    const std::vector<uint64_t> jobs = Uids(scene_.state().jobs);
    if (jobs.empty()) return;
    const records::JobRow job = scene_.Job(Pick(jobs));
    const uint64_t dice = random_.Below(9);
    if (dice > 5) return Requeue(job.job_id());
    if (dice == 0) scene_.Try(CancelJob{"default", job.job_id(), "random"}).IgnoreError();
    if (dice == 1) scene_.Try(PauseJob{"default", job.job_id(), false}).IgnoreError();
    if (dice > 1) scene_.Try(PauseJob{"default", job.job_id(), true}).IgnoreError();
  }

  // Ranks spread over random nodes; many such plans do not fit and must be refused.
  void PlaceSomething() {
    std::vector<uint64_t> waiting(scene_.state().waiting_runs.begin(),
                                  scene_.state().waiting_runs.end());
    if (waiting.empty()) return;
    const uint64_t run = Pick(waiting);
    const int ranks =
        static_cast<int>(RankCount(*scene_.state().specs.at(scene_.Run(run).job_uid())));
    std::vector<Scene::Slice> slices;
    for (int rank = 0; rank < ranks; ++rank) {
      if (slices.empty() || random_.Below(2) == 0) slices.push_back({NodeName(Below()), {}});
      slices.back().ranks.push_back(rank);
    }
    scene_.Place(run, slices);
    if (random_.Below(20) == 0) scene_.Preempt(run);
  }
  uint64_t Below() { return random_.Below(kNodes); }
  static int64_t RankCount(const v1::JobSpec& spec) {
    int64_t ranks = 0;
    for (const v1::WorkerPool& pool : spec.worker_pools()) ranks += pool.replica_count();
    return ranks;
  }

  // A random fact of a random member of a random epoch, old ones too.
  void TellSomething() {
    const std::vector<uint64_t> active(scene_.state().active_runs.begin(),
                                       scene_.state().active_runs.end());
    if (active.empty()) return;
    const uint64_t uid = Pick(active);
    const records::RunRow run = scene_.Run(uid);
    if (run.held_size() > 0 && random_.Below(2) == 0) {
      const records::HeldMember& held = run.held(static_cast<int>(random_.Below(run.held_size())));
      return Tell(held.member().node_id(), uid, held.epoch(), held.member().member(),
                  random_.Below(8));
    }
    const int index = static_cast<int>(random_.Below(run.attempt().members_size()));
    const records::MemberRow& member = run.attempt().members(index);
    if (!scene_.state().agents.at(member.node_id())->connected()) return;
    if (random_.Below(3) > 0) return Obey(uid);
    Tell(member.node_id(), uid, run.attempt().epoch(), index, random_.Below(8));
  }

  void Tell(const std::string& node, uint64_t run, uint64_t epoch, int member, uint64_t what) {
    wire::Fact fact;
    fact.mutable_key()->set_run_uid(run);
    fact.mutable_key()->set_epoch(epoch);
    fact.mutable_key()->set_member(member);
    const v1::ExitCause causes[] = {v1::EXIT_CAUSE_UNSPECIFIED,
                                    v1::USER_ERROR,
                                    v1::STAGING,
                                    v1::NODE_LOST,
                                    v1::HANG,
                                    v1::OOM_DEVICE};
    switch (what) {
      case 0:
        fact.mutable_prepared()->set_port(1);
        break;
      case 1:
      case 2:
        fact.mutable_running()->set_pid(1);
        break;
      case 3:
      case 4:
        fact.mutable_exited()->mutable_record()->set_cause(causes[random_.Below(6)]);
        fact.mutable_exited()->set_refused(random_.Below(4) == 0);
        if (random_.Below(2) == 0) fact.mutable_exited()->add_metrics_seen("accuracy");
        fact.mutable_exited()->set_last_step(static_cast<int64_t>(random_.Below(6)));
        break;
      case 5:
        fact.mutable_checkpoint_part()->set_step(static_cast<int64_t>(random_.Below(9)));
        fact.mutable_checkpoint_part()->set_tree("tree");
        break;
      default:
        fact.mutable_released();
        break;
    }
    scene_.Tell(node, fact);
    if (random_.Below(10) == 0) scene_.Tell(node, fact);
  }

  // What a good agent does next with the run's members.
  void Obey(uint64_t uid) {
    for (const NodeDemand& demand : DemandOfRun(scene_.state(), uid)) {
      const wire::MemberKey& key = demand.member.key();
      if (scene_.Run(uid).attempt().epoch() != key.epoch()) return;
      const records::MemberRow member = scene_.Run(uid).attempt().members(key.member());
      if (demand.member.want() == wire::STOPPED) {
        scene_.Stopped(uid, key.member());
      } else if (demand.member.want() == wire::PREPARED) {
        scene_.Prepared(uid, key.member());
      } else if (!member.running()) {
        scene_.Running(uid, key.member());
      } else {
        scene_.Succeed(uid, key.member());
      }
    }
    const records::RunRow run = scene_.Run(uid);
    for (const records::MemberRow& member : run.attempt().members()) {
      if (member.exited() && !member.released()) {
        Tell(member.node_id(), uid, run.attempt().epoch(), member.member(), 7);
      }
    }
    for (const records::HeldMember& held : run.held()) {
      Tell(held.member().node_id(), uid, held.epoch(), held.member().member(), 7);
    }
  }

  void MeasureSomething() {
    const std::vector<uint64_t> runs = Uids(scene_.state().runs);
    if (runs.empty()) return;
    const uint64_t run = Pick(runs);
    scene_.Report(run, static_cast<int64_t>(random_.Below(8)), random_.Uniform());
  }

  void AskAndTell() {
    if (!scene_.state().study_by_name.contains(NameKey("default", "asked"))) {
      Spec spec;
      spec.Study(1, 1).spec.mutable_study_spec()->mutable_study_stopping()->set_max_trials(40);
      scene_.Do(CreateStudy{"default", "asked", spec.spec.study_spec()});
    }
    const uint64_t study = scene_.state().study_by_name.at(NameKey("default", "asked"));
    const std::string client = "c" + std::to_string(random_.Below(3));
    const auto ask = scene_.Try(AskTrials{"default", "asked", 2, client});
    if (!ask.ok()) {
      scene_.Do(DeleteStudy{"default", "asked"});
      return;
    }
    if (ask->reply.short_by > 0) scene_.Suggest(study, ask->reply.short_by);
    for (const int32_t trial : ask->reply.trials) {
      scene_.Do(AddMeasurement{"default", "asked", trial, Point(1, random_.Uniform())});
      if (random_.Below(2) == 0) {
        scene_.Do(CompleteTrial{"default", "asked", trial, false, {}, random_.Below(5) == 0, ""});
      }
    }
  }

  void Reconnect(uint64_t i) {
    std::vector<wire::MemberKey> members;
    for (const auto& [uid, run] : scene_.state().runs) {
      for (const records::MemberRow& member : run->attempt().members()) {
        const bool here = member.node_id() == NodeName(i) && !member.exited() &&
                          !member.released() && random_.Below(4) > 0;
        if (here) members.push_back(scene_.Key(uid, member.member()));
      }
    }
    scene_.Reconnect(NodeName(i), members);
    // What nobody owns any more goes away.
    const AgentPtr agent = scene_.state().agents.at(NodeName(i));
    for (const wire::MemberKey& key : agent->stale()) {
      Tell(NodeName(i), key.run_uid(), key.epoch(), key.member(), 7);
    }
  }
  void ShakeANode() {
    const uint64_t node = Below();
    const uint64_t dice = random_.Below(10);
    if (dice < 2) scene_.Lose(NodeName(node));
    if (dice == 2) {
      const bool by = random_.Below(2) == 0;
      scene_.Do(DrainNode{NodeName(node), false, "random", by ? scene_.now_us() + kMinuteUs : 0});
    }
    if (dice == 3 && random_.Below(4) == 0) Reserve(node);
    if (dice > 2 && dice < 6) scene_.Do(DrainNode{NodeName(node), true, ""});
    if (dice >= 6) Reconnect(node);
  }
  void StopSomething() {
    const std::vector<uint64_t> studies = Uids(scene_.state().studies);
    if (studies.empty()) return;
    const uint64_t study = Pick(studies);
    const auto trial = static_cast<int32_t>(1 + random_.Below(5));
    const uint64_t dice = random_.Below(8);
    if (dice == 0) {
      scene_.Do(ApplyStudyStop{study, "random"}, System());
    } else if (dice < 3) {
      scene_.EarlyStop(study, trial);
    } else {
      ApplyStops stops{study, {}};
      if (dice < 6) stops.holds = {{trial, "random"}};
      if (dice >= 6) stops.resumes = {trial};
      scene_.Do(stops, System());
    }
  }
  // As an optimiser that wants no held trial to go on.
  void StopHeld() {
    for (const uint64_t study : Uids(scene_.state().studies)) {
      ApplyStops stops{study, {}};
      stops.stop_held = true;
      scene_.Do(stops, System());
    }
  }

  Scene scene_;
  Random random_;
};

size_t EventsToPlay() {
#ifdef TRAINYARD_SANITIZED
  constexpr size_t kUsual = 20'000;
#else
  constexpr size_t kUsual = 100'000;
#endif
  const char* const is_long = std::getenv("TRAINYARD_TEST_LONG");
  return is_long != nullptr && std::string(is_long) == "1" ? 10'000'000 : kUsual;
}

uint64_t FirstSeed() {
  const char* const seed = std::getenv("TRAINYARD_TEST_SEED");
  return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
}

TEST(RandomWalkTest, InvariantsHoldAndEverythingEnds) {
  size_t played = 0;
  for (uint64_t seed = FirstSeed(); played < EventsToPlay(); ++seed) {
    SCOPED_TRACE("TRAINYARD_TEST_SEED=" + std::to_string(seed));
    Walk walk(seed);
    while (walk.events() < 5'000 && !::testing::Test::HasFailure()) {
      walk.Step();
      if (seed % 2 == 0 && walk.jobs() > 20) walk.Forget();
    }
    walk.Drain();
    played += walk.events();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
  RecordProperty("events", static_cast<int>(played));
}

}  // namespace
}  // namespace trainyard::core
