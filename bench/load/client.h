// What the load programs share: a connection to the embedded cluster in a state folder, small
// specs, statistics.
#ifndef TRAINYARD_BENCH_LOAD_CLIENT_H_
#define TRAINYARD_BENCH_LOAD_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "trainyard/v1/job.grpc.pb.h"

namespace trainyard::bench {

class Cluster {
 public:
  // Reads endpoint.json and token of `state`; ends the process with a message when there is no
  // cluster.
  explicit Cluster(const std::string& state);
  v1::JobService::Stub& jobs() { return *jobs_; }
  // A connection of its own.
  std::shared_ptr<grpc::Channel> NewChannel() const;
  // A context with the token.
  std::unique_ptr<grpc::ClientContext> Context() const;
  // Waits for the end of a job; its last state.
  v1::JobState WaitForEnd(const std::string& name);

 private:
  std::string token_;
  std::string address_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
};

// One rank (or `ranks` through mpirun) of a program on the nodes.
v1::SubmitJobRequest Request(const std::vector<std::string>& command, int ranks);
// Milliseconds of the wall clock, with fraction.
double NowMs();
// Ends the process with the status' message unless it is OK.
void Must(const grpc::Status& status, const char* what);

}  // namespace trainyard::bench

#endif  // TRAINYARD_BENCH_LOAD_CLIENT_H_
