// See api.h.
#include "tests/integration/cluster/api.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/grpc_status.h"
#include "trainyard/v1/admin.grpc.pb.h"
#include "trainyard/v1/artifact.grpc.pb.h"
#include "trainyard/v1/job.grpc.pb.h"
#include "trainyard/v1/node.grpc.pb.h"
#include "trainyard/v1/study.grpc.pb.h"

namespace trainyard::testing {
namespace {

constexpr char kParent[] = "projects/default";
constexpr int kPageSize = 1000;

std::shared_ptr<grpc::Channel> Connect(const std::string& target, const std::string& ca_pem) {
  grpc::ChannelArguments arguments;
  // No connection is shared with one to a server that was killed.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  if (ca_pem.empty()) {
    return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  }
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ca_pem;
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(options), arguments);
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::ToInt64Seconds(duration));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration % absl::Seconds(1))));
  return proto;
}

}  // namespace

struct Api::Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel, std::string secret)
      : token(std::move(secret)),
        jobs(v1::JobService::NewStub(channel)),
        studies(v1::StudyService::NewStub(channel)),
        nodes(v1::NodeService::NewStub(channel)),
        admin(v1::AdminService::NewStub(channel)),
        artifacts(v1::ArtifactService::NewStub(channel)) {}

  void Prepare(grpc::ClientContext* context) const {
    if (!token.empty()) context->AddMetadata("authorization", absl::StrCat("Bearer ", token));
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }
  // Calls `method` of `service` and gives its answer.
  template <typename Answer, typename Service, typename Request>
  absl::StatusOr<Answer> Call(Service* service,
                              grpc::Status (Service::*method)(grpc::ClientContext*, const Request&,
                                                              Answer*),
                              const Request& request) const {
    grpc::ClientContext context;
    Prepare(&context);
    Answer answer;
    const grpc::Status status = (service->*method)(&context, request, &answer);
    if (!status.ok()) return FromGrpcStatus(status);
    return answer;
  }

  const std::string token;
  const std::unique_ptr<v1::JobService::StubInterface> jobs;
  const std::unique_ptr<v1::StudyService::StubInterface> studies;
  const std::unique_ptr<v1::NodeService::StubInterface> nodes;
  const std::unique_ptr<v1::AdminService::StubInterface> admin;
  const std::unique_ptr<v1::ArtifactService::StubInterface> artifacts;
};

using Jobs = v1::JobService::StubInterface;
using Studies = v1::StudyService::StubInterface;
using Nodes = v1::NodeService::StubInterface;
using Admin = v1::AdminService::StubInterface;
using Artifacts = v1::ArtifactService::StubInterface;

Api::Api(const std::string& target, std::string token, const std::string& ca_pem)
    : stubs_(std::make_unique<Stubs>(Connect(target, ca_pem), std::move(token))) {}
Api::~Api() = default;

absl::StatusOr<v1::Job> Api::Submit(const v1::JobSpec& spec, const std::string& request_id) {
  v1::SubmitJobRequest request;
  request.set_parent(kParent);
  request.set_request_id(request_id);
  *request.mutable_spec() = spec;
  return stubs_->Call(stubs_->jobs.get(), &Jobs::SubmitJob, request);
}

absl::StatusOr<v1::Job> Api::Get(const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  return stubs_->Call(stubs_->jobs.get(), &Jobs::GetJob, request);
}

absl::StatusOr<v1::Job> Api::Cancel(const std::string& name, const std::string& request_id) {
  v1::CancelJobRequest request;
  request.set_name(name);
  request.set_request_id(request_id);
  return stubs_->Call(stubs_->jobs.get(), &Jobs::CancelJob, request);
}

absl::StatusOr<std::vector<v1::Job>> Api::List() {
  std::vector<v1::Job> all;
  v1::ListJobsRequest request;
  request.set_parent(kParent);
  request.set_page_size(kPageSize);
  request.set_view(v1::FULL_VIEW);
  do {
    auto page = stubs_->Call(stubs_->jobs.get(), &Jobs::ListJobs, request);
    if (!page.ok()) return page.status();
    for (v1::Job& job : *page->mutable_jobs()) all.push_back(std::move(job));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<std::vector<v1::OutputTree>> Api::Outputs(const std::string& name) {
  v1::ListOutputsRequest request;
  request.set_name(name);
  const auto answer = stubs_->Call(stubs_->artifacts.get(), &Artifacts::ListOutputs, request);
  if (!answer.ok()) return answer.status();
  return std::vector<v1::OutputTree>(answer->outputs().begin(), answer->outputs().end());
}

absl::StatusOr<std::string> Api::Logs(const std::string& name) {
  grpc::ClientContext context;
  stubs_->Prepare(&context);
  v1::TailLogsRequest request;
  request.set_name(name);
  request.set_all_ranks(true);
  auto reader = stubs_->jobs->TailLogs(&context, request);
  std::string text;
  for (v1::TailLogsResponse part; reader->Read(&part);) {
    for (const v1::LogLine& line : part.lines()) absl::StrAppend(&text, line.text(), "\n");
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return FromGrpcStatus(status);
  return text;
}

absl::StatusOr<v1::Study> Api::CreateStudy(const std::string& id, const v1::StudySpec& spec) {
  v1::CreateStudyRequest request;
  request.set_parent(kParent);
  request.set_study_id(id);
  request.set_request_id(absl::StrCat("study-", id));
  *request.mutable_spec() = spec;
  return stubs_->Call(stubs_->studies.get(), &Studies::CreateStudy, request);
}

absl::StatusOr<std::vector<v1::Trial>> Api::Suggest(const std::string& study, int count,
                                                    const std::string& client,
                                                    const std::string& request_id) {
  v1::SuggestTrialsRequest request;
  request.set_parent(study);
  request.set_count(count);
  request.set_client_id(client);
  request.set_request_id(request_id);
  auto answer = stubs_->Call(stubs_->studies.get(), &Studies::SuggestTrials, request);
  if (!answer.ok()) return answer.status();
  return std::vector<v1::Trial>(answer->trials().begin(), answer->trials().end());
}

absl::StatusOr<v1::Trial> Api::Complete(const std::string& trial, double value,
                                        const std::string& request_id) {
  v1::CompleteTrialRequest request;
  request.set_name(trial);
  request.set_request_id(request_id);
  v1::MetricValue* const metric = request.mutable_final_measurement()->add_metrics();
  metric->set_metric_id("accuracy");
  metric->set_value(value);
  return stubs_->Call(stubs_->studies.get(), &Studies::CompleteTrial, request);
}

absl::StatusOr<std::vector<v1::Trial>> Api::Trials(const std::string& study) {
  std::vector<v1::Trial> all;
  v1::ListTrialsRequest request;
  request.set_parent(study);
  request.set_page_size(kPageSize);
  do {
    auto page = stubs_->Call(stubs_->studies.get(), &Studies::ListTrials, request);
    if (!page.ok()) return page.status();
    for (v1::Trial& trial : *page->mutable_trials()) all.push_back(std::move(trial));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<v1::Node> Api::GetNode(const std::string& name) {
  v1::GetNodeRequest request;
  request.set_name(name);
  return stubs_->Call(stubs_->nodes.get(), &Nodes::GetNode, request);
}

absl::StatusOr<v1::Node> Api::Drain(const std::string& name, bool undo) {
  v1::DrainNodeRequest request;
  request.set_name(name);
  request.set_undo(undo);
  return stubs_->Call(stubs_->nodes.get(), &Nodes::DrainNode, request);
}

absl::StatusOr<v1::ServerInfo> Api::Info() {
  return stubs_->Call(stubs_->admin.get(), &Admin::GetServerInfo, v1::GetServerInfoRequest());
}

absl::StatusOr<v1::Token> Api::CreateToken(const std::string& user, v1::Role role,
                                           const std::string& project, absl::Duration ttl,
                                           const std::string& request_id) {
  v1::CreateTokenRequest request;
  request.set_request_id(request_id);
  request.set_user(user);
  request.set_role(role);
  request.set_project(project);
  if (ttl > absl::ZeroDuration()) *request.mutable_ttl() = ToProto(ttl);
  return stubs_->Call(stubs_->admin.get(), &Admin::CreateToken, request);
}

absl::Status Api::RevokeToken(const std::string& id) {
  v1::RevokeTokenRequest request;
  request.set_id(id);
  return stubs_->Call(stubs_->admin.get(), &Admin::RevokeToken, request).status();
}

absl::StatusOr<std::vector<v1::Token>> Api::Tokens() {
  const auto answer =
      stubs_->Call(stubs_->admin.get(), &Admin::ListTokens, v1::ListTokensRequest());
  if (!answer.ok()) return answer.status();
  return std::vector<v1::Token>(answer->tokens().begin(), answer->tokens().end());
}

absl::StatusOr<v1::JoinToken> Api::CreateJoinToken(const std::string& node_id, absl::Duration ttl) {
  v1::CreateJoinTokenRequest request;
  request.set_node_id(node_id);
  if (ttl > absl::ZeroDuration()) *request.mutable_ttl() = ToProto(ttl);
  return stubs_->Call(stubs_->admin.get(), &Admin::CreateJoinToken, request);
}

}  // namespace trainyard::testing
