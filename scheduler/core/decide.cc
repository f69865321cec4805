// Decide: which machine answers which command. See core.h.
#include <algorithm>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "common/errors.h"
#include "scheduler/core/admin.h"
#include "scheduler/core/agent_machine.h"
#include "scheduler/core/attempt_machine.h"
#include "scheduler/core/core.h"
#include "scheduler/core/deadline.h"
#include "scheduler/core/draft.h"
#include "scheduler/core/elastic.h"
#include "scheduler/core/job_machine.h"
#include "scheduler/core/limits.h"
#include "scheduler/core/queue_machine.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/requests.h"
#include "scheduler/core/run_machine.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/study_machine.h"
#include "scheduler/core/trial_machine.h"

namespace trainyard::core {
namespace {

constexpr int kDueInOneTick = 256;  // the rest is due in the next one

absl::Status CheckSystem(const Draft& draft) {
  if (draft.principal().is_system) return absl::OkStatus();
  return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                   "only the scheduler itself may ask for this", "");
}

// One answer per kind of command; all give StatusOr<Reply>.
struct Decider {
  Draft* draft;
  bool* ignored;
  std::vector<Refusal>* refusals;

  using Result = absl::StatusOr<Reply>;
  Result operator()(const StartServer& c) const { return Start(c, draft); }
  Result operator()(const CreateProject& c) const { return MakeProject(c, draft); }
  Result operator()(const SetTier& c) const { return PutTier(c, draft); }
  Result operator()(const CreateToken& c) const { return AddToken(c, draft); }
  Result operator()(const RevokeToken& c) const { return DropToken(c, draft); }
  Result operator()(const SubmitJob& c) const { return Submit(c, draft); }
  Result operator()(const CancelJob& c) const { return Cancel(c, draft); }
  Result operator()(const SetJobLabels& c) const { return SetLabels(c, draft); }
  Result operator()(const PauseJob& c) const { return Pause(c, draft); }
  Result operator()(const CreateStudy& c) const { return MakeStudy(c, draft); }
  Result operator()(const DeleteStudy& c) const { return RemoveStudy(c, draft); }
  Result operator()(const AskTrials& c) const { return AskForTrials(c, draft); }
  Result operator()(const AddMeasurement& c) const { return TellMeasurement(c, draft); }
  Result operator()(const CompleteTrial& c) const { return TellCompletion(c, draft); }
  Result operator()(const DrainNode& c) const { return ThenGrow(Drain(c, draft)); }
  Result operator()(const AgentJoin& c) const { return Join(c, draft); }
  Result operator()(const AgentConnect& c) const { return ThenGrow(Connect(c, draft)); }
  Result operator()(const AgentLoss& c) const { return Lose(c, draft); }
  Result operator()(const GangSilence& c) const {
    if (absl::Status status = CheckSystem(*draft); !status.ok()) return status;
    EndSilentGang(c, draft);
    return Reply();
  }
  Result operator()(const ApplySuggestions& c) const { return TakeSuggestions(c, draft); }
  Result operator()(const ApplyStops& c) const { return TakeStops(c, draft); }
  Result operator()(const ApplyStudyStop& c) const { return TakeStudyStop(c, draft); }
  Result operator()(const SetQueueing& c) const { return ChangeQueueing(c, draft); }
  Result operator()(const SetSetting& c) const { return PutSetting(c, draft); }
  Result operator()(const DeleteSetting& c) const { return DropSetting(c, draft); }
  Result operator()(const SetProject& c) const { return ChangeProject(c, draft); }
  Result operator()(const RevokeNode& c) const { return RevokeKeys(c, draft); }

  Result operator()(const AgentFact& c) const {
    Result taken = Noted(TakeFact(c, draft));
    // Room appears when a member lets go; a short attempt may also find some once it runs.
    const bool room = c.fact.has_released() || c.fact.has_running();
    return room && !*ignored ? ThenGrow(std::move(taken)) : std::move(taken);
  }
  Result operator()(const ReportMeasurements& c) const { return Noted(TakeMeasurements(c, draft)); }

  Result operator()(const ApplyPlan& plan) const {
    if (absl::Status status = CheckSystem(*draft); !status.ok()) return status;
    for (const PreemptedRun& preempted : plan.preemptions) {
      const RunPtr run = draft->Run(preempted.run_uid);
      if (run == nullptr) continue;
      if (preempted.epoch != 0 && run->attempt().epoch() != preempted.epoch) continue;
      const RunPtr next = draft->Run(preempted.for_run_uid);
      const bool waits = next != nullptr && next->state() == records::R_WAITING;
      if (preempted.for_run_uid != 0 && !waits) continue;
      const auto stop = preempted.shrinks ? wire::STOP_RESIZE : wire::STOP_PREEMPT;
      PreemptRun(preempted.run_uid, stop, preempted.reason, draft);
    }
    // What does not fit any more goes on waiting and is planned again.
    Limits limits(*draft);
    for (const PlacedRun& placement : plan.placements) {
      Refusal refusal{placement.run_uid, "", ""};
      const absl::Status status = PlaceRun(placement, &limits, draft, &refusal.node_id);
      const RunPtr run = draft->Run(placement.run_uid);
      if (status.ok() || run == nullptr || run->state() != records::R_WAITING) continue;
      refusal.why = std::string(status.message());
      refusals->push_back(std::move(refusal));
    }
    return Reply();
  }

  Result operator()(const Tick&) const {
    if (absl::Status status = CheckSystem(*draft); !status.ok()) return status;
    std::vector<uint64_t> due;
    for (const auto& [time_us, run_uid] : draft->state().deadlines) {
      if (time_us > draft->now_us() || due.size() >= kDueInOneTick) break;
      due.push_back(run_uid);
    }
    for (const uint64_t run_uid : due) RunIsDue(run_uid, draft);
    SettingsAreDue(draft);
    TellUntold(draft);
    CancelBroken(kDueInOneTick, draft);
    return Reply();
  }

 private:
  Result ThenGrow(Result result) const {
    if (result.ok()) ConsiderGrowth(draft);
    return result;
  }
  Result Noted(const absl::StatusOr<bool>& news) const {
    if (!news.ok()) return news.status();
    *ignored = !*news;
    return Reply();
  }
};

}  // namespace

absl::StatusOr<Decision> Decide(const State& state, const Command& command) {
  Draft draft(state, command);
  Decision decision;
  absl::StatusOr<std::optional<Reply>> answer = FindAnswer(state, command, draft.now_us());
  if (!answer.ok()) return answer.status();
  if (answer->has_value()) {
    decision.reply = *std::move(*answer);
    return decision;
  }
  absl::StatusOr<Reply> reply =
      std::visit(Decider{&draft, &decision.ignored_fact, &decision.refusals}, command.body);
  if (!reply.ok()) return reply.status();
  RememberAnswer(*reply, &draft);
  decision.reply = *std::move(reply);
  decision.events = std::move(draft.events());
  return decision;
}

int64_t NextDeadline(const State& state) {
  if (!state.broken_jobs.empty() || !state.untold_jobs.empty()) return 0;
  int64_t next = kNever;
  if (!state.deadlines.empty()) next = state.deadlines.begin()->first;
  if (!state.cluster_deadlines.empty()) {
    next = std::min(next, state.cluster_deadlines.begin()->first);
  }
  return next;
}

std::vector<SuggestionNeed> NeededSuggestions(const State& state) {
  std::vector<SuggestionNeed> needs;
  for (const uint64_t uid : state.hungry_studies) {
    const records::StudyRow& study = *state.studies.at(uid);
    const JobPtr& job = state.jobs.at(study.job_uid());
    if (job->paused() || job->cancel_requested()) continue;
    if (IsBlocked(*job, *state.specs.at(job->uid()))) continue;
    needs.push_back({uid, study.next_trial(), SuggestionsWanted(study)});
  }
  return needs;
}

}  // namespace trainyard::core
