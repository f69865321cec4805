// See fake_server.h.
#include "tests/client/fake/fake_server.h"

#include <grpcpp/server_builder.h>
#include <stdlib.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/client/fake/fake_jobs.h"
#include "tests/client/fake/fake_studies.h"

namespace trainyard::client {
namespace {

std::string MakeTemporaryFolder() {
  std::string path = "/tmp/trainyard-fake-XXXXXX";
  return mkdtemp(path.data()) == nullptr ? std::string() : path;
}

}  // namespace

struct FakeServer::Services {
  explicit Services(State* state)
      : jobs(state),
        studies(state),
        insights(state),
        nodes(state),
        artifacts(state),
        admin(state) {}
  FakeJobs jobs;
  FakeStudies studies;
  FakeInsights insights;
  FakeNodes nodes;
  FakeArtifacts artifacts;
  FakeAdmin admin;
  std::string folder = MakeTemporaryFolder();
  std::unique_ptr<grpc::Server> server;
};

FakeServer::FakeServer()
    : state_(std::make_unique<State>()), services_(std::make_unique<Services>(state_.get())) {
  Start();
}

FakeServer::~FakeServer() {
  Stop();
  (void)RemoveTree(services_->folder);
}

void FakeServer::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
  builder.RegisterService(&services_->jobs);
  builder.RegisterService(&services_->studies);
  builder.RegisterService(&services_->insights);
  builder.RegisterService(&services_->nodes);
  builder.RegisterService(&services_->artifacts);
  builder.RegisterService(&services_->admin);
  services_->server = builder.BuildAndStart();
}

void FakeServer::Stop() {
  if (services_->server == nullptr) return;
  services_->server->Shutdown();
  services_->server->Wait();
  services_->server.reset();
}

std::string FakeServer::folder() const { return services_->folder; }
std::string FakeServer::address() const { return absl::StrCat("unix:", services_->folder, "/s"); }

Environment FakeServer::environment() const {
  const std::map<std::string, std::string> values = {{"HOME", folder()},
                                                     {"PATH", "/usr/bin:/bin"},
                                                     {"TRAINYARD_ENDPOINT", address()},
                                                     {"TRAINYARD_TOKEN", kFakeToken}};
  return [values](const char* name) {
    const auto found = values.find(name);
    return found == values.end() ? std::string() : found->second;
  };
}

Endpoint FakeServer::endpoint() const {
  Endpoint endpoint;
  endpoint.address = address();
  endpoint.address_source = "the test";
  endpoint.token = kFakeToken;
  return endpoint;
}

void FakeServer::LoseAnswers(int count) {
  const std::lock_guard lock(state_->mutex);
  state_->lose = count;
}

void FakeServer::PutJob(v1::Job job) {
  const std::lock_guard lock(state_->mutex);
  if (job.revision() == 0) job.set_revision(1);
  state_->jobs[job.name()] = std::move(job);
}

v1::Job FakeServer::GetJob(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  return state_->jobs[name];
}

void FakeServer::PutLog(const std::string& job, std::vector<v1::LogLine> lines) {
  const std::lock_guard lock(state_->mutex);
  state_->logs[job] = std::move(lines);
}

void FakeServer::EndLogsSilently(int calls) {
  const std::lock_guard lock(state_->mutex);
  state_->silent_ends = calls;
}

void FakeServer::BreakLogsAfter(int lines) {
  const std::lock_guard lock(state_->mutex);
  state_->break_after = lines;
}

void FakeServer::PutStudy(v1::Study study, std::vector<v1::Trial> trials) {
  const std::lock_guard lock(state_->mutex);
  state_->trials[study.name()] = std::move(trials);
  state_->studies[study.name()] = std::move(study);
}

void FakeServer::PutNode(v1::Node node) {
  const std::lock_guard lock(state_->mutex);
  state_->nodes[node.name()] = std::move(node);
}

void FakeServer::PutMetrics(std::vector<v1::MetricPoint> points) {
  const std::lock_guard lock(state_->mutex);
  state_->metrics = std::move(points);
}

void FakeServer::PutOutputs(v1::ListOutputsResponse outputs) {
  const std::lock_guard lock(state_->mutex);
  state_->outputs = std::move(outputs);
}

void FakeServer::SetGrant(v1::Grant grant) {
  const std::lock_guard lock(state_->mutex);
  state_->grant = std::move(grant);
}

void FakeServer::ScriptStates(const std::string& job, std::vector<v1::JobState> states) {
  const std::lock_guard lock(state_->mutex);
  state_->scripts[job] = std::move(states);
}

std::vector<v1::SubmitJobRequest> FakeServer::submits() {
  const std::lock_guard lock(state_->mutex);
  return state_->submits;
}

int FakeServer::calls(const std::string& method) {
  const std::lock_guard lock(state_->mutex);
  return state_->calls[method];
}

}  // namespace trainyard::client
