// See jobs.h.
#include "scheduler/api/jobs.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/mutex.h"
#include "common/names.h"
#include "common/spec/spec.h"
#include "common/variables.h"
#include "scheduler/api/convert.h"
#include "scheduler/api/explain.h"
#include "scheduler/api/filter.h"
#include "scheduler/api/places.h"
#include "scheduler/api/studies.h"
#include "scheduler/core/settings.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::api {
namespace {

constexpr int kJobsScannedMax = 20000;  // by one filtered listing

void Merge(const absl::Status& status, absl::string_view prefix, v1::Faults* faults) {
  if (status.ok()) return;
  const v1::Faults found = FaultsOf(status);
  for (v1::Fault fault : found.faults()) {
    if (!prefix.empty() && !fault.field().empty()) {
      fault.set_field(absl::StrCat(prefix, ".", fault.field()));
    }
    *faults->add_faults() = std::move(fault);
  }
}

// What changes which programs a name means is for administrators.
absl::Status CheckVariables(const core::Principal& principal, const v1::JobSpec& spec) {
  if (principal.role == v1::ADMIN) return absl::OkStatus();
  for (const auto& [name, value] : spec.program().env()) {
    if (UseOfVariable(name) != VariableUse::kAdministrators) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "PERMISSION_DENIED",
                     absl::StrCat("only an administrator's job may set ", name,
                                  ": it changes which programs its nodes start"),
                     absl::StrCat("remove ", name, " from env and name programs by absolute paths"),
                     absl::StrCat("program.env.", name));
  }
  return absl::OkStatus();
}

// Resolves and checks a spec; every fault at once, none twice.
absl::Status ResolveSpec(const Context& context, const core::Principal& principal,
                         absl::string_view project, absl::string_view field, v1::JobSpec* spec) {
  v1::Faults faults;
  const v1::Faults resolved = spec::ResolveJobSpec(context.runtime->view().Tiers(), spec);
  Merge(MakeError(absl::StatusCode::kInvalidArgument, resolved), field, &faults);
  Merge(spec::CheckJobSpec(*spec), field, &faults);
  Merge(CheckVariables(principal, *spec), field, &faults);
  Merge(MakeError(absl::StatusCode::kInvalidArgument, ResolvePlaces(context, project, spec)), field,
        &faults);
  if (spec->has_study_spec()) {
    Merge(tuning::CheckStudySpec(spec->study_spec()), absl::StrCat(field, ".study_spec"), &faults);
  }
  v1::Faults once;
  std::set<std::string> seen;
  for (const v1::Fault& fault : faults.faults()) {
    if (seen.insert(absl::StrCat(fault.reason(), "\n", fault.field())).second) {
      *once.add_faults() = fault;
    }
  }
  return MakeError(absl::StatusCode::kInvalidArgument, once);
}

// How the jobs that the spec waits for ended, where they ended: those that have left the owner's
// memory are known here alone.
std::map<std::string, v1::JobState> EndedLongAgo(const Context& context, const std::string& project,
                                                 const v1::JobSpec& spec) {
  std::map<std::string, v1::JobState> ended;
  const std::string prefix = absl::StrCat(FormatProject(project), "/jobs/");
  for (const v1::Dependency& dependency : spec.scheduling().after()) {
    const std::string id(absl::StripPrefix(dependency.job(), prefix));
    const core::JobPtr job = context.runtime->view().JobByName(project, id);
    if (job != nullptr && IsTerminal(job->state())) ended[id] = job->state();
  }
  return ended;
}

// Who names no time limit gets that of the queue, before the general one is filled in.
void TakeLimitOfQueue(const runtime::View& view, v1::Scheduling* scheduling) {
  if (scheduling->queue().empty() || scheduling->timeout().seconds() > 0) return;
  const core::SettingPtr queue = view.Setting(core::QueueKey(scheduling->queue()));
  if (queue != nullptr && queue->queue().has_timeout()) {
    *scheduling->mutable_timeout() = queue->queue().timeout();
  }
}

// Spec, names and access of one submit, before it is posted.
absl::StatusOr<core::Command> SubmitCommand(const Context& context,
                                            const core::Principal& principal,
                                            const v1::SubmitJobRequest& request,
                                            absl::string_view field) {
  absl::StatusOr<std::string> project = ProjectOf(request.parent());
  if (!project.ok()) return project.status();
  if (absl::Status status =
          core::CheckAccess(principal, core::Action::kSubmit, *project, principal.name);
      !status.ok()) {
    return status;
  }
  if (!request.job_id().empty()) {
    if (absl::Status status = CheckId("job_id", request.job_id()); !status.ok()) return status;
  }
  core::SubmitJob body;
  body.project = *project;
  body.job_id = request.job_id();
  body.spec = request.spec();
  body.validate_only = request.validate_only();
  body.ended = EndedLongAgo(context, *project, request.spec());
  TakeLimitOfQueue(context.runtime->view(), body.spec.mutable_scheduling());
  if (absl::Status status = ResolveSpec(context, principal, *project, field, &body.spec);
      !status.ok())
    return status;
  absl::StatusOr<core::EarlierStudies> earlier =
      FindEarlier(context, principal, *project, body.spec.study_spec());
  if (!earlier.ok()) return earlier.status();
  body.earlier = *std::move(earlier);
  return MakeCommand(principal, request.request_id(), request, std::move(body));
}

v1::Job JobByUid(const Context& context, uint64_t uid, v1::JobView detail) {
  const core::JobPtr job = context.runtime->view().Job(uid);
  return job == nullptr ? v1::Job() : JobOf(context.runtime->view(), *job, detail);
}

// Posts a change of a job that exists and answers with the job as it is then.
void Change(const Context& context, const core::Principal& principal, const std::string& name,
            absl::string_view request_id, const google::protobuf::Message& request,
            const std::function<core::CommandBody(const core::JobPtr&)>& body, Done<v1::Job> done) {
  absl::StatusOr<core::JobPtr> job = FindJob(context, principal, core::Action::kChange, name);
  if (!job.ok()) return done(job.status());
  const uint64_t uid = (*job)->uid();
  context.runtime->Post(MakeCommand(principal, request_id, request, body(*job)),
                        [context, uid, done](const absl::StatusOr<core::Reply>& reply) {
                          if (!reply.ok()) return done(reply.status());
                          done(JobByUid(context, uid, v1::FULL_VIEW));
                        });
}

}  // namespace

void SubmitJob(const Context& context, const core::Principal& principal,
               const v1::SubmitJobRequest& request, Done<v1::Job> done) {
  absl::StatusOr<core::Command> command = SubmitCommand(context, principal, request, "spec");
  if (!command.ok()) return done(command.status());
  context.runtime->Post(*std::move(command), [context, request_only = request.validate_only(),
                                              done](const absl::StatusOr<core::Reply>& reply) {
    if (!reply.ok()) return done(reply.status());
    if (request_only) {
      v1::Job job;
      job.set_name(reply->name);
      return done(job);
    }
    // The caller has the spec; sending it back is most of the answer's cost.
    done(JobByUid(context, reply->uid, v1::BASIC_VIEW));
  });
}

namespace {

// Collects the answers of a batch submit; the last one answers the caller.
struct BatchSubmit {
  Mutex mutex;
  int left ABSL_GUARDED_BY(mutex) = 0;
  int created ABSL_GUARDED_BY(mutex) = 0;
  int first_failed ABSL_GUARDED_BY(mutex) = -1;
  absl::Status error ABSL_GUARDED_BY(mutex);
  v1::SubmitJobsResponse response ABSL_GUARDED_BY(mutex);
};

absl::Status BatchError(const absl::Status& error, int index, int created) {
  v1::Faults faults = FaultsOf(error);
  for (v1::Fault& fault : *faults.mutable_faults()) {
    fault.set_field(absl::StrCat("requests[", index, "].", fault.field()));
  }
  if (created > 0) {
    v1::Fault* note = faults.add_faults();
    note->set_reason("INVALID_ARGUMENT");
    note->set_is_note(true);
    note->set_message(absl::StrCat(created, " other jobs of the batch were created"));
    note->set_fix("send the batch again with the same request ids: none is created twice");
  }
  return MakeError(error.code(), faults);
}

// A run is taken for running until the lease of its lost node ends: until then `why` says it.
void SayUnreachable(const Context& context, const journal::v1::JobRow& job,
                    v1::ExplainJobResponse* answer) {
  const core::RunPtr run = WaitingRun(context.runtime->view(), job);
  if (run == nullptr || run->state() != journal::v1::R_ACTIVE || IsTerminal(job.state())) return;
  for (const journal::v1::MemberRow& member : run->attempt().members()) {
    if (member.released() || context.runtime->AgentLinked(member.node_id())) continue;
    answer->set_reason("NODE_UNREACHABLE");
    absl::StrAppend(answer->mutable_message(), "; node ", member.node_id(),
                    " does not answer: unless it does before its lease ends, the run starts again "
                    "elsewhere");
    return;
  }
}

}  // namespace

void SubmitJobs(const Context& context, const core::Principal& principal,
                const v1::SubmitJobsRequest& request, Done<v1::SubmitJobsResponse> done) {
  if (request.requests_size() > kBatchMax || request.requests_size() == 0) {
    return done(MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                          absl::StrCat(request.requests_size(), " jobs in one batch"),
                          "send 1 to 1000 at a time", "requests"));
  }
  std::vector<core::Command> commands;
  for (int i = 0; i < request.requests_size(); ++i) {
    absl::StatusOr<core::Command> command =
        SubmitCommand(context, principal, request.requests(i), "spec");
    if (!command.ok()) return done(BatchError(command.status(), i, 0));
    commands.push_back(*std::move(command));
  }
  auto batch = std::make_shared<BatchSubmit>();
  {
    MutexLock lock(&batch->mutex);
    batch->left = request.requests_size();
    for (int i = 0; i < request.requests_size(); ++i) batch->response.add_jobs();
  }
  for (int i = 0; i < request.requests_size(); ++i) {
    context.runtime->Post(std::move(commands[i]), [=](const absl::StatusOr<core::Reply>& reply) {
      v1::Job job;
      if (reply.ok()) job = JobByUid(context, reply->uid, v1::BASIC_VIEW);
      MutexLock lock(&batch->mutex);
      if (reply.ok()) {
        ++batch->created;
        *batch->response.mutable_jobs(i) = std::move(job);
      } else if (batch->first_failed < 0) {
        batch->first_failed = i;
        batch->error = reply.status();
      }
      if (--batch->left > 0) return;
      if (batch->first_failed < 0) return done(std::move(batch->response));
      done(BatchError(batch->error, batch->first_failed, batch->created));
    });
  }
}

void PlanJob(const Context& context, const core::Principal& principal,
             const v1::PlanJobRequest& request, Done<v1::ExplainJobResponse> done) {
  v1::SubmitJobRequest submit;
  submit.set_parent(request.parent());
  *submit.mutable_spec() = request.spec();
  absl::StatusOr<core::Command> command = SubmitCommand(context, principal, submit, "spec");
  if (!command.ok()) return done(command.status());
  const auto spec = std::get<core::SubmitJob>(command->body).spec;
  const std::string project = std::get<core::SubmitJob>(command->body).project;
  context.runtime->LookAhead(*std::move(command), [context, project, spec,
                                                   done](absl::StatusOr<runtime::Preview> preview) {
    if (!preview.ok()) return done(preview.status());
    done(ExplainPreview(context.runtime->view(), project, spec, *preview));
  });
}

void CancelJob(const Context& context, const core::Principal& principal,
               const v1::CancelJobRequest& request, Done<v1::Job> done) {
  Change(
      context, principal, request.name(), request.request_id(), request,
      [&](const core::JobPtr& job) {
        return core::CancelJob{job->project(), job->job_id(), request.reason()};
      },
      std::move(done));
}

void UpdateJob(const Context& context, const core::Principal& principal,
               const v1::UpdateJobRequest& request, Done<v1::Job> done) {
  uint64_t etag = 0;
  if (!request.etag().empty() && !absl::SimpleAtoi(request.etag(), &etag)) {
    return done(MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                          absl::StrCat("etag \"", request.etag(), "\" is not one of a job"),
                          "use the etag of the job as it was read, or leave it out", "etag"));
  }
  Change(
      context, principal, request.name(), request.request_id(), request,
      [&](const core::JobPtr& job) {
        core::SetJobLabels body{job->project(), job->job_id(), {}, etag};
        body.labels.insert(request.labels().begin(), request.labels().end());
        return body;
      },
      std::move(done));
}

void PauseJob(const Context& context, const core::Principal& principal,
              const v1::PauseJobRequest& request, Done<v1::Job> done) {
  Change(
      context, principal, request.name(), request.request_id(), request,
      [&](const core::JobPtr& job) {
        return core::PauseJob{job->project(), job->job_id(), /*resume=*/false};
      },
      std::move(done));
}

void ResumeJob(const Context& context, const core::Principal& principal,
               const v1::ResumeJobRequest& request, Done<v1::Job> done) {
  Change(
      context, principal, request.name(), request.request_id(), request,
      [&](const core::JobPtr& job) {
        return core::PauseJob{job->project(), job->job_id(), /*resume=*/true};
      },
      std::move(done));
}

absl::StatusOr<v1::Job> GetJob(const Context& context, const core::Principal& principal,
                               const v1::GetJobRequest& request) {
  absl::StatusOr<core::JobPtr> job =
      FindJob(context, principal, core::Action::kRead, request.name());
  if (!job.ok()) return job.status();
  return JobOf(context.runtime->view(), **job, v1::FULL_VIEW);
}

absl::StatusOr<v1::ListJobsResponse> ListJobs(const Context& context,
                                              const core::Principal& principal,
                                              const v1::ListJobsRequest& request) {
  absl::StatusOr<std::string> project = ProjectOf(request.parent());
  if (!project.ok()) return project.status();
  if (*project == "-") project->clear();  // all projects, for whom that is allowed
  if (absl::Status status = core::CheckAccess(principal, core::Action::kRead, *project, "");
      !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckProject(context.runtime->view(), *project); !status.ok()) {
    return status;
  }
  absl::StatusOr<int> size = PageSize(request.page_size());
  if (!size.ok()) return size.status();
  absl::StatusOr<uint64_t> before = PageStart(request.page_token());
  if (!before.ok()) return before.status();
  absl::StatusOr<JobFilter> filter = JobFilter::Parse(request.filter());
  if (!filter.ok()) return filter.status();
  const runtime::View& view = context.runtime->view();
  const v1::JobView detail = request.view() == v1::FULL_VIEW ? v1::FULL_VIEW : v1::BASIC_VIEW;
  v1::ListJobsResponse response;
  response.set_revision(view.revision());
  uint64_t next = *before;
  for (int scanned = 0; scanned < kJobsScannedMax;) {
    const std::vector<core::JobPtr> rows = view.Jobs(*project, next, *size + 1);
    for (const core::JobPtr& row : rows) {
      if (response.jobs_size() == *size) {
        response.set_next_page_token(absl::StrCat(next));
        return response;
      }
      next = row->uid();
      ++scanned;
      v1::Job job = JobOf(view, *row, detail);
      if (filter->Matches(job, job.spec().display_name())) {
        *response.add_jobs() = std::move(job);
      }
    }
    if (static_cast<int>(rows.size()) <= *size) return response;
  }
  // A filter that matches little: the caller goes on from here.
  response.set_next_page_token(absl::StrCat(next));
  return response;
}

void ExplainJob(const Context& context, const core::Principal& principal,
                const v1::ExplainJobRequest& request, Done<v1::ExplainJobResponse> done) {
  absl::StatusOr<core::JobPtr> job =
      FindJob(context, principal, core::Action::kRead, request.name());
  if (!job.ok()) return done(job.status());
  const runtime::View& view = context.runtime->view();
  v1::ExplainJobResponse answer = ExplainRow(view, **job);
  SayUnreachable(context, **job, &answer);
  // Whoever has a place in the queue and whom no running run makes way for already.
  const bool held = answer.reason() == "HELD";
  const core::RunPtr run = held || answer.queue_position() > 0 ? WaitingRun(view, **job) : nullptr;
  if (run == nullptr || answer.reason() == "WAITING_FOR_PREEMPTION") {
    return done(std::move(answer));
  }
  context.runtime->WhatIf(run->uid(), [answer, held, done](const auto& changes) {
    v1::ExplainJobResponse whole = answer;
    if (held && !changes.empty()) whole.clear_counterfactuals();  // it would not wait
    AddWhatIfs(changes, &whole);
    done(std::move(whole));
  });
}

absl::StatusOr<v1::ListMetricsResponse> ListMetrics(const Context& context,
                                                    const core::Principal& principal,
                                                    const v1::ListMetricsRequest& request) {
  absl::StatusOr<core::JobPtr> job =
      FindJob(context, principal, core::Action::kRead, request.name());
  if (!job.ok()) return job.status();
  return context.store->metrics().List((*job)->uid(), request);
}

}  // namespace trainyard::api
