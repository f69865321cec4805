// Verbs of studies over gRPC. See services.h.
#include <utility>

#include "scheduler/api/studies.h"
#include "scheduler/rpc/services.h"
#include "scheduler/rpc/unary.h"
#include "trainyard/v1/study.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class StudyService : public v1::StudyService::CallbackService {
 public:
  explicit StudyService(const api::Context* context) : context_(context) {}

  grpc::ServerUnaryReactor* CreateStudy(grpc::CallbackServerContext* call,
                                        const v1::CreateStudyRequest* request,
                                        v1::Study* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::CreateStudy(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* GetStudy(grpc::CallbackServerContext* call,
                                     const v1::GetStudyRequest* request,
                                     v1::Study* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetStudy(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ListStudies(grpc::CallbackServerContext* call,
                                        const v1::ListStudiesRequest* request,
                                        v1::ListStudiesResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListStudies(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* DeleteStudy(grpc::CallbackServerContext* call,
                                        const v1::DeleteStudyRequest* request,
                                        google::protobuf::Empty* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::DeleteStudy(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* SuggestTrials(grpc::CallbackServerContext* call,
                                          const v1::SuggestTrialsRequest* request,
                                          v1::SuggestTrialsResponse* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::SuggestTrials(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* AddMeasurement(grpc::CallbackServerContext* call,
                                           const v1::AddMeasurementRequest* request,
                                           v1::AddMeasurementResponse* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::AddMeasurement(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* CompleteTrial(grpc::CallbackServerContext* call,
                                          const v1::CompleteTrialRequest* request,
                                          v1::Trial* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::CompleteTrial(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* ShouldStop(grpc::CallbackServerContext* call,
                                       const v1::ShouldStopRequest* request,
                                       v1::ShouldStopResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ShouldStop(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* GetTrial(grpc::CallbackServerContext* call,
                                     const v1::GetTrialRequest* request,
                                     v1::Trial* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetTrial(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ListTrials(grpc::CallbackServerContext* call,
                                       const v1::ListTrialsRequest* request,
                                       v1::ListTrialsResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListTrials(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* ListBestTrials(grpc::CallbackServerContext* call,
                                           const v1::ListBestTrialsRequest* request,
                                           v1::ListBestTrialsResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListBestTrials(*context_, principal, *request);
    });
  }

 private:
  const api::Context* const context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeStudyService(const api::Context* context) {
  return std::make_unique<StudyService>(context);
}

}  // namespace trainyard::rpc
