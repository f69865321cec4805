// A scheduler in memory behind real gRPC on a unix socket in a temporary folder: enough of every
// service for the client's tests, with what it was asked written down and faults on demand.
//
// Invariants: the token is checked on every call; a request id seen before gets the first answer.
// Thread-safe.
#ifndef TRAINYARD_TESTS_CLIENT_FAKE_FAKE_SERVER_H_
#define TRAINYARD_TESTS_CLIENT_FAKE_FAKE_SERVER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/sdk/endpoint.h"
#include "trainyard/v1/artifact.pb.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/node.pb.h"
#include "trainyard/v1/study.pb.h"

namespace trainyard::client {

inline constexpr char kFakeToken[] = "ty_test";

class FakeServer {
 public:
  FakeServer();
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  std::string address() const;  // "unix:/tmp/.../s"
  std::string folder() const;   // temporary; removed at the end
  // HOME, TRAINYARD_ENDPOINT and TRAINYARD_TOKEN of a user of this server.
  Environment environment() const;
  Endpoint endpoint() const;

  // Stops listening; Start() again serves the same state.
  void Stop();
  void Start();

  // The next `count` calls of any method end with UNAVAILABLE that says the server is busy, after
  // the work is done: an answer that was lost.
  void LoseAnswers(int count);

  // State, to be set before and looked at after.
  void PutJob(v1::Job job);
  v1::Job GetJob(const std::string& name);
  void PutLog(const std::string& job, std::vector<v1::LogLine> lines);
  // The stream of logs breaks off (UNAVAILABLE) after every so many lines.
  void BreakLogsAfter(int lines);
  // So many followers see an empty reply and then the end of the stream, by turns well and broken.
  void EndLogsSilently(int calls);
  void PutStudy(v1::Study study, std::vector<v1::Trial> trials);
  void PutNode(v1::Node node);
  void PutMetrics(std::vector<v1::MetricPoint> points);
  void PutOutputs(v1::ListOutputsResponse outputs);
  void SetGrant(v1::Grant grant);
  // State that GetJob and WatchJob show after so many reads of a job, once each in order.
  void ScriptStates(const std::string& job, std::vector<v1::JobState> states);

  std::vector<v1::SubmitJobRequest> submits();
  int calls(const std::string& method);

  struct State;

 private:
  struct Services;
  std::unique_ptr<State> state_;
  std::unique_ptr<Services> services_;
};

}  // namespace trainyard::client

#endif  // TRAINYARD_TESTS_CLIENT_FAKE_FAKE_SERVER_H_
