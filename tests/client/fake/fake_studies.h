// StudyService, NodeService, ArtifactService and AdminService of the fake scheduler.
#ifndef TRAINYARD_TESTS_CLIENT_FAKE_FAKE_STUDIES_H_
#define TRAINYARD_TESTS_CLIENT_FAKE_FAKE_STUDIES_H_

#include "tests/client/fake/fake_state.h"
#include "trainyard/v1/admin.grpc.pb.h"
#include "trainyard/v1/artifact.grpc.pb.h"
#include "trainyard/v1/insight.grpc.pb.h"
#include "trainyard/v1/node.grpc.pb.h"
#include "trainyard/v1/study.grpc.pb.h"

namespace trainyard::client {

class FakeStudies : public v1::StudyService::Service {
 public:
  explicit FakeStudies(FakeServer::State* state) : state_(state) {}
  grpc::Status CreateStudy(grpc::ServerContext*, const v1::CreateStudyRequest*,
                           v1::Study*) override;
  grpc::Status GetStudy(grpc::ServerContext*, const v1::GetStudyRequest*, v1::Study*) override;
  grpc::Status ListStudies(grpc::ServerContext*, const v1::ListStudiesRequest*,
                           v1::ListStudiesResponse*) override;
  grpc::Status DeleteStudy(grpc::ServerContext*, const v1::DeleteStudyRequest*,
                           google::protobuf::Empty*) override;
  grpc::Status SuggestTrials(grpc::ServerContext*, const v1::SuggestTrialsRequest*,
                             v1::SuggestTrialsResponse*) override;
  grpc::Status AddMeasurement(grpc::ServerContext*, const v1::AddMeasurementRequest*,
                              v1::AddMeasurementResponse*) override;
  grpc::Status GetTrial(grpc::ServerContext*, const v1::GetTrialRequest*, v1::Trial*) override;
  grpc::Status CompleteTrial(grpc::ServerContext*, const v1::CompleteTrialRequest*,
                             v1::Trial*) override;
  grpc::Status ShouldStop(grpc::ServerContext*, const v1::ShouldStopRequest*,
                          v1::ShouldStopResponse*) override;
  grpc::Status ListTrials(grpc::ServerContext*, const v1::ListTrialsRequest*,
                          v1::ListTrialsResponse*) override;
  grpc::Status ListBestTrials(grpc::ServerContext*, const v1::ListBestTrialsRequest*,
                              v1::ListBestTrialsResponse*) override;

 private:
  // Null when there is no such trial. Holds the lock.
  v1::Trial* Find(const std::string& name);
  FakeServer::State* state_;
};

class FakeInsights : public v1::InsightService::Service {
 public:
  explicit FakeInsights(FakeServer::State* state) : state_(state) {}
  grpc::Status GetStudyInsight(grpc::ServerContext*, const v1::GetStudyInsightRequest*,
                               v1::StudyInsight*) override;

 private:
  FakeServer::State* state_;
};

class FakeNodes : public v1::NodeService::Service {
 public:
  explicit FakeNodes(FakeServer::State* state) : state_(state) {}
  grpc::Status ListNodes(grpc::ServerContext*, const v1::ListNodesRequest*,
                         v1::ListNodesResponse*) override;
  grpc::Status GetNode(grpc::ServerContext*, const v1::GetNodeRequest*, v1::Node*) override;
  grpc::Status DrainNode(grpc::ServerContext*, const v1::DrainNodeRequest*, v1::Node*) override;
  grpc::Status RevokeNode(grpc::ServerContext*, const v1::RevokeNodeRequest*, v1::Node*) override;

 private:
  FakeServer::State* state_;
};

class FakeArtifacts : public v1::ArtifactService::Service {
 public:
  explicit FakeArtifacts(FakeServer::State* state) : state_(state) {}
  grpc::Status GetUploadGrant(grpc::ServerContext*, const v1::GetUploadGrantRequest*,
                              v1::Grant*) override;
  grpc::Status GetDownloadGrant(grpc::ServerContext*, const v1::GetDownloadGrantRequest*,
                                v1::Grant*) override;
  grpc::Status ListOutputs(grpc::ServerContext*, const v1::ListOutputsRequest*,
                           v1::ListOutputsResponse*) override;

 private:
  FakeServer::State* state_;
};

class FakeAdmin : public v1::AdminService::Service {
 public:
  explicit FakeAdmin(FakeServer::State* state) : state_(state) {}
  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::ServerInfo*) override;
  grpc::Status CreateToken(grpc::ServerContext*, const v1::CreateTokenRequest*,
                           v1::Token*) override;
  grpc::Status ListTokens(grpc::ServerContext*, const v1::ListTokensRequest*,
                          v1::ListTokensResponse*) override;
  grpc::Status RevokeToken(grpc::ServerContext*, const v1::RevokeTokenRequest*,
                           google::protobuf::Empty*) override;
  grpc::Status CreateJoinToken(grpc::ServerContext*, const v1::CreateJoinTokenRequest*,
                               v1::JoinToken*) override;

 private:
  FakeServer::State* state_;
};

}  // namespace trainyard::client

#endif  // TRAINYARD_TESTS_CLIENT_FAKE_FAKE_STUDIES_H_
