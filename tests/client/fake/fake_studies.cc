// See fake_studies.h.
#include "tests/client/fake/fake_studies.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trainyard::client {

using grpc::ServerContext;
using grpc::Status;

Status FakeStudies::CreateStudy(ServerContext* context, const v1::CreateStudyRequest* request,
                                v1::Study* study) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "CreateStudy"); !status.ok()) return status;
  study->set_name(absl::StrCat(request->parent(), "/studies/", request->study_id()));
  *study->mutable_spec() = request->spec();
  study->set_state(v1::Study::ACTIVE_STUDY);
  state_->studies[study->name()] = *study;
  return state_->Leave();
}

Status FakeStudies::GetStudy(ServerContext* context, const v1::GetStudyRequest* request,
                             v1::Study* study) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "GetStudy"); !status.ok()) return status;
  const auto found = state_->studies.find(request->name());
  if (found == state_->studies.end()) return FakeServer::State::NotFound(request->name());
  *study = found->second;
  return state_->Leave();
}

Status FakeStudies::ListStudies(ServerContext* context, const v1::ListStudiesRequest*,
                                v1::ListStudiesResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "ListStudies"); !status.ok()) return status;
  for (const auto& [name, study] : state_->studies) *response->add_studies() = study;
  return state_->Leave();
}

Status FakeStudies::DeleteStudy(ServerContext* context, const v1::DeleteStudyRequest* request,
                                google::protobuf::Empty*) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "DeleteStudy"); !status.ok()) return status;
  if (state_->studies.erase(request->name()) == 0) {
    return FakeServer::State::NotFound(request->name());
  }
  return state_->Leave();
}

Status FakeStudies::SuggestTrials(ServerContext* context, const v1::SuggestTrialsRequest* request,
                                  v1::SuggestTrialsResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "SuggestTrials"); !status.ok()) return status;
  if (state_->studies.count(request->parent()) == 0) {
    return FakeServer::State::NotFound(request->parent());
  }
  std::vector<v1::Trial>& trials = state_->trials[request->parent()];
  for (const v1::Trial& trial : trials) {
    const bool is_theirs = trial.state() == v1::ACTIVE && trial.client_id() == request->client_id();
    if (is_theirs && response->trials_size() < request->count()) *response->add_trials() = trial;
  }
  while (response->trials_size() < request->count()) {
    v1::Trial trial;
    trial.set_id(static_cast<int32_t>(trials.size()) + 1);
    trial.set_name(absl::StrCat(request->parent(), "/trials/", trial.id()));
    trial.set_state(v1::ACTIVE);
    trial.set_client_id(request->client_id());
    v1::ParameterValue* lr = trial.add_parameters();
    lr->set_parameter_id("lr");
    lr->set_number(0.25 * trial.id());
    v1::ParameterValue* opt = trial.add_parameters();
    opt->set_parameter_id("opt");
    opt->set_text("adam");
    trials.push_back(trial);
    *response->add_trials() = trial;
  }
  return state_->Leave();
}

v1::Trial* FakeStudies::Find(const std::string& name) {
  for (auto& [study, trials] : state_->trials) {
    for (v1::Trial& trial : trials) {
      if (trial.name() == name) return &trial;
    }
  }
  return nullptr;
}

Status FakeStudies::AddMeasurement(ServerContext* context, const v1::AddMeasurementRequest* request,
                                   v1::AddMeasurementResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "AddMeasurement"); !status.ok()) return status;
  v1::Trial* trial = Find(request->trial_name());
  if (trial == nullptr) return FakeServer::State::NotFound(request->trial_name());
  *trial->add_measurements() = request->measurement();
  trial->set_last_step(request->measurement().step());
  response->set_should_stop(request->measurement().step() >= 10);
  return state_->Leave();
}

Status FakeStudies::GetTrial(ServerContext* context, const v1::GetTrialRequest* request,
                             v1::Trial* out) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "GetTrial"); !status.ok()) return status;
  const v1::Trial* trial = Find(request->name());
  if (trial == nullptr) return FakeServer::State::NotFound(request->name());
  *out = *trial;
  return state_->Leave();
}

Status FakeStudies::CompleteTrial(ServerContext* context, const v1::CompleteTrialRequest* request,
                                  v1::Trial* out) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "CompleteTrial"); !status.ok()) return status;
  v1::Trial* trial = Find(request->name());
  if (trial == nullptr) return FakeServer::State::NotFound(request->name());
  trial->set_state(request->infeasible() ? v1::INFEASIBLE : v1::TRIAL_SUCCEEDED);
  trial->set_infeasible_reason(request->infeasible_reason());
  *trial->mutable_final_measurement() = request->final_measurement();
  *out = *trial;
  return state_->Leave();
}

Status FakeStudies::ShouldStop(ServerContext* context, const v1::ShouldStopRequest* request,
                               v1::ShouldStopResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "ShouldStop"); !status.ok()) return status;
  const v1::Trial* trial = Find(request->trial_name());
  if (trial == nullptr) return FakeServer::State::NotFound(request->trial_name());
  response->set_should_stop(trial->last_step() >= 10);
  return state_->Leave();
}

Status FakeStudies::ListTrials(ServerContext* context, const v1::ListTrialsRequest* request,
                               v1::ListTrialsResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "ListTrials"); !status.ok()) return status;
  for (v1::Trial trial : state_->trials[request->parent()]) {
    if (!request->with_measurements()) trial.clear_measurements();
    *response->add_trials() = std::move(trial);
  }
  return state_->Leave();
}

Status FakeStudies::ListBestTrials(ServerContext* context, const v1::ListBestTrialsRequest* request,
                                   v1::ListBestTrialsResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "ListBestTrials"); !status.ok()) return status;
  std::vector<v1::Trial> done;
  for (const v1::Trial& trial : state_->trials[request->parent()]) {
    if (trial.state() == v1::TRIAL_SUCCEEDED) done.push_back(trial);
  }
  std::stable_sort(done.begin(), done.end(), [](const v1::Trial& a, const v1::Trial& b) {
    return a.final_measurement().metrics(0).value() > b.final_measurement().metrics(0).value();
  });
  done.resize(std::min(done.size(), static_cast<size_t>(std::max(1, request->count()))));
  for (v1::Trial& trial : done) *response->add_trials() = std::move(trial);
  return state_->Leave();
}

// Two parameters, as if lr explained three quarters.
Status FakeInsights::GetStudyInsight(ServerContext* context,
                                     const v1::GetStudyInsightRequest* request,
                                     v1::StudyInsight* insight) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "GetStudyInsight"); !status.ok()) return status;
  if (state_->studies.count(request->name()) == 0) {
    return FakeServer::State::NotFound(request->name());
  }
  insight->set_name(request->name());
  insight->set_metric_id(request->metric_id().empty() ? "loss" : request->metric_id());
  insight->set_trials(12);
  for (const auto& [id, share] : {std::pair{"lr", 0.75}, std::pair{"opt", 0.05}}) {
    auto* importance = insight->add_importances();
    importance->set_parameter_id(id);
    importance->set_share(share);
  }
  insight->set_interactions(0.2);
  insight->set_best_trial(7);
  insight->set_best_value(0.25);
  auto* lr = insight->mutable_predicted_optimum()->add_parameters();
  lr->set_parameter_id("lr");
  lr->set_number(0.125);
  return state_->Leave();
}

Status FakeNodes::ListNodes(ServerContext* context, const v1::ListNodesRequest*,
                            v1::ListNodesResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "ListNodes"); !status.ok()) return status;
  for (const auto& [name, node] : state_->nodes) *response->add_nodes() = node;
  return state_->Leave();
}

Status FakeNodes::GetNode(ServerContext* context, const v1::GetNodeRequest* request,
                          v1::Node* node) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "GetNode"); !status.ok()) return status;
  const auto found = state_->nodes.find(request->name());
  if (found == state_->nodes.end()) return FakeServer::State::NotFound(request->name());
  *node = found->second;
  return state_->Leave();
}

Status FakeNodes::DrainNode(ServerContext* context, const v1::DrainNodeRequest* request,
                            v1::Node* node) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "DrainNode"); !status.ok()) return status;
  const auto found = state_->nodes.find(request->name());
  if (found == state_->nodes.end()) return FakeServer::State::NotFound(request->name());
  found->second.set_state(request->undo() ? v1::READY : v1::DRAINING);
  found->second.set_reason(request->reason());
  *node = found->second;
  return state_->Leave();
}

Status FakeNodes::RevokeNode(ServerContext* context, const v1::RevokeNodeRequest* request,
                             v1::Node* node) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "RevokeNode"); !status.ok()) return status;
  const auto found = state_->nodes.find(request->name());
  if (found == state_->nodes.end()) return FakeServer::State::NotFound(request->name());
  found->second.set_state(v1::UNREACHABLE);
  *node = found->second;
  return state_->Leave();
}

Status FakeArtifacts::GetUploadGrant(ServerContext* context, const v1::GetUploadGrantRequest*,
                                     v1::Grant* grant) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "GetUploadGrant"); !status.ok()) return status;
  *grant = state_->grant;
  return state_->Leave();
}

Status FakeArtifacts::GetDownloadGrant(ServerContext* context, const v1::GetDownloadGrantRequest*,
                                       v1::Grant* grant) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "GetDownloadGrant"); !status.ok()) return status;
  *grant = state_->grant;
  return state_->Leave();
}

Status FakeArtifacts::ListOutputs(ServerContext* context, const v1::ListOutputsRequest*,
                                  v1::ListOutputsResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "ListOutputs"); !status.ok()) return status;
  *response = state_->outputs;
  return state_->Leave();
}

Status FakeAdmin::GetServerInfo(ServerContext* context, const v1::GetServerInfoRequest*,
                                v1::ServerInfo* info) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "GetServerInfo"); !status.ok()) return status;
  info->set_version("9.9.9");
  info->set_principal("ann");
  info->set_role(v1::ADMIN);
  return state_->Leave();
}

Status FakeAdmin::CreateToken(ServerContext* context, const v1::CreateTokenRequest* request,
                              v1::Token* token) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "CreateToken"); !status.ok()) return status;
  token->set_id("t1");
  token->set_user(request->user());
  token->set_role(request->role());
  token->set_project(request->project());
  token->set_secret("ty_secret");
  return state_->Leave();
}

Status FakeAdmin::ListTokens(ServerContext* context, const v1::ListTokensRequest*,
                             v1::ListTokensResponse* response) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "ListTokens"); !status.ok()) return status;
  v1::Token* token = response->add_tokens();
  token->set_id("t1");
  token->set_user("ann");
  token->set_role(v1::VIEWER);
  return state_->Leave();
}

Status FakeAdmin::RevokeToken(ServerContext* context, const v1::RevokeTokenRequest* request,
                              google::protobuf::Empty*) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "RevokeToken"); !status.ok()) return status;
  if (request->id() != "t1") return FakeServer::State::NotFound(request->id());
  return state_->Leave();
}

Status FakeAdmin::CreateJoinToken(ServerContext* context, const v1::CreateJoinTokenRequest*,
                                  v1::JoinToken* token) {
  const std::lock_guard lock(state_->mutex);
  if (Status status = state_->Enter(context, "CreateJoinToken"); !status.ok()) return status;
  token->set_secret("ty_join");
  token->set_command("trainyard-agent --join_token_file=...");
  return state_->Leave();
}

}  // namespace trainyard::client
