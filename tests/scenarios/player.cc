// See player.h.
#include "tests/scenarios/player.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

using Words = std::vector<std::string>;

int64_t Number(absl::string_view text) {
  int64_t value = 0;
  EXPECT_TRUE(absl::SimpleAtoi(text, &value)) << "no number: " << text;
  return value;
}

class Player {
 public:
  Player() { seen_ = scene_.events().size(); }

  std::string Command(const std::string& line) {
    const Words words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    const Verb* const verb = VerbOf(words.at(0));
    EXPECT_NE(verb, nullptr) << "unknown command: " << line;
    if (verb != nullptr) (*verb)(this, words);
    return Trace();
  }

 private:
  using Verb = std::function<void(Player*, const Words&)>;
  static const Verb* VerbOf(const std::string& word) {
    static const auto* const more = new std::map<std::string, Verb>(QueueVerbs());
    for (const auto* verbs : {&Verbs(), more}) {
      if (const auto found = verbs->find(word); found != verbs->end()) return &found->second;
    }
    return nullptr;
  }
  static const std::map<std::string, Verb>& Verbs();
  static std::map<std::string, Verb> QueueVerbs();  // about places in the queue and nodes' times

  uint64_t RunOf(const std::string& name) const {
    const Words parts = absl::StrSplit(name, '/');
    if (parts.size() == 1) return scene_.Job(parts[0]).run_uid();
    const uint64_t study = scene_.StudyOf(parts[0]);
    return scene_.Trial(study, static_cast<int32_t>(Number(parts[1]))).run_uid();
  }
  static int Member(const Words& words) {
    return words.size() > 2 ? static_cast<int>(Number(words[2])) : 0;
  }

  // The way back from a uid to the name in the text.
  std::string NameOfRun(uint64_t uid) const {
    const auto run = scene_.state().runs.find(uid);
    if (run == scene_.state().runs.end()) return absl::StrCat("run ", uid);
    const std::string job = NameOfJob(run->second->job_uid());
    return run->second->trial() == 0 ? job : absl::StrCat(job, "/", run->second->trial());
  }
  std::string NameOfJob(uint64_t uid) const {
    const auto job = scene_.state().jobs.find(uid);
    return job == scene_.state().jobs.end() ? absl::StrCat("job ", uid) : job->second->job_id();
  }
  std::string NameOfTrial(uint64_t study, int32_t trial) const {
    return absl::StrCat(scene_.Study(study).study_id(), "/", trial);
  }

  void SetHold(const std::string& job, bool hold) {
    SetQueueing wish{"default", job, {}, 0};
    wish.queueing.set_hold(hold);
    scene_.Do(wish);
  }
  void DrainBy(const std::string& node, int64_t seconds) {
    scene_.Do(DrainNode{node, false, "asked", scene_.now_us() + seconds * kSecondUs});
  }
  // From so many seconds on, for so many.
  void Reserve(const std::string& name, const std::string& node, int64_t from, int64_t seconds) {
    SetSetting set;
    set.setting.set_key(absl::StrCat("reservations/", name));
    v1::Reservation* const reservation = set.setting.mutable_reservation();
    reservation->add_nodes(node);
    const int64_t start = scene_.now_us() / kSecondUs + from;
    reservation->mutable_start_time()->set_seconds(start);
    reservation->mutable_end_time()->set_seconds(start + seconds);
    scene_.Do(set);
  }
  void HoldTrial(const std::string& name, bool hold) {
    const Words parts = absl::StrSplit(name, '/');
    const auto trial = static_cast<int32_t>(Number(parts.at(1)));
    ApplyStops stops{scene_.StudyOf(parts.at(0)), {}};
    if (hold) stops.holds = {{trial, "not in the best third"}};
    if (!hold) stops.resumes = {trial};
    scene_.Do(stops, System());
  }
  void Submit(const Words& words);
  void Place(const Words& words);
  void Exit(const Words& words);
  void Back(const Words& words);

  // What the command left: events, then desired members and states of trials and jobs that changed.
  std::string Trace();
  std::string Describe(const records::Event& event);
  std::string DescribeStudy(const records::Event& event);

  Scene scene_;
  size_t seen_ = 0;
  std::map<uint64_t, std::string> wants_;
  std::map<uint64_t, v1::JobState> states_;
  std::map<TrialKey, v1::TrialState> trials_;
};

std::map<std::string, Player::Verb> Player::QueueVerbs() {
  return {
      {"hold", [](Player* p, const Words& w) { p->SetHold(w.at(1), true); }},
      {"release-hold", [](Player* p, const Words& w) { p->SetHold(w.at(1), false); }},
      {"priority",
       [](Player* p, const Words& w) {
         SetQueueing wish{"default", w.at(1), {}, 0};
         wish.queueing.set_priority(static_cast<int32_t>(Number(w.at(2))));
         p->scene_.Do(wish);
       }},
      {"limit",
       [](Player* p, const Words& w) {
         SetQueueing wish{"default", w.at(1), {}, 0};
         wish.queueing.set_timeout_us(Number(w.at(2)) * kSecondUs);
         p->scene_.Do(wish);
       }},
      {"hold-trial", [](Player* p, const Words& w) { p->HoldTrial(w.at(1), true); }},
      {"go-on", [](Player* p, const Words& w) { p->HoldTrial(w.at(1), false); }},
      {"stop-held",
       [](Player* p, const Words& w) {
         ApplyStops stops{p->scene_.StudyOf(w.at(1)), {}};
         stops.stop_held = true;
         p->scene_.Do(stops, System());
       }},
      {"drain-by", [](Player* p, const Words& w) { p->DrainBy(w.at(1), Number(w.at(2))); }},
      {"reserve",
       [](Player* p, const Words& w) {
         p->Reserve(w.at(1), w.at(2), Number(w.at(3)), Number(w.at(4)));
       }},
  };
}

const std::map<std::string, Player::Verb>& Player::Verbs() {
  static const auto* const verbs = new std::map<std::string, Verb>{
      {"node",
       [](Player* p, const Words& w) {
         int cores = 8;
         int gpus = 0;
         for (const std::string& word : w) {
           if (absl::StartsWith(word, "cores=")) cores = static_cast<int>(Number(word.substr(6)));
           if (absl::StartsWith(word, "gpus=")) gpus = static_cast<int>(Number(word.substr(5)));
         }
         p->scene_.Node(w.at(1), cores, gpus);
       }},
      {"lose", [](Player* p, const Words& w) { p->scene_.Lose(w.at(1)); }},
      {"back", [](Player* p, const Words& w) { p->Back(w); }},
      {"drain",
       [](Player* p, const Words& w) {
         p->scene_.Do(DrainNode{w.at(1), false, "asked"});
       }},
      {"undrain",
       [](Player* p, const Words& w) {
         p->scene_.Do(DrainNode{w.at(1), true, ""});
       }},
      {"submit", [](Player* p, const Words& w) { p->Submit(w); }},
      {"cancel", [](Player* p, const Words& w) { p->scene_.Cancel(w.at(1)); }},
      {"pause", [](Player* p, const Words& w) { p->scene_.Pause(w.at(1)); }},
      {"resume", [](Player* p, const Words& w) { p->scene_.Resume(w.at(1)); }},
      {"place", [](Player* p, const Words& w) { p->Place(w); }},
      {"placeall", [](Player* p, const Words&) { p->scene_.PlaceAll(); }},
      {"preempt", [](Player* p, const Words& w) { p->scene_.Preempt(p->RunOf(w.at(1))); }},
      {"prepared",
       [](Player* p, const Words& w) { p->scene_.Prepared(p->RunOf(w.at(1)), Member(w)); }},
      {"running",
       [](Player* p, const Words& w) { p->scene_.Running(p->RunOf(w.at(1)), Member(w)); }},
      {"succeed",
       [](Player* p, const Words& w) { p->scene_.Succeed(p->RunOf(w.at(1)), Member(w)); }},
      {"stopped",
       [](Player* p, const Words& w) { p->scene_.Stopped(p->RunOf(w.at(1)), Member(w)); }},
      {"release",
       [](Player* p, const Words& w) { p->scene_.Release(p->RunOf(w.at(1)), Member(w)); }},
      {"exit", [](Player* p, const Words& w) { p->Exit(w); }},
      {"part",
       [](Player* p, const Words& w) {
         p->scene_.Part(p->RunOf(w.at(1)), Member(w), Number(w.at(3)), w.at(4));
       }},
      {"suggest",
       [](Player* p, const Words& w) {
         p->scene_.Suggest(p->scene_.StudyOf(w.at(1)), static_cast<int>(Number(w.at(2))),
                           w.size() > 3);
       }},
      {"report",
       [](Player* p, const Words& w) {
         double value = 0;
         EXPECT_TRUE(absl::SimpleAtod(w.at(3), &value));
         p->scene_.Report(p->RunOf(w.at(1)), Number(w.at(2)), value);
       }},
      {"stop",
       [](Player* p, const Words& w) {
         const Words parts = absl::StrSplit(w.at(1), '/');
         p->scene_.EarlyStop(p->scene_.StudyOf(parts.at(0)),
                             static_cast<int32_t>(Number(parts.at(1))), w.at(2));
       }},
      {"pass",
       [](Player* p, const Words& w) { p->scene_.Pass(static_cast<double>(Number(w.at(1)))); }},
      {"away",
       [](Player* p, const Words& w) { p->scene_.Away(static_cast<double>(Number(w.at(1)))); }},
      {"restart", [](Player* p, const Words&) { p->scene_.Restart(); }},
  };
  return *verbs;
}

void Player::Submit(const Words& words) {
  Spec spec;
  std::map<std::string, int64_t> options;
  for (size_t i = 2; i < words.size(); ++i) {
    const std::pair<std::string, std::string> option = absl::StrSplit(words[i], '=');
    if (option.first == "after" || option.first == "after-end") {
      v1::Dependency* const after = spec.spec.mutable_scheduling()->add_after();
      after->set_job(option.second);
      if (option.first == "after-end") after->set_on(v1::Dependency::END);
      continue;
    }
    options[option.first] = Number(option.second);
  }
  const auto take = [&](const char* name) {
    const int64_t value = options[name];
    options.erase(name);
    return value;
  };
  if (const int64_t ranks = take("ranks"); ranks > 0) spec.Ranks(static_cast<int>(ranks));
  if (const int64_t gpus = take("gpus"); gpus > 0) spec.Gpus(static_cast<int>(gpus));
  const int64_t retries = take("retries");
  spec.Retries(static_cast<int>(retries), static_cast<int>(take("infra")));
  if (const int64_t timeout = take("timeout"); timeout > 0) spec.Timeout(timeout);
  if (const int64_t wait = take("maxwait"); wait > 0) spec.MaxWait(wait);
  if (const int64_t grace = take("grace"); grace > 0) spec.Grace(grace);
  spec.spec.mutable_scheduling()->set_hold(take("hold") > 0);
  const int64_t trials = take("trials");
  const int64_t parallel = take("parallel");
  const int64_t failed = take("failed");
  if (trials > 0) spec.Study(trials, parallel, failed);
  EXPECT_TRUE(options.empty()) << "unknown option " << options.begin()->first;
  scene_.Submit(words.at(1), spec);
}

void Player::Place(const Words& words) {
  std::vector<Scene::Slice> slices;
  for (size_t i = 2; i < words.size(); ++i) {
    const Words parts = absl::StrSplit(words[i], ':');
    Scene::Slice slice{parts.at(0), {}};
    const Words ranks = absl::StrSplit(parts.at(1), ',');
    for (const std::string& rank : ranks) slice.ranks.push_back(static_cast<int>(Number(rank)));
    slices.push_back(std::move(slice));
  }
  scene_.Place(RunOf(words.at(1)), slices);
}

void Player::Exit(const Words& words) {
  wire::Exited exited;
  v1::ExitCause cause = v1::INTERNAL;
  EXPECT_TRUE(v1::ExitCause_Parse(words.at(3), &cause)) << words.at(3);
  *exited.mutable_record() = Failure(cause, absl::AsciiStrToLower(words.at(3)));
  exited.set_refused(words.size() > 4);
  scene_.ExitWith(RunOf(words.at(1)), Member(words), exited);
}

void Player::Back(const Words& words) {
  std::vector<wire::MemberKey> members;
  for (size_t i = 2; i < words.size(); ++i) {
    const Words parts = absl::StrSplit(words[i], '.');
    members.push_back(scene_.Key(RunOf(parts.at(0)), static_cast<int>(Number(parts.at(1)))));
  }
  scene_.Reconnect(words.at(1), members);
}

std::string Player::Trace() {
  std::string out;
  std::set<uint64_t> runs;
  for (const auto& [uid, run] : scene_.state().runs) runs.insert(uid);
  for (; seen_ < scene_.events().size(); ++seen_) {
    absl::StrAppend(&out, "    ", Describe(scene_.events()[seen_]), "\n");
  }
  for (const uint64_t uid : runs) {
    const std::string want = absl::StrJoin(scene_.Demand(uid), ", ");
    if (wants_[uid] == want) continue;
    wants_[uid] = want;
    absl::StrAppend(&out, "  want ", NameOfRun(uid), ": ", want.empty() ? "nothing" : want, "\n");
  }
  for (const auto& [key, trial] : scene_.state().trials) {
    v1::TrialState& known = trials_[key];
    if (known == trial->state()) continue;
    known = trial->state();
    absl::StrAppend(&out, "  trial ", NameOfTrial(key.first, key.second), ": ",
                    v1::TrialState_Name(known), "\n");
  }
  std::set<uint64_t> jobs;
  for (const auto& [uid, job] : scene_.state().jobs) jobs.insert(uid);
  for (const uint64_t uid : jobs) {
    const v1::JobState state = scene_.Job(uid).state();
    if (states_[uid] == state) continue;
    states_[uid] = state;
    absl::StrAppend(&out, "  job ", NameOfJob(uid), ": ", v1::JobState_Name(state), "\n");
  }
  return out;
}

std::string Player::Describe(const records::Event& event) {
  const auto* const body = records::Event::descriptor()->FindFieldByNumber(event.body_case());
  std::string out = body->name();
  if (event.has_run_placed()) {
    absl::StrAppend(&out, " ", NameOfRun(event.run_placed().run_uid()), " epoch ",
                    event.run_placed().epoch() >> 32, ".", event.run_placed().epoch() & 0xffffffff);
  } else if (event.has_member_fact()) {
    const wire::Fact& fact = event.member_fact().fact();
    const auto* const kind = wire::Fact::descriptor()->FindFieldByNumber(fact.body_case());
    absl::StrAppend(&out, " ", event.member_fact().node_id(), " ", kind->name());
  } else if (event.has_attempt_ended()) {
    const records::AttemptEnded& ended = event.attempt_ended();
    absl::StrAppend(
        &out, " ", NameOfRun(ended.run_uid()), " ", records::AttemptState_Name(ended.state()), " ",
        v1::ExitCause_Name(ended.exit().cause()), " next ", records::RunState_Name(ended.next()));
    if (ended.not_before_us() > 0) {
      absl::StrAppend(&out, " in ", (ended.not_before_us() - event.time_us()) / kSecondUs, " s");
    }
  } else if (event.has_job_ended()) {
    absl::StrAppend(&out, " ", NameOfJob(event.job_ended().job_uid()), " ",
                    v1::JobState_Name(event.job_ended().state()),
                    event.job_ended().has_error() ? ": " : "", event.job_ended().error().message());
  } else if (event.has_attempt_stop_requested()) {
    absl::StrAppend(&out, " ", NameOfRun(event.attempt_stop_requested().run_uid()), " ",
                    wire::StopReason_Name(event.attempt_stop_requested().reason()));
  } else if (event.has_job_queueing_set()) {
    absl::StrAppend(&out, " ", NameOfJob(event.job_queueing_set().job_uid()), " ",
                    event.job_queueing_set().queueing().ShortDebugString());
  } else if (event.has_dependency_ended()) {
    absl::StrAppend(&out, " ", NameOfJob(event.dependency_ended().job_uid()), " ",
                    event.dependency_ended().broken());
    absl::StripTrailingAsciiWhitespace(&out);
  } else if (event.has_checkpoint_committed()) {
    absl::StrAppend(&out, " ", NameOfRun(event.checkpoint_committed().run_uid()), " step ",
                    event.checkpoint_committed().step());
  } else {
    absl::StrAppend(&out, DescribeStudy(event));
  }
  return out;
}

std::string Player::DescribeStudy(const records::Event& event) {
  if (event.has_trials_suggested()) {
    return absl::StrCat(" ", event.trials_suggested().suggestions_size(),
                        event.trials_suggested().exhausted() ? " exhausted" : "");
  }
  if (event.has_trial_activated()) {
    return absl::StrCat(
        " ", NameOfTrial(event.trial_activated().study_uid(), event.trial_activated().trial()));
  }
  if (event.has_trial_stop_requested()) {
    return absl::StrCat(" ", NameOfTrial(event.trial_stop_requested().study_uid(),
                                         event.trial_stop_requested().trial()));
  }
  if (event.has_trial_held()) {
    const records::TrialHeld& held = event.trial_held();
    return absl::StrCat(" ", NameOfTrial(held.study_uid(), held.trial()),
                        held.undo() ? " may go on" : "");
  }
  if (event.has_trial_ended()) {
    const records::TrialEnded& ended = event.trial_ended();
    return absl::StrCat(" ", NameOfTrial(ended.study_uid(), ended.trial()), " ",
                        v1::TrialState_Name(ended.state()), ended.stopped_early() ? " early" : "",
                        ended.infeasible_reason().empty() ? "" : ": ", ended.infeasible_reason());
  }
  if (event.has_study_ended()) return absl::StrCat(" ", event.study_ended().reason());
  if (event.has_node_quarantined()) {
    return absl::StrCat(" ", event.node_quarantined().node_id(), " ",
                        event.node_quarantined().reason());
  }
  if (event.has_agent_connected()) {
    const records::AgentConnected& connected = event.agent_connected();
    return absl::StrCat(" ", connected.node_id(), " missing ", connected.missing_size(),
                        " released ", connected.released_size(), " stale ", connected.stale_size());
  }
  return "";
}

}  // namespace

std::string Play(const std::string& text) {
  Player player;
  std::string out;
  const Words lines = absl::StrSplit(text, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    if (absl::StartsWith(lines[i], " ")) continue;  // the trace as it was
    if (i + 1 == lines.size() && lines[i].empty()) break;
    absl::StrAppend(&out, lines[i], "\n");
    if (absl::StartsWith(lines[i], "> ")) out += player.Command(lines[i].substr(2));
  }
  return out;
}

}  // namespace trainyard::core
