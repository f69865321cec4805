// See studies.h.
#include "scheduler/api/studies.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "scheduler/api/best.h"
#include "scheduler/api/convert.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::api {
namespace {

constexpr int kSuggestionsMax = 1000;

v1::Study StudyByUid(const Context& context, uint64_t uid) {
  const core::StudyPtr study = context.runtime->view().Study(uid);
  return study == nullptr ? v1::Study() : StudyOf(context.runtime->view(), *study);
}

v1::SuggestTrialsResponse Suggested(const Context& context, const journal::v1::StudyRow& study,
                                    const core::Reply& reply) {
  const runtime::View& view = context.runtime->view();
  v1::SuggestTrialsResponse response;
  for (const int32_t id : reply.trials) {
    if (const core::TrialPtr trial = view.Trial(study.uid(), id); trial != nullptr) {
      *response.add_trials() = TrialOf(view, study, *trial, /*with_measurements=*/false);
    }
  }
  if (const core::StudyPtr now = view.Study(study.uid()); now != nullptr) {
    response.set_study_state(now->state());
  }
  return response;
}

}  // namespace

absl::StatusOr<core::EarlierStudies> FindEarlier(const Context& context,
                                                 const core::Principal& principal,
                                                 absl::string_view project,
                                                 const v1::StudySpec& spec) {
  core::EarlierStudies earlier;
  earlier.revision = context.runtime->view().revision();
  for (const std::string& given : spec.transfer_from()) {
    const bool is_whole = absl::StartsWith(given, "projects/");
    const absl::StatusOr<core::StudyPtr> study = FindStudy(
        context, principal, core::Action::kRead, is_whole ? given : FormatStudy(project, given));
    if (!study.ok()) return study.status();
    earlier.uids.push_back((*study)->uid());
  }
  return earlier;
}

void CreateStudy(const Context& context, const core::Principal& principal,
                 const v1::CreateStudyRequest& request, Done<v1::Study> done) {
  absl::StatusOr<std::string> project = ProjectOf(request.parent());
  if (!project.ok()) return done(project.status());
  absl::Status status =
      core::CheckAccess(principal, core::Action::kSubmit, *project, principal.name);
  if (status.ok() && !request.study_id().empty()) {
    status = CheckId("study_id", request.study_id());
  }
  if (status.ok()) status = tuning::CheckStudySpec(request.spec());
  if (!status.ok()) return done(status);
  absl::StatusOr<core::EarlierStudies> earlier =
      FindEarlier(context, principal, *project, request.spec());
  if (!earlier.ok()) return done(earlier.status());
  context.runtime->Post(MakeCommand(principal, request.request_id(), request,
                                    core::CreateStudy{*project, request.study_id(), request.spec(),
                                                      *std::move(earlier)}),
                        [context, done](const absl::StatusOr<core::Reply>& reply) {
                          if (!reply.ok()) return done(reply.status());
                          done(StudyByUid(context, reply->uid));
                        });
}

void DeleteStudy(const Context& context, const core::Principal& principal,
                 const v1::DeleteStudyRequest& request, Done<google::protobuf::Empty> done) {
  absl::StatusOr<core::StudyPtr> study =
      FindStudy(context, principal, core::Action::kChange, request.name());
  if (!study.ok()) return done(study.status());
  context.runtime->Post(MakeCommand(principal, request.request_id(), request,
                                    core::DeleteStudy{(*study)->project(), (*study)->study_id()}),
                        [done](const absl::StatusOr<core::Reply>& reply) {
                          if (!reply.ok()) return done(reply.status());
                          done(google::protobuf::Empty());
                        });
}

void SuggestTrials(const Context& context, const core::Principal& principal,
                   const v1::SuggestTrialsRequest& request, Done<v1::SuggestTrialsResponse> done) {
  absl::StatusOr<core::StudyPtr> study =
      FindStudy(context, principal, core::Action::kSubmit, request.parent());
  if (!study.ok()) return done(study.status());
  if (request.count() < 0 || request.count() > kSuggestionsMax) {
    return done(MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                          absl::StrCat("count ", request.count(), " is out of range"),
                          absl::StrCat("ask for 1 to ", kSuggestionsMax, " at a time"), "count"));
  }
  core::Command command;
  command.principal = principal;
  command.body =
      core::AskTrials{(*study)->project(), (*study)->study_id(), std::max(1, request.count()),
                      request.client_id().empty() ? principal.name : request.client_id()};
  context.runtime->Post(std::move(command),
                        [context, study = *study, done](const absl::StatusOr<core::Reply>& reply) {
                          if (!reply.ok()) return done(reply.status());
                          done(Suggested(context, *study, *reply));
                        });
}

void AddMeasurement(const Context& context, const core::Principal& principal,
                    const v1::AddMeasurementRequest& request,
                    Done<v1::AddMeasurementResponse> done) {
  absl::StatusOr<FoundTrial> found =
      FindTrial(context, principal, core::Action::kSubmit, request.trial_name());
  if (!found.ok()) return done(found.status());
  context.runtime->Post(
      MakeCommand(principal, request.request_id(), request,
                  core::AddMeasurement{found->study->project(), found->study->study_id(),
                                       found->trial->id(), request.measurement()}),
      [done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        v1::AddMeasurementResponse response;
        response.set_should_stop(reply->should_stop);
        done(std::move(response));
      });
}

void CompleteTrial(const Context& context, const core::Principal& principal,
                   const v1::CompleteTrialRequest& request, Done<v1::Trial> done) {
  absl::StatusOr<FoundTrial> found =
      FindTrial(context, principal, core::Action::kSubmit, request.name());
  if (!found.ok()) return done(found.status());
  core::CompleteTrial body{found->study->project(),     found->study->study_id(),
                           found->trial->id(),          request.has_final_measurement(),
                           request.final_measurement(), request.infeasible(),
                           request.infeasible_reason()};
  context.runtime->Post(MakeCommand(principal, request.request_id(), request, std::move(body)),
                        [context, study = found->study, id = found->trial->id(),
                         done](const absl::StatusOr<core::Reply>& reply) {
                          if (!reply.ok()) return done(reply.status());
                          const runtime::View& view = context.runtime->view();
                          const core::TrialPtr trial = view.Trial(study->uid(), id);
                          if (trial == nullptr) return done(NotFound("trial", absl::StrCat(id)));
                          done(TrialOf(view, *study, *trial, /*with_measurements=*/false));
                        });
}

absl::StatusOr<v1::Study> GetStudy(const Context& context, const core::Principal& principal,
                                   const v1::GetStudyRequest& request) {
  absl::StatusOr<core::StudyPtr> study =
      FindStudy(context, principal, core::Action::kRead, request.name());
  if (!study.ok()) return study.status();
  return StudyOf(context.runtime->view(), **study);
}

absl::StatusOr<v1::ListStudiesResponse> ListStudies(const Context& context,
                                                    const core::Principal& principal,
                                                    const v1::ListStudiesRequest& request) {
  absl::StatusOr<std::string> project = ProjectOf(request.parent());
  if (!project.ok()) return project.status();
  if (*project == "-") project->clear();
  absl::Status status = core::CheckAccess(principal, core::Action::kRead, *project, "");
  if (status.ok()) status = CheckProject(context.runtime->view(), *project);
  if (!status.ok()) return status;
  absl::StatusOr<int> size = PageSize(request.page_size());
  if (!size.ok()) return size.status();
  absl::StatusOr<uint64_t> next = PageStart(request.page_token());
  if (!next.ok()) return next.status();
  const runtime::View& view = context.runtime->view();
  v1::ListStudiesResponse response;
  while (true) {
    const std::vector<core::StudyPtr> rows = view.Studies(*project, *next, *size + 1);
    for (const core::StudyPtr& row : rows) {
      if (response.studies_size() == *size) {
        response.set_next_page_token(absl::StrCat(*next));
        return response;
      }
      *next = row->uid();
      if (!row->deleted()) *response.add_studies() = StudyOf(view, *row);
    }
    if (static_cast<int>(rows.size()) <= *size) return response;
  }
}

absl::StatusOr<v1::ShouldStopResponse> ShouldStop(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ShouldStopRequest& request) {
  absl::StatusOr<FoundTrial> found =
      FindTrial(context, principal, core::Action::kRead, request.trial_name());
  if (!found.ok()) return found.status();
  v1::ShouldStopResponse response;
  const v1::TrialState state = found->trial->state();
  response.set_should_stop(state != v1::ACTIVE && state != v1::REQUESTED);
  response.set_reason(found->trial->stop_reason());
  return response;
}

absl::StatusOr<v1::Trial> GetTrial(const Context& context, const core::Principal& principal,
                                   const v1::GetTrialRequest& request) {
  absl::StatusOr<FoundTrial> found =
      FindTrial(context, principal, core::Action::kRead, request.name());
  if (!found.ok()) return found.status();
  return TrialOf(context.runtime->view(), *found->study, *found->trial,
                 /*with_measurements=*/true);
}

absl::StatusOr<v1::ListTrialsResponse> ListTrials(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ListTrialsRequest& request) {
  absl::StatusOr<core::StudyPtr> study =
      FindStudy(context, principal, core::Action::kRead, request.parent());
  if (!study.ok()) return study.status();
  absl::StatusOr<int> size = PageSize(request.page_size());
  if (!size.ok()) return size.status();
  absl::StatusOr<uint64_t> after = PageStart(request.page_token());
  if (!after.ok()) return after.status();
  if (*after > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) {
    return v1::ListTrialsResponse();
  }
  const runtime::View& view = context.runtime->view();
  v1::ListTrialsResponse response;
  response.set_revision(view.revision());
  const std::vector<int32_t> found = context.best->Best(view, **study, 0);
  const std::set<int32_t> best(found.begin(), found.end());
  const auto rows = view.Trials((*study)->uid(), static_cast<int32_t>(*after), *size + 1);
  for (const core::TrialPtr& row : rows) {
    if (response.trials_size() == *size) {
      response.set_next_page_token(absl::StrCat(response.trials(*size - 1).id()));
      break;
    }
    v1::Trial* trial = response.add_trials();
    *trial = TrialOf(view, **study, *row, request.with_measurements());
    trial->set_is_best(best.contains(row->id()));
  }
  return response;
}

absl::StatusOr<v1::ListBestTrialsResponse> ListBestTrials(
    const Context& context, const core::Principal& principal,
    const v1::ListBestTrialsRequest& request) {
  absl::StatusOr<core::StudyPtr> study =
      FindStudy(context, principal, core::Action::kRead, request.parent());
  if (!study.ok()) return study.status();
  // 0 stays what it is: the best trial, or the whole front.
  absl::StatusOr<int> count = request.count() == 0 ? 0 : PageSize(request.count());
  if (!count.ok()) return count.status();
  const bool is_front = (*study)->spec().metrics_size() > 1;
  const runtime::View& view = context.runtime->view();
  v1::ListBestTrialsResponse response;
  for (const int32_t id : context.best->Best(view, **study, *count)) {
    const core::TrialPtr row = view.Trial((*study)->uid(), id);
    if (row == nullptr) continue;
    v1::Trial* trial = response.add_trials();
    *trial = TrialOf(view, **study, *row, /*with_measurements=*/false);
    trial->set_is_best(is_front || response.trials_size() == 1);
  }
  return response;
}

}  // namespace trainyard::api
