// See queue_machine.h.
#include "scheduler/core/queue_machine.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/errors.h"
#include "common/names.h"
#include "scheduler/core/core.h"
#include "scheduler/core/deadline.h"
#include "scheduler/core/job_machine.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/study_machine.h"

namespace trainyard::core {
namespace {

constexpr int64_t kWaitMaxUs = 3650 * kDayUs;
constexpr int kToldMax = 256;  // dependents, in one command

absl::Status OutOfRange(absl::string_view field, absl::string_view message, absl::string_view fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE", message, fix, field);
}

absl::Status CheckWish(const SetQueueing& command, const records::JobRow& job, const Draft& draft) {
  const records::Queueing& wish = command.queueing;
  if (wish.has_priority() && (wish.priority() < 0 || wish.priority() > kPriorityMax)) {
    return OutOfRange("priority", absl::StrCat(wish.priority(), " is outside 0 to ", kPriorityMax),
                      absl::StrCat("choose at most ", kPriorityMax));
  }
  if (wish.max_wait_us() < 0 || wish.max_wait_us() > kWaitMaxUs) {
    return OutOfRange("max_wait", "a wait is from 0 (for ever) to ten years", "give another one");
  }
  if (wish.has_timeout_us() && (wish.timeout_us() <= 0 || wish.timeout_us() > kWaitMaxUs)) {
    return OutOfRange("timeout", "a time limit is positive and at most ten years",
                      "give another one");
  }
  if (IsTerminal(job.state()) || job.cancel_requested()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     absl::StrCat("the job is ", v1::JobState_Name(job.state())),
                     "submit it again instead");
  }
  const RunPtr run = draft.Run(job.run_uid());
  const bool runs = run != nullptr && run->state() == records::R_ACTIVE;
  if (wish.has_timeout_us() && runs) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     "the job runs, and its node holds it to the limit that it started with",
                     "pause it, change the limit, and resume it: it goes on from its checkpoint");
  }
  if (wish.has_hold() && wish.hold() && runs) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     "the job runs already; holding keeps a job from starting",
                     "pause it: it stops with a checkpoint and keeps it");
  }
  return absl::OkStatus();
}

// What was changed before, with the wish on top.
records::Queueing Merged(const records::JobRow& job, const records::Queueing& wish) {
  records::Queueing merged = job.queue().queueing();
  merged.MergeFrom(wish);
  return merged;
}

bool Meets(bool on_end, v1::JobState state) { return on_end || state == v1::SUCCEEDED; }

std::string WhyBroken(absl::string_view name, v1::JobState state) {
  return absl::StrCat("job ", name, ", whose success it waits for, ended as ",
                      v1::JobState_Name(state));
}

// "projects/p/jobs/j" and "j" both name a job of the project.
absl::StatusOr<std::string> IdIn(const std::string& project, const std::string& name) {
  const std::string prefix = absl::StrCat(FormatProject(project), "/jobs/");
  const std::string id(absl::StripPrefix(name, prefix));
  if (CheckId("job", id).ok()) return id;
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_NAME",
                   absl::StrCat("\"", name, "\" names no job of project ", project),
                   "write the id of a job of the same project", "spec.scheduling.after");
}

absl::Status NoSuchJob(const std::string& id, const std::string& project) {
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("there is no job ", id, " in project ", project,
                                " that this one could wait for"),
                   "submit that one first; trainyard jobs list shows the names",
                   "spec.scheduling.after");
}

absl::Status NeverStarts(const std::string& id, v1::JobState state) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "DEPENDENCY_FAILED",
                   absl::StrCat(WhyBroken(id, state), ", so this one could never start"),
                   "submit that job again under another name, or wait for its end instead "
                   "(on: END)",
                   "spec.scheduling.after");
}

// The longest time limit of the job's queue.
absl::Status CheckLongest(const Draft& draft, const v1::Scheduling& scheduling) {
  const SettingPtr row = draft.Setting(QueueKey(scheduling.queue()));
  if (scheduling.queue().empty() || row == nullptr) return absl::OkStatus();
  const int64_t most = MicrosOf(row->queue().timeout_max());
  if (most == 0 || TimeoutUs(scheduling) <= most) return absl::OkStatus();
  return OutOfRange(
      "spec.scheduling.timeout",
      absl::StrCat("queue ", scheduling.queue(), " takes jobs of at most ",
                   absl::FormatDuration(absl::Microseconds(most)), ", this one may run ",
                   absl::FormatDuration(absl::Microseconds(TimeoutUs(scheduling)))),
      "set a shorter timeout");
}

}  // namespace

absl::StatusOr<Reply> ChangeQueueing(const SetQueueing& command, Draft* draft) {
  const absl::StatusOr<JobPtr> job = FindToChange(command.project, command.job_id, *draft);
  if (!job.ok()) return job.status();
  if (command.etag != 0 && command.etag != (*job)->revision()) {
    return MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                     "the job changed since it was read", "read it again and repeat the change",
                     "etag");
  }
  if (absl::Status status = CheckWish(command, **job, *draft); !status.ok()) return status;
  const records::Queueing merged = Merged(**job, command.queueing);
  if (command.queueing.has_queue() || command.queueing.has_timeout_us()) {
    v1::JobSpec spec = *draft->Spec((*job)->uid());
    if (merged.has_queue()) spec.mutable_scheduling()->set_queue(merged.queue());
    if (merged.timeout_us() > 0) {
      spec.mutable_scheduling()->mutable_timeout()->set_seconds(merged.timeout_us() / kSecondUs);
    }
    absl::Status status = command.queueing.has_queue() ? CheckQueue(command.project, *draft, &spec)
                                                       : CheckLongest(*draft, spec.scheduling());
    if (!status.ok()) return status;
  }
  Reply reply;
  reply.uid = (*job)->uid();
  reply.name = FormatJob((*job)->project(), (*job)->job_id());
  if (merged.SerializeAsString() == (*job)->queue().queueing().SerializeAsString()) return reply;
  records::Event event;
  event.mutable_job_queueing_set()->set_job_uid((*job)->uid());
  *event.mutable_job_queueing_set()->mutable_queueing() = merged;
  draft->Emit(std::move(event));
  // What a hold kept back starts with its release.
  if ((*job)->study_uid() != 0) AdvanceStudy((*job)->study_uid(), draft);
  return reply;
}

absl::StatusOr<std::vector<records::WaitsFor>> FindDependencies(const SubmitJob& command,
                                                                const Draft& draft) {
  std::vector<records::WaitsFor> found;
  const auto& after = command.spec.scheduling().after();
  if (after.size() > kDependenciesMax) {
    return OutOfRange("spec.scheduling.after", absl::StrCat(after.size(), " jobs to wait for"),
                      absl::StrCat("name at most ", kDependenciesMax));
  }
  std::set<std::pair<std::string, bool>> seen;
  for (const v1::Dependency& dependency : after) {
    const absl::StatusOr<std::string> id = IdIn(command.project, dependency.job());
    if (!id.ok()) return id.status();
    const bool on_end = dependency.on() == v1::Dependency::END;
    if (!seen.insert({*id, on_end}).second) continue;
    const State& state = draft.state();
    const auto live = state.job_by_name.find(NameKey(command.project, *id));
    v1::JobState ended = v1::JOB_STATE_UNSPECIFIED;
    if (live != state.job_by_name.end()) {
      const JobPtr job = draft.Job(live->second);
      if (!IsTerminal(job->state())) {
        records::WaitsFor wait;
        wait.set_job_uid(job->uid());
        wait.set_name(*id);
        wait.set_on_end(on_end);
        found.push_back(std::move(wait));
        continue;
      }
      ended = job->state();
    } else {
      // It left memory long ago: how it ended was read from its row.
      const auto known = command.ended.find(*id);
      if (known == command.ended.end()) return NoSuchJob(*id, command.project);
      ended = known->second;
    }
    if (!Meets(on_end, ended)) return NeverStarts(*id, ended);
  }
  return found;
}

void TellDependents(const records::JobRow& ended, v1::JobState state, Draft* draft) {
  const auto dependents = draft->state().dependents.find(ended.uid());
  if (dependents == draft->state().dependents.end()) return;
  for (const uint64_t uid : dependents->second) {
    if (draft->dependents_told >= kToldMax) return;
    const JobPtr job = draft->Job(uid);
    if (job == nullptr || IsTerminal(job->state())) continue;
    std::string broken;
    bool waits = false;
    for (const records::WaitsFor& wait : job->queue().waits_for()) {
      if (wait.job_uid() != ended.uid()) continue;
      waits = true;
      if (!Meets(wait.on_end(), state)) broken = WhyBroken(wait.name(), state);
    }
    if (!waits) continue;
    records::Event event;
    event.mutable_dependency_ended()->set_job_uid(uid);
    event.mutable_dependency_ended()->set_ended_uid(ended.uid());
    event.mutable_dependency_ended()->set_broken(broken);
    draft->Emit(std::move(event));
    ++draft->dependents_told;
  }
}

void TellUntold(Draft* draft) {
  for (const uint64_t uid : draft->state().untold_jobs) {
    if (draft->dependents_told >= kToldMax) return;
    const JobPtr job = draft->Job(uid);
    if (job != nullptr) TellDependents(*job, job->state(), draft);
  }
}

void CancelBroken(int most, Draft* draft) {
  std::vector<uint64_t> broken;
  for (const uint64_t uid : draft->state().broken_jobs) {
    if (static_cast<int>(broken.size()) >= most) break;
    broken.push_back(uid);
  }
  for (const uint64_t uid : broken) {
    if (const JobPtr job = draft->Job(uid); job != nullptr) {
      CancelForGood(*job, job->queue().broken(), draft);
    }
  }
}

absl::Status CheckQueue(const std::string& project, const Draft& draft, v1::JobSpec* spec) {
  if (spec->scheduling().queue().empty()) return absl::OkStatus();
  v1::Scheduling* const scheduling = spec->mutable_scheduling();
  const SettingPtr row = draft.Setting(QueueKey(scheduling->queue()));
  constexpr absl::string_view kField = "spec.scheduling.queue";
  if (row == nullptr) {
    const std::string near = NearestName(scheduling->queue(), QueueNames(draft.state()));
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no queue ", scheduling->queue()),
                     near.empty() ? "trainyard queues list shows them"
                                  : absl::StrCat("did you mean ", near, "?"),
                     kField);
  }
  const v1::Queue& queue = row->queue();
  const auto& projects = queue.projects();
  if (!projects.empty() && std::find(projects.begin(), projects.end(), project) == projects.end()) {
    return MakeError(
        absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
        absl::StrCat("queue ", scheduling->queue(), " takes no jobs of project ", project),
        "choose another queue, or ask an administrator", kField);
  }
  if (queue.closed()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "QUEUE_CLOSED",
                     absl::StrCat("queue ", scheduling->queue(), " takes no new jobs",
                                  queue.reason().empty() ? "" : ": ", queue.reason()),
                     "choose another queue, or submit later", kField);
  }
  if (MicrosOf(scheduling->timeout()) == 0 && queue.has_timeout()) {
    *scheduling->mutable_timeout() = queue.timeout();
  }
  return CheckLongest(draft, *scheduling);
}

}  // namespace trainyard::core
