// See engine.h. Commands, batches and delivery; recovery is in recovery.cc, what is due by the
// clock and placement in engine_due.cc.
#include "scheduler/runtime/engine.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace trainyard::runtime {
namespace {

constexpr size_t kDeletedLooks = 4;  // in one cycle
constexpr int kAskRoundsMax = 256;   // a large ask is answered in parts; others may be faster

bool IsTerminal(trainyard::v1::JobState state) {
  return state == trainyard::v1::SUCCEEDED || state == trainyard::v1::FAILED ||
         state == trainyard::v1::CANCELLED || state == trainyard::v1::EXPIRED;
}

}  // namespace

int64_t Engine::NowUs() const { return absl::ToUnixMicros(options_.clock->Now()); }

absl::StatusOr<core::Reply> Engine::Decide(core::Command* command) {
  command->now_us = NowUs();
  command->random = random_.Next();
  absl::StatusOr<core::Decision> decision = core::Decide(state_, *command);
  if (!decision.ok()) return decision.status();
  refused_now_ = std::move(decision->refusals);
  for (journal::v1::Event& event : decision->events) {
    event.set_sequence(state_.sequence + 1);
    core::Apply(event, &state_, &touched_);
    batch_.records.push_back(journal::EncodeEvent(event));
  }
  return std::move(decision->reply);
}

// What the sessions must know of a command, whatever was decided.
void Engine::NoteCommand(const core::Command& command) {
  if (const auto* fact = std::get_if<core::AgentFact>(&command.body); fact != nullptr) {
    sessions_.FactFolded(fact->node_id, fact->fact.sequence());
  }
}

void Engine::Execute(core::Command command, Runtime::Callback done) {
  Try(std::move(command), std::move(done), 0);
}

void Engine::Try(core::Command command, Runtime::Callback done, int rounds) {
  absl::StatusOr<core::Reply> reply = Decide(&command);
  NoteCommand(command);
  if (done == nullptr) return;
  if (reply.ok() && reply->short_by > 0 && rounds < kAskRoundsMax) {
    const auto ask =
        std::make_shared<std::pair<core::Command, Runtime::Callback>>(std::move(command), done);
    desk_.Ask(reply->uid, reply->short_by, [this, ask, rounds](const absl::Status& status) {
      if (status.ok()) return Try(std::move(ask->first), std::move(ask->second), rounds + 1);
      batch_.answers.push_back([ask, status]() { ask->second(status); });
    });
    return;
  }
  const auto* const told = std::get_if<core::AddMeasurement>(&command.body);
  if (reply.ok() && told != nullptr) {
    return AnswerTelling(*told, *std::move(reply), std::move(done));
  }
  batch_.answers.push_back([done = std::move(done), reply = std::move(reply)]() { done(reply); });
}

// A study with a stopping rule looks at the measurement first, so that the answer is about it.
void Engine::AnswerTelling(const core::AddMeasurement& told, core::Reply reply,
                           Runtime::Callback done) {
  const core::TrialKey key(reply.uid, told.trial);
  const bool look_first = reply.look_first;
  auto answer = [this, key, reply = std::move(reply), done = std::move(done)]() mutable {
    const auto trial = state_.trials.find(key);
    reply.should_stop =
        trial == state_.trials.end() || (trial->second->state() != trainyard::v1::ACTIVE &&
                                         trial->second->state() != trainyard::v1::REQUESTED);
    batch_.answers.push_back([done = std::move(done), reply = std::move(reply)]() { done(reply); });
  };
  if (!look_first) return answer();
  auto later = std::make_shared<decltype(answer)>(std::move(answer));
  desk_.Ask(key.first, 0, [later](const absl::Status&) { (*later)(); });
}

void Engine::Internal(core::CommandBody body) {
  core::Command command;
  command.principal.name = "system";
  command.principal.role = trainyard::v1::ADMIN;
  command.principal.is_system = true;
  command.body = std::move(body);
  Execute(std::move(command), nullptr);
}

void Engine::Connect(const std::string& node_id, uint64_t session, const agent::v1::Hello& hello,
                     std::function<void(absl::StatusOr<agent::v1::Welcome>)> done) {
  core::Command command;
  command.principal.name = node_id;
  command.principal.role = trainyard::v1::AGENT;
  core::AgentConnect connect;
  connect.node_id = node_id;
  connect.inventory = hello.inventory();
  connect.inventory.set_node_id(node_id);
  connect.first_unacked_fact = hello.first_unacked_fact();
  connect.members.assign(hello.members().begin(), hello.members().end());
  command.body = std::move(connect);
  const absl::StatusOr<core::Reply> reply = Decide(&command);
  if (!reply.ok()) {
    batch_.answers.push_back([done = std::move(done), status = reply.status()]() { done(status); });
    return;
  }
  last_session_[node_id] = session;
  sessions_.Close(node_id);
  leases_.Start(node_id, options_.clock->Monotonic(), options_.lease);
  SetLinked(node_id, true);
  connecting_.emplace_back(node_id, std::move(done));
}

bool Engine::Disconnect(const std::string& node_id, uint64_t session) {
  const auto last = last_session_.find(node_id);
  if (last == last_session_.end() || last->second != session) return false;
  EndSession(node_id);
  return true;
}

void Engine::EndSession(const std::string& node_id) {
  sessions_.Close(node_id);
  SetLinked(node_id, false);
}

void Engine::SetLinked(const std::string& node_id, bool linked) {
  book_.SetLinked(node_id, linked);
  if (plan_desk_ != nullptr) untold_links_.emplace_back(node_id, linked);
}

void Engine::Answer(StudyAnswer answer) {
  for (core::CommandBody& body : answer.commands) Internal(std::move(body));
  for (StudyDesk::Asked& asked : desk_.Finish(answer.study_uid)) asked(answer.status);
}

// Brings the derived books up to date with what was applied.
void Engine::CatchUp() {
  book_.Update(state_, touched_);
  desk_.Update(state_, touched_);
  history_.Update(state_, touched_);
  lost_gangs_.Update(state_, touched_.runs);
  if (plan_desk_ != nullptr) untold_.Merge(touched_);
  unbooked_.Merge(touched_);
  touched_.Clear();
}

void Engine::Close() {
  CatchUp();
  DoDue();
  CatchUp();
  const std::vector<StudyDesk::Asked> hopeless = desk_.Hopeless(state_);
  for (const StudyDesk::Asked& asked : hopeless) asked(absl::OkStatus());
  if (!hopeless.empty()) CatchUp();
  PlaceNow();
  for (auto& [node_id, done] : connecting_) {
    batch_.answers.push_back(
        [done = std::move(done), welcome = sessions_.Open(state_, node_id)]() { done(welcome); });
  }
  connecting_.clear();
  sessions_.Collect(state_, unbooked_.runs, &batch_.messages);
  for (StudyJob& job : desk_.Collect(state_, NowUs())) study_jobs_.push_back(std::move(job));
}

void Engine::NoteTerminal(uint64_t job_uid) {
  const auto job = state_.jobs.find(job_uid);
  if (job == state_.jobs.end() || !IsTerminal(job->second->state())) return;
  if (terminal_set_.insert(job_uid).second) terminal_.push_back(job_uid);
}

void Engine::ForgetOld(const core::Touched& touched, Delta* delta) {
  for (const uint64_t uid : touched.jobs) NoteTerminal(uid);
  for (int looked = 0; terminal_.size() > options_.recent_jobs_max && looked < 16; ++looked) {
    const uint64_t uid = terminal_.front();
    terminal_.pop_front();
    if (!core::MayForget(state_, uid)) {
      terminal_.push_back(uid);
      continue;
    }
    Archive archive = ArchiveOf(state_, uid);
    core::Touched gone;
    for (const core::RunPtr& run : archive.runs) gone.runs.insert(run->uid());
    for (const core::TrialPtr& trial : archive.trials) {
      gone.trials.insert({trial->study_uid(), trial->id()});
    }
    if (archive.study != nullptr) gone.studies.insert(archive.study->uid());
    gone.jobs.insert(uid);
    if (archive.job != nullptr) delta->archives.push_back(std::move(archive));
    core::Forget(uid, &state_);
    book_.Update(state_, gone);
    history_.Update(state_, gone);
    lost_gangs_.Update(state_, gone.runs);
    if (plan_desk_ != nullptr) untold_.Merge(gone);
    terminal_set_.erase(uid);
  }
}

// A deleted study goes, rows and all, once no live study learns from it.
void Engine::ForgetDeleted(core::Touched* touched) {
  for (const uint64_t uid : touched->studies) {
    const auto study = state_.studies.find(uid);
    if (study != state_.studies.end() && study->second->deleted()) deleted_.push_back(uid);
  }
  for (size_t looked = std::min(deleted_.size(), kDeletedLooks); looked > 0; --looked) {
    const uint64_t uid = deleted_.front();
    deleted_.pop_front();
    const bool needed =
        std::any_of(state_.live_studies.begin(), state_.live_studies.end(), [&](uint64_t live) {
          const auto& earlier = state_.studies.at(live)->earlier();
          return std::find(earlier.begin(), earlier.end(), uid) != earlier.end();
        });
    if (needed) {
      deleted_.push_back(uid);
      continue;
    }
    touched->studies.insert(uid);
    for (auto it = state_.trials.lower_bound({uid, 0});
         it != state_.trials.end() && it->first.first == uid; ++it) {
      touched->trials.insert(it->first);
    }
    core::ForgetStudy(uid, &state_);
  }
}

Delta Engine::TakeDelta() {
  core::Touched touched = std::exchange(unbooked_, {});
  ForgetDeleted(&touched);
  Delta delta = DeltaOf(state_, touched);
  // A spec never changes: it is published once.
  delta.specs.erase(std::remove_if(delta.specs.begin(), delta.specs.end(),
                                   [&](const auto& spec) {
                                     return spec.second == nullptr || spec.first <= specs_known_;
                                   }),
                    delta.specs.end());
  if (!delta.specs.empty()) specs_known_ = delta.specs.back().first;
  delta.explanations = std::exchange(explanations_, {});
  ForgetOld(touched, &delta);
  return delta;
}

Batch Engine::TakeBatch() {
  Batch batch = std::exchange(batch_, {});
  batch.delta = TakeDelta();
  batch.before = state_.sequence - batch.records.size();
  return batch;
}

std::vector<StudyJob> Engine::TakeStudyJobs() { return std::exchange(study_jobs_, {}); }

void Engine::Deliver(Batch* batch, AgentLink* link) {
  view_->Publish(batch->delta);
  for (const auto& [node_id, message] : batch->messages) link->Send(node_id, message);
  for (const std::function<void()>& answer : batch->answers) answer();
}

}  // namespace trainyard::runtime
