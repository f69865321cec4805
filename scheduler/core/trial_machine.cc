// See trial_machine.h: trials of tuning jobs; ask and tell is in ask_tell.cc.
#include "scheduler/core/trial_machine.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "scheduler/core/core.h"
#include "scheduler/core/measurements.h"
#include "scheduler/core/run_machine.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/study_machine.h"

namespace trainyard::core {
namespace {

// For the last points to arrive when some are here; when the metric was seen but no point is here.
constexpr int64_t kSettleLastUs = kSecondUs;
constexpr int64_t kSettleFirstUs = 10 * kSecondUs;

TrialKey KeyOf(const records::RunRow& run, const Rows& rows) {
  const JobPtr job = rows.Job(run.job_uid());
  return {job == nullptr ? 0 : job->study_uid(), run.trial()};
}

std::set<std::string> NamesSeen(const records::RunRow& run) {
  std::set<std::string> names;
  for (const records::MemberRow& member : run.attempt().members()) {
    names.insert(member.exit().metrics_seen().begin(), member.exit().metrics_seen().end());
  }
  return names;
}

int64_t LastStep(const records::RunRow& run) {
  int64_t last = 0;
  for (const records::MemberRow& member : run.attempt().members()) {
    last = std::max<int64_t>(last, member.exit().last_step());
  }
  return last;
}

std::string MissingReason(const std::vector<std::string>& missing, const records::RunRow& run) {
  std::set<std::string> seen = NamesSeen(run);
  for (const std::string& name : missing) seen.erase(name);
  return absl::StrCat("METRIC_MISSING: the program never reported ", absl::StrJoin(missing, ", "),
                      seen.empty() ? "; it reported no metric at all"
                                   : absl::StrCat("; it reported ", absl::StrJoin(seen, ", ")));
}

void EmitEnd(TrialKey key, records::TrialEnded ended, Draft* draft) {
  ended.set_study_uid(key.first);
  ended.set_trial(key.second);
  records::Event event;
  *event.mutable_trial_ended() = std::move(ended);
  draft->Emit(std::move(event));
  AdvanceStudy(key.first, draft);
}

void EndInfeasible(TrialKey key, const std::string& reason, Draft* draft) {
  records::TrialEnded ended;
  ended.set_state(v1::INFEASIBLE);
  ended.set_infeasible_reason(reason);
  EmitEnd(key, std::move(ended), draft);
}

void EndByMeasurements(TrialKey key, const records::RunRow& run, bool early, Draft* draft) {
  const StudyPtr study = draft->Study(key.first);
  const TrialPtr trial = draft->Trial(key);
  std::vector<std::string> missing;
  const v1::Measurement last = FinalMeasurement(study->spec(), *trial, &missing);
  if (!missing.empty()) {
    const std::string reason = MissingReason(missing, run);
    return EndInfeasible(
        key,
        early ? absl::StrCat("stopped before it was measured: ", trial->stop_reason()) : reason,
        draft);
  }
  if (const std::string name = NotANumber(last); !name.empty()) {
    return EndInfeasible(key, absl::StrCat(name, " is not a finite number at step ", last.step()),
                         draft);
  }
  records::TrialEnded ended;
  ended.set_state(v1::TRIAL_SUCCEEDED);
  ended.set_stopped_early(early);
  *ended.mutable_final_measurement() = last;
  EmitEnd(key, std::move(ended), draft);
}

bool IsOpenTrial(const Rows& rows, TrialKey key) {
  const TrialPtr trial = rows.Trial(key);
  return trial != nullptr && !IsTerminal(trial->state()) && rows.Study(key.first) != nullptr;
}

std::string Describe(const v1::ExitRecord& exit) {
  if (!exit.message().empty()) return exit.message();
  return absl::StrCat("the program failed: ", v1::ExitCause_Name(exit.cause()));
}

}  // namespace

int64_t SettleUs(const records::RunRow& run, const Rows& rows) {
  const TrialKey key = KeyOf(run, rows);
  const StudyPtr study = rows.Study(key.first);
  const TrialPtr trial = rows.Trial(key);
  if (study == nullptr || trial == nullptr || IsTerminal(trial->state())) return 0;
  const std::set<std::string> seen = NamesSeen(run);
  std::vector<std::string> missing;
  FinalMeasurement(study->spec(), *trial, &missing);
  for (const std::string& name : missing) {
    if (seen.count(name) > 0) return kSettleFirstUs;
  }
  if (!missing.empty() || trial->measurements().empty()) return 0;
  return trial->measurements().rbegin()->step() < LastStep(run) ? kSettleLastUs : 0;
}

void DropTrial(TrialKey key, const std::string& reason, Draft* draft) {
  if (IsOpenTrial(*draft, key)) EndInfeasible(key, reason, draft);
}

void EndTrialOfRun(uint64_t run_uid, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  const TrialKey key = KeyOf(*run, *draft);
  if (!IsOpenTrial(*draft, key)) return;
  const records::AttemptRow& attempt = run->attempt();
  const bool early = attempt.exit().cause() == v1::STOPPED_EARLY;
  if (attempt.state() == records::A_SUCCEEDED || early) {
    EndByMeasurements(key, *run, early, draft);
  } else {
    EndInfeasible(key, Describe(attempt.exit()), draft);
  }
}

void EndTrialWithoutRun(const records::RunRow& run, const v1::ExitRecord& exit, Draft* draft) {
  const TrialKey key = KeyOf(run, *draft);
  if (!IsOpenTrial(*draft, key)) return;
  if (exit.cause() == v1::STOPPED_EARLY) {
    EndByMeasurements(key, run, true, draft);
  } else {
    EndInfeasible(key, Describe(exit), draft);
  }
}

absl::StatusOr<bool> TakeMeasurements(const ReportMeasurements& command, Draft* draft) {
  const absl::Status allowed = CheckAccess(draft->principal(), Action::kReport, "",
                                           absl::StrCat(command.run_uid, "/", command.epoch));
  if (!allowed.ok()) return allowed;
  const RunPtr run = draft->Run(command.run_uid);
  if (run == nullptr || run->attempt().epoch() != command.epoch) return false;
  const TrialKey key = KeyOf(*run, *draft);
  if (!IsOpenTrial(*draft, key)) return false;
  const StudyPtr study = draft->Study(key.first);
  const TrialPtr trial = draft->Trial(key);
  records::Event event;
  records::TrialMeasured* measured = event.mutable_trial_measured();
  for (const v1::Measurement& point : command.measurements) {
    const std::optional<v1::Measurement> kept = OnlyStudyMetrics(study->spec(), point);
    if (kept.has_value() && !HasMeasurement(*trial, *kept)) *measured->add_measurements() = *kept;
  }
  if (measured->measurements().empty()) return false;
  measured->set_study_uid(key.first);
  measured->set_trial(key.second);
  measured->set_epoch(command.epoch);
  if (run->settle_us() == 0) {
    draft->EmitUnread(std::move(event));
    return true;
  }
  draft->Emit(std::move(event));
  if (SettleUs(*run, *draft) == 0) EndTrialOfRun(run->uid(), draft);
  return true;
}

void StopTrial(TrialKey key, const std::string& reason, Draft* draft) {
  const TrialPtr trial = draft->Trial(key);
  const bool paused = trial != nullptr && trial->state() == v1::REQUESTED && trial->run_uid() != 0;
  if (trial == nullptr || (trial->state() != v1::ACTIVE && !paused)) return;
  const RunPtr run = draft->Run(trial->run_uid());
  if (run != nullptr && run->state() == records::R_DONE) return;  // settles soon anyway
  records::Event event;
  event.mutable_trial_stop_requested()->set_study_uid(key.first);
  event.mutable_trial_stop_requested()->set_trial(key.second);
  event.mutable_trial_stop_requested()->set_reason(reason);
  draft->Emit(std::move(event));
  if (run != nullptr) {
    StopRun(run->uid(), wire::STOP_EARLY, v1::STOPPED_EARLY, reason, draft);
  }
}

void HoldTrial(TrialKey key, const std::string& reason, Draft* draft) {
  const TrialPtr trial = draft->Trial(key);
  if (trial == nullptr || trial->state() != v1::ACTIVE || trial->held()) return;
  const RunPtr run = draft->Run(trial->run_uid());
  if (run == nullptr || !run->has_checkpoint()) return StopTrial(key, reason, draft);
  if (run->state() == records::R_DONE) return;  // settles soon anyway
  records::Event event;
  event.mutable_trial_held()->set_study_uid(key.first);
  event.mutable_trial_held()->set_trial(key.second);
  event.mutable_trial_held()->set_reason(reason);
  draft->Emit(std::move(event));
  PauseRun(run->uid(), draft);
  AdvanceStudy(key.first, draft);
}

void ReleaseTrial(TrialKey key, Draft* draft) {
  const TrialPtr trial = draft->Trial(key);
  if (trial == nullptr || !trial->held() || IsTerminal(trial->state())) return;
  records::Event event;
  event.mutable_trial_held()->set_study_uid(key.first);
  event.mutable_trial_held()->set_trial(key.second);
  event.mutable_trial_held()->set_undo(true);
  draft->Emit(std::move(event));
}

}  // namespace trainyard::core
