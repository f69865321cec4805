// The scheduler's API as a test calls it: one synchronous function per verb, absl::Status with the
// faults inside. gRPC stays in the .cc file. Each Api has its own connection; make a new one after
// the scheduler was killed. Thread-safe.
#ifndef TRAINYARD_TESTS_INTEGRATION_CLUSTER_API_H_
#define TRAINYARD_TESTS_INTEGRATION_CLUSTER_API_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "trainyard/v1/admin.pb.h"
#include "trainyard/v1/artifact.pb.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/node.pb.h"
#include "trainyard/v1/study.pb.h"

namespace trainyard::testing {

class Api {
 public:
  // `target` as gRPC writes it; `ca_pem`: the authority to trust, "" for a plain connection.
  Api(const std::string& target, std::string token, const std::string& ca_pem = "");
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  // Names are whole ("projects/default/jobs/j"); request ids may be empty.
  absl::StatusOr<v1::Job> Submit(const v1::JobSpec& spec, const std::string& request_id = "");
  absl::StatusOr<v1::Job> Get(const std::string& name);
  absl::StatusOr<v1::Job> Cancel(const std::string& name, const std::string& request_id = "");
  absl::StatusOr<std::vector<v1::Job>> List();
  // What the job has published.
  absl::StatusOr<std::vector<v1::OutputTree>> Outputs(const std::string& name);
  absl::StatusOr<std::string> Logs(const std::string& name);  // of all ranks, both streams

  absl::StatusOr<v1::Study> CreateStudy(const std::string& id, const v1::StudySpec& spec);
  absl::StatusOr<std::vector<v1::Trial>> Suggest(const std::string& study, int count,
                                                 const std::string& client,
                                                 const std::string& request_id);
  absl::StatusOr<v1::Trial> Complete(const std::string& trial, double value,
                                     const std::string& request_id);
  absl::StatusOr<std::vector<v1::Trial>> Trials(const std::string& study);

  absl::StatusOr<v1::Node> GetNode(const std::string& name);
  absl::StatusOr<v1::Node> Drain(const std::string& name, bool undo);

  absl::StatusOr<v1::ServerInfo> Info();
  absl::StatusOr<v1::Token> CreateToken(const std::string& user, v1::Role role,
                                        const std::string& project,
                                        absl::Duration ttl = absl::ZeroDuration(),
                                        const std::string& request_id = "");
  absl::Status RevokeToken(const std::string& id);
  absl::StatusOr<std::vector<v1::Token>> Tokens();
  absl::StatusOr<v1::JoinToken> CreateJoinToken(const std::string& node_id,
                                                absl::Duration ttl = absl::ZeroDuration());

 private:
  struct Stubs;
  const std::unique_ptr<Stubs> stubs_;
};

}  // namespace trainyard::testing

#endif  // TRAINYARD_TESTS_INTEGRATION_CLUSTER_API_H_
