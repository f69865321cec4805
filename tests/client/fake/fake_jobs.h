// JobService of the fake scheduler.
#ifndef TRAINYARD_TESTS_CLIENT_FAKE_FAKE_JOBS_H_
#define TRAINYARD_TESTS_CLIENT_FAKE_FAKE_JOBS_H_

#include "tests/client/fake/fake_state.h"
#include "trainyard/v1/job.grpc.pb.h"

namespace trainyard::client {

class FakeJobs : public v1::JobService::Service {
 public:
  explicit FakeJobs(FakeServer::State* state) : state_(state) {}
  grpc::Status SubmitJob(grpc::ServerContext*, const v1::SubmitJobRequest*, v1::Job*) override;
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::Job*) override;
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*,
                        v1::ListJobsResponse*) override;
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest*, v1::Job*) override;
  grpc::Status UpdateJob(grpc::ServerContext*, const v1::UpdateJobRequest*, v1::Job*) override;
  grpc::Status ExplainJob(grpc::ServerContext*, const v1::ExplainJobRequest*,
                          v1::ExplainJobResponse*) override;
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::WatchJobResponse>*) override;
  grpc::Status TailLogs(grpc::ServerContext*, const v1::TailLogsRequest*,
                        grpc::ServerWriter<v1::TailLogsResponse>*) override;
  grpc::Status ListMetrics(grpc::ServerContext*, const v1::ListMetricsRequest*,
                           v1::ListMetricsResponse*) override;

 private:
  // Moves the job along its script by one state. Holds the lock.
  void Step(v1::Job* job);
  FakeServer::State* state_;
};

}  // namespace trainyard::client

#endif  // TRAINYARD_TESTS_CLIENT_FAKE_FAKE_JOBS_H_
