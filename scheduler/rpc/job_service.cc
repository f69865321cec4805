// Verbs of jobs over gRPC. See services.h.
#include <utility>

#include "scheduler/api/jobs.h"
#include "scheduler/rpc/job_streams.h"
#include "scheduler/rpc/services.h"
#include "scheduler/rpc/unary.h"
#include "trainyard/v1/job.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class JobService : public v1::JobService::CallbackService {
 public:
  explicit JobService(const api::Context* context) : context_(context) {}

  grpc::ServerUnaryReactor* SubmitJob(grpc::CallbackServerContext* call,
                                      const v1::SubmitJobRequest* request,
                                      v1::Job* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::SubmitJob(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* SubmitJobs(grpc::CallbackServerContext* call,
                                       const v1::SubmitJobsRequest* request,
                                       v1::SubmitJobsResponse* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::SubmitJobs(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* call,
                                   const v1::GetJobRequest* request, v1::Job* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetJob(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* call,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListJobs(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* call,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::CancelJob(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* UpdateJob(grpc::CallbackServerContext* call,
                                      const v1::UpdateJobRequest* request,
                                      v1::Job* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::UpdateJob(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* PauseJob(grpc::CallbackServerContext* call,
                                     const v1::PauseJobRequest* request,
                                     v1::Job* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::PauseJob(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* ResumeJob(grpc::CallbackServerContext* call,
                                      const v1::ResumeJobRequest* request,
                                      v1::Job* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::ResumeJob(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* ExplainJob(grpc::CallbackServerContext* call,
                                       const v1::ExplainJobRequest* request,
                                       v1::ExplainJobResponse* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::ExplainJob(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* ListMetrics(grpc::CallbackServerContext* call,
                                        const v1::ListMetricsRequest* request,
                                        v1::ListMetricsResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListMetrics(*context_, principal, *request);
    });
  }
  grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchJob(
      grpc::CallbackServerContext* call, const v1::WatchJobRequest* request) override {
    return StartWatch(*context_, call, *request);
  }
  grpc::ServerWriteReactor<v1::TailLogsResponse>* TailLogs(
      grpc::CallbackServerContext* call, const v1::TailLogsRequest* request) override {
    return StartTail(*context_, call, *request);
  }

 private:
  const api::Context* const context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeJobService(const api::Context* context) {
  return std::make_unique<JobService>(context);
}

}  // namespace trainyard::rpc
