// See fake_jobs.h.
#include "tests/client/fake/fake_jobs.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/sdk/follow.h"

namespace trainyard::client {

void FakeJobs::Step(v1::Job* job) {
  std::vector<v1::JobState>& script = state_->scripts[job->name()];
  if (script.empty()) return;
  job->set_state(script.front());
  job->set_revision(job->revision() + 1);
  script.erase(script.begin());
}

grpc::Status FakeJobs::SubmitJob(grpc::ServerContext* context, const v1::SubmitJobRequest* request,
                                 v1::Job* job) {
  const std::lock_guard lock(state_->mutex);
  if (grpc::Status status = state_->Enter(context, "SubmitJob"); !status.ok()) return status;
  state_->submits.push_back(*request);
  if (const auto known = state_->by_request.find(request->request_id());
      known != state_->by_request.end()) {
    *job = known->second;
    return state_->Leave();
  }
  const std::string id = request->job_id().empty() ? "job_1" : request->job_id();
  job->set_name(absl::StrCat(request->parent(), "/jobs/", id));
  if (state_->jobs.count(job->name()) > 0) {
    return ToGrpcStatus(MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
                                  absl::StrCat("the name ", id, " is taken"), "choose another"));
  }
  *job->mutable_spec() = request->spec();
  job->set_state(v1::QUEUED);
  job->set_revision(1);
  if (!request->validate_only()) {
    state_->jobs[job->name()] = *job;
    state_->by_request[request->request_id()] = *job;
  }
  return state_->Leave();
}

grpc::Status FakeJobs::GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                              v1::Job* job) {
  const std::lock_guard lock(state_->mutex);
  if (grpc::Status status = state_->Enter(context, "GetJob"); !status.ok()) return status;
  const auto found = state_->jobs.find(request->name());
  if (found == state_->jobs.end()) return FakeServer::State::NotFound(request->name());
  Step(&found->second);
  *job = found->second;
  return state_->Leave();
}

grpc::Status FakeJobs::ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                                v1::ListJobsResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (grpc::Status status = state_->Enter(context, "ListJobs"); !status.ok()) return status;
  // Pages of two, so that every list in a test has several.
  int skip = 0;
  (void)absl::SimpleAtoi(request->page_token(), &skip);
  int at = 0;
  for (const auto& [name, job] : state_->jobs) {
    if (at++ < skip) continue;
    if (response->jobs_size() == 2) {
      response->set_next_page_token(absl::StrCat(skip + 2));
      break;
    }
    *response->add_jobs() = job;
  }
  return state_->Leave();
}

grpc::Status FakeJobs::CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                                 v1::Job* job) {
  const std::lock_guard lock(state_->mutex);
  if (grpc::Status status = state_->Enter(context, "CancelJob"); !status.ok()) return status;
  const auto found = state_->jobs.find(request->name());
  if (found == state_->jobs.end()) return FakeServer::State::NotFound(request->name());
  if (!IsTerminal(found->second.state())) found->second.set_state(v1::CANCELLED);
  *job = found->second;
  return state_->Leave();
}

grpc::Status FakeJobs::UpdateJob(grpc::ServerContext* context, const v1::UpdateJobRequest* request,
                                 v1::Job* job) {
  const std::lock_guard lock(state_->mutex);
  if (grpc::Status status = state_->Enter(context, "UpdateJob"); !status.ok()) return status;
  const auto found = state_->jobs.find(request->name());
  if (found == state_->jobs.end()) return FakeServer::State::NotFound(request->name());
  if (request->etag() != found->second.etag()) {
    return ToGrpcStatus(MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH", "changed", "again"));
  }
  *found->second.mutable_labels() = request->labels();
  *job = found->second;
  return state_->Leave();
}

grpc::Status FakeJobs::ExplainJob(grpc::ServerContext* context,
                                  const v1::ExplainJobRequest* request,
                                  v1::ExplainJobResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (grpc::Status status = state_->Enter(context, "ExplainJob"); !status.ok()) return status;
  if (state_->jobs.count(request->name()) == 0) return FakeServer::State::NotFound(request->name());
  response->set_reason("WAITING_FOR_RESOURCES");
  response->set_message("needs 4 cores on one node, largest free is 1");
  response->set_queue_position(2);
  response->add_blockers("projects/default/jobs/first");
  response->add_counterfactuals("3 more free cores on node local");
  return state_->Leave();
}

grpc::Status FakeJobs::WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                                grpc::ServerWriter<v1::WatchJobResponse>* writer) {
  uint64_t sent = request->after_revision();
  while (true) {
    v1::WatchJobResponse response;
    {
      const std::lock_guard lock(state_->mutex);
      if (grpc::Status status = state_->Enter(context, "WatchJob"); !status.ok()) return status;
      const auto found = state_->jobs.find(request->name());
      if (found == state_->jobs.end()) return FakeServer::State::NotFound(request->name());
      if (found->second.revision() <= sent) Step(&found->second);
      *response.mutable_job() = found->second;
    }
    const bool terminal = IsTerminal(response.job().state());
    if (response.job().revision() > sent || terminal) {
      sent = response.job().revision();
      writer->Write(response);
      if (terminal) return grpc::Status::OK;
      continue;
    }
    // Nothing more will come from the script: a stream that breaks.
    return {grpc::StatusCode::UNAVAILABLE, "the stream broke"};
  }
}

grpc::Status FakeJobs::TailLogs(grpc::ServerContext* context, const v1::TailLogsRequest* request,
                                grpc::ServerWriter<v1::TailLogsResponse>* writer) {
  std::vector<v1::LogLine> lines;
  int break_after = 0;
  int silent = 0;
  {
    const std::lock_guard lock(state_->mutex);
    if (grpc::Status status = state_->Enter(context, "TailLogs"); !status.ok()) return status;
    if (state_->jobs.count(request->name()) == 0) {
      return FakeServer::State::NotFound(request->name());
    }
    lines = state_->logs[request->name()];
    break_after = state_->break_after;
    if (state_->silent_ends > 0) silent = state_->silent_ends--;
  }
  if (request->follow()) writer->Write(v1::TailLogsResponse());
  if (silent % 2 == 1) return {grpc::StatusCode::UNAVAILABLE, "the stream broke"};
  if (silent > 0) return grpc::Status::OK;
  size_t at = 0;
  while (!request->cursor().empty() && at < lines.size() &&
         lines[at++].cursor() != request->cursor()) {
  }
  int written = 0;
  for (; at < lines.size(); ++at) {
    if (break_after > 0 && written == break_after) {
      return {grpc::StatusCode::UNAVAILABLE, "the stream broke"};
    }
    const v1::LogLine& line = lines[at];
    if (request->trial() != 0 && line.trial() != request->trial()) continue;
    if (!request->all_ranks() && line.rank() != request->rank()) continue;
    v1::TailLogsResponse response;
    *response.add_lines() = line;
    writer->Write(response);
    ++written;
  }
  v1::TailLogsResponse end;
  end.set_end(true);
  writer->Write(end);
  return grpc::Status::OK;
}

grpc::Status FakeJobs::ListMetrics(grpc::ServerContext* context,
                                   const v1::ListMetricsRequest* request,
                                   v1::ListMetricsResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (grpc::Status status = state_->Enter(context, "ListMetrics"); !status.ok()) return status;
  for (const v1::MetricPoint& point : state_->metrics) {
    if (request->trial() == 0 || point.trial() == request->trial()) {
      *response->add_points() = point;
    }
  }
  return state_->Leave();
}

}  // namespace trainyard::client
