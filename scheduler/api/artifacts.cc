// See artifacts.h.
#include "scheduler/api/artifacts.h"

#include "common/errors.h"
#include "common/grant.h"
#include "scheduler/api/best.h"
#include "scheduler/api/convert.h"
#include "scheduler/api/identity.h"

namespace trainyard::api {
namespace {

constexpr absl::Duration kGrantLife = absl::Hours(1);

absl::StatusOr<v1::Grant> MakeGrant(const Context& context, const core::Principal& principal,
                                    absl::string_view parent, core::Action action,
                                    absl::string_view kind) {
  absl::StatusOr<std::string> project = ProjectOf(parent);
  if (!project.ok()) return project.status();
  absl::Status status = core::CheckAccess(principal, action, *project, principal.name);
  if (!status.ok()) return status;
  Grant grant;
  grant.kind = std::string(kind);
  grant.project = *project;
  grant.principal = principal.name;
  grant.expire = context.clock->Now() + kGrantLife;
  v1::Grant out;
  out.set_http_address(context.http_address);
  out.set_token(SignGrant(grant, context.secret));
  SetTime(absl::ToUnixMicros(grant.expire), out.mutable_expire_time());
  return out;
}

void AddOutputs(const journal::v1::RunRow& run, v1::ListOutputsResponse* response) {
  bool has_checkpoint = false;
  for (const v1::OutputTree& output : run.attempt().outputs()) {
    v1::OutputTree* out = response->add_outputs();
    *out = output;
    out->set_trial(run.trial());
    if (out->epoch() == 0) out->set_epoch(run.attempt().epoch());
    has_checkpoint = has_checkpoint || output.kind() == "checkpoint";
  }
  if (has_checkpoint || !run.has_checkpoint()) return;
  for (int member = 0; member < run.checkpoint().trees_size(); ++member) {
    v1::OutputTree* out = response->add_outputs();
    out->set_kind("checkpoint");
    out->set_digest(run.checkpoint().trees(member));
    out->set_epoch(run.checkpoint().epoch());
    out->set_step(run.checkpoint().step());
    out->set_member(member);
    out->set_trial(run.trial());
  }
}

}  // namespace

absl::StatusOr<v1::Grant> GetUploadGrant(const Context& context, const core::Principal& principal,
                                         const v1::GetUploadGrantRequest& request) {
  return MakeGrant(context, principal, request.parent(), core::Action::kSubmit, "upload");
}

absl::StatusOr<v1::Grant> GetDownloadGrant(const Context& context, const core::Principal& principal,
                                           const v1::GetDownloadGrantRequest& request) {
  return MakeGrant(context, principal, request.parent(), core::Action::kRead, "download");
}

absl::StatusOr<v1::ListOutputsResponse> ListOutputs(const Context& context,
                                                    const core::Principal& principal,
                                                    const v1::ListOutputsRequest& request) {
  absl::StatusOr<core::JobPtr> job =
      FindJob(context, principal, core::Action::kRead, request.name());
  if (!job.ok()) return job.status();
  const runtime::View& view = context.runtime->view();
  v1::ListOutputsResponse response;
  if ((*job)->study_uid() == 0) {
    if (const core::RunPtr run = view.Run((*job)->run_uid()); run != nullptr) {
      AddOutputs(*run, &response);
    }
    return response;
  }
  int32_t trial_id = request.trial();
  const core::StudyPtr study = view.Study((*job)->study_uid());
  if (request.best() && study != nullptr) {
    const std::vector<int32_t> best = context.best->Best(view, *study, 1);
    if (best.empty()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                       "no trial has succeeded yet, so none is the best",
                       "wait for the first trial to succeed, or name one with --trial");
    }
    trial_id = best.front();
  }
  const core::TrialPtr trial = view.Trial((*job)->study_uid(), trial_id);
  if (trial == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     "a tuning job has outputs by trial, and there is no such trial",
                     "ask for the best trial or give a trial number; see: trainyard trials",
                     "trial");
  }
  response.set_trial(trial_id);
  if (const core::RunPtr run = view.Run(trial->run_uid()); run != nullptr) {
    AddOutputs(*run, &response);
  }
  return response;
}

absl::StatusOr<v1::ListObjectsResponse> ListObjects(const Context& context,
                                                    const core::Principal& principal,
                                                    const v1::ListObjectsRequest& request) {
  // A bucket is its project's; what an administrator wrote into first is everybody's.
  absl::Status status = core::CheckAccess(principal, core::Action::kRead, principal.project, "");
  if (status.ok()) {
    status = context.store->objects().CheckBucket(request.bucket(), principal.project, false);
  }
  if (!status.ok()) return status;
  return context.store->objects().List(request);
}

absl::StatusOr<store::HttpServer::Access> AuthorizeStore(const Context& context,
                                                         absl::string_view bearer_token) {
  absl::StatusOr<Identity> identity = Identify(context, bearer_token);
  if (!identity.ok()) return identity.status();
  store::HttpServer::Access access;
  access.project = identity->principal.project;
  const bool is_grant = !identity->grant_kind.empty();
  if (identity->is_join) {
    return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                     "a join token opens nothing but joining", "use a user's token");
  }
  if (is_grant && access.project.empty()) return access;  // a grant is of one project: not ours
  if (is_grant) {
    access.read = true;
    access.write = identity->grant_kind == "upload" || identity->grant_kind == "attempt";
    return access;
  }
  switch (identity->principal.role) {
    case v1::VIEWER:
      access.read = true;
      return access;
    case v1::SUBMITTER:
    case v1::PROJECT_ADMIN:
    case v1::ADMIN:
      access.read = access.write = true;
      return access;
    // An agent moves bytes for the attempts that it holds, each by its own token; it has no
    // business with those of others. ATTEMPT comes with a grant.
    default:
      return access;
  }
}

}  // namespace trainyard::api
