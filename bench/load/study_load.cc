// One study, many clients: each asks for a trial and tells its result, again and again, durable and
// over gRPC. Prints one JSON object: rate, times of a call, errors, trials handed out twice.
//   study_load --state=FOLDER [--algorithm=TPE] [--clients=1000] [--pairs=20000] [--parameters=6]
//              [--fill=0]     trials told beforehand, in large batches
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "bench/load/client.h"
#include "trainyard/v1/study.grpc.pb.h"

ABSL_FLAG(std::string, state, "", "State folder of the cluster");
ABSL_FLAG(std::string, study, "load", "Name of the study; made when there is none");
ABSL_FLAG(std::string, algorithm, "TPE", "As in the spec");
ABSL_FLAG(int, clients, 1000, "Clients, each with one call outstanding");
ABSL_FLAG(int, pairs, 20000, "Asks, each with its tell");
ABSL_FLAG(int, parameters, 6, "Parameters of the study");
ABSL_FLAG(int, fill, 0, "Trials told beforehand");

namespace trainyard::bench {
namespace {

constexpr int kChannels = 8;
constexpr int kFillAtOnce = 1000;
constexpr int kFillOutstanding = 128;

double LossOf(const v1::Trial& trial) {
  double loss = 0;
  for (const auto& value : trial.parameters()) {
    loss += (value.number() - 0.3) * (value.number() - 0.3);
  }
  return loss;
}

v1::CompleteTrialRequest Completion(const v1::Trial& trial) {
  v1::CompleteTrialRequest request;
  request.set_name(trial.name());
  auto* metric = request.mutable_final_measurement()->add_metrics();
  metric->set_metric_id("loss");
  metric->set_value(LossOf(trial));
  return request;
}

void MakeStudy(Cluster* cluster, v1::StudyService::Stub* stub) {
  v1::CreateStudyRequest request;
  request.set_parent("projects/default");
  request.set_study_id(absl::GetFlag(FLAGS_study));
  v1::StudySpec* spec = request.mutable_spec();
  auto* metric = spec->add_metrics();
  metric->set_metric_id("loss");
  metric->set_goal(v1::StudySpec::MINIMIZE);
  for (int d = 0; d < absl::GetFlag(FLAGS_parameters); ++d) {
    auto* parameter = spec->add_parameters();
    parameter->set_parameter_id(absl::StrCat("x", d));
    parameter->mutable_double_range()->set_max(1);
  }
  v1::StudySpec::Algorithm algorithm = v1::StudySpec::ALGORITHM_UNSPECIFIED;
  v1::StudySpec::Algorithm_Parse(absl::GetFlag(FLAGS_algorithm), &algorithm);
  spec->set_algorithm(algorithm);
  v1::Study study;
  auto context = cluster->Context();
  const grpc::Status status = stub->CreateStudy(context.get(), request, &study);
  if (status.error_code() != grpc::StatusCode::ALREADY_EXISTS) Must(status, "CreateStudy");
}

// Tells `count` trials in batches, with many calls outstanding.
void Fill(Cluster* cluster, v1::StudyService::Stub* stub, const std::string& study, int count) {
  for (int done = 0; done < count;) {
    v1::SuggestTrialsRequest ask;
    ask.set_parent(study);
    ask.set_client_id("fill");
    ask.set_count(std::min(kFillAtOnce, count - done));
    v1::SuggestTrialsResponse asked;
    auto context = cluster->Context();
    Must(stub->SuggestTrials(context.get(), ask, &asked), "SuggestTrials");
    std::atomic<int> outstanding{0};
    for (const v1::Trial& trial : asked.trials()) {
      while (outstanding >= kFillOutstanding) usleep(100);
      ++outstanding;
      struct Call {
        std::unique_ptr<grpc::ClientContext> context;
        v1::CompleteTrialRequest request;
        v1::Trial reply;
      };
      auto call = std::make_shared<Call>();
      call->context = cluster->Context();
      call->request = Completion(trial);
      stub->async()->CompleteTrial(call->context.get(), &call->request, &call->reply,
                                   [call, &outstanding](const grpc::Status& status) {
                                     Must(status, "CompleteTrial");
                                     --outstanding;
                                   });
    }
    while (outstanding > 0) usleep(100);
    done += asked.trials_size();
  }
}

// Clients that ask and tell by turns.
class Load {
 public:
  Load(Cluster* cluster, std::vector<std::unique_ptr<v1::StudyService::Stub>>* stubs,
       std::string study)
      : cluster_(cluster),
        stubs_(*stubs),
        study_(std::move(study)),
        pairs_(absl::GetFlag(FLAGS_pairs)),
        clients_(static_cast<size_t>(absl::GetFlag(FLAGS_clients))) {}

  double Run() {
    const double begin = NowMs();
    for (size_t i = 0; i < clients_.size(); ++i) {
      clients_[i].stub = stubs_[i % stubs_.size()].get();
      clients_[i].ask.set_parent(study_);
      clients_[i].ask.set_count(1);
      clients_[i].ask.set_client_id(absl::StrCat("client-", i));
      Ask(&clients_[i]);
    }
    while (running_ > 0) usleep(500);
    return (NowMs() - begin) / 1e3;
  }

  void Print(double seconds) const {
    std::vector<double> asks;
    std::vector<double> both;
    std::vector<int32_t> ids;
    for (const Client& client : clients_) {
      asks.insert(asks.end(), client.asks.begin(), client.asks.end());
      both.insert(both.end(), client.both.begin(), client.both.end());
      ids.insert(ids.end(), client.ids.begin(), client.ids.end());
    }
    std::sort(asks.begin(), asks.end());
    std::sort(both.begin(), both.end());
    std::sort(ids.begin(), ids.end());
    const auto at = [](const std::vector<double>& sorted, double share) {
      if (sorted.empty()) return 0.0;
      return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
    };
    const auto distinct = std::unique(ids.begin(), ids.end()) - ids.begin();
    const nlohmann::ordered_json out = {
        {"pairs", both.size()},
        {"seconds", seconds},
        {"per_second", static_cast<double>(both.size()) / seconds},
        {"ask_ms", {{"p50", at(asks, 0.5)}, {"p99", at(asks, 0.99)}}},
        {"ask_tell_ms", {{"p50", at(both, 0.5)}, {"p90", at(both, 0.9)}, {"p99", at(both, 0.99)}}},
        {"errors", errors_.load()},
        {"duplicates", static_cast<int64_t>(both.size()) - distinct}};
    printf("%s\n", out.dump().c_str());
  }
  int errors() const { return errors_; }

 private:
  struct Client {
    v1::StudyService::Stub* stub = nullptr;
    std::unique_ptr<grpc::ClientContext> context;
    v1::SuggestTrialsRequest ask;
    v1::SuggestTrialsResponse asked;
    v1::CompleteTrialRequest tell;
    v1::Trial told;
    double began = 0;
    std::vector<double> asks;
    std::vector<double> both;
    std::vector<int32_t> ids;
  };

  void Ask(Client* client) {
    if (started_.fetch_add(1) >= pairs_) return;
    ++running_;
    client->context = cluster_->Context();
    client->asked.Clear();
    client->began = NowMs();
    client->stub->async()->SuggestTrials(
        client->context.get(), &client->ask, &client->asked,
        [this, client](const grpc::Status& status) { Asked(client, status); });
  }

  void Asked(Client* client, const grpc::Status& status) {
    if (!status.ok() || client->asked.trials_size() != 1) return Failed(client, status);
    client->asks.push_back(NowMs() - client->began);
    client->tell = Completion(client->asked.trials(0));
    client->context = cluster_->Context();
    client->stub->async()->CompleteTrial(
        client->context.get(), &client->tell, &client->told,
        [this, client](const grpc::Status& told) { Told(client, told); });
  }

  void Told(Client* client, const grpc::Status& status) {
    if (!status.ok()) return Failed(client, status);
    client->both.push_back(NowMs() - client->began);
    client->ids.push_back(client->asked.trials(0).id());
    Ask(client);
    --running_;
  }

  void Failed(Client* client, const grpc::Status& status) {
    if (errors_.fetch_add(1) == 0) {
      fprintf(stderr, "error: %s\n", status.ok() ? "no trial" : status.error_message().c_str());
    }
    Ask(client);
    --running_;
  }

  Cluster* const cluster_;
  const std::vector<std::unique_ptr<v1::StudyService::Stub>>& stubs_;
  const std::string study_;
  const int pairs_;
  std::vector<Client> clients_;
  std::atomic<int> started_{0};
  std::atomic<int> running_{0};
  std::atomic<int> errors_{0};
};

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  using namespace trainyard;
  absl::ParseCommandLine(argc, argv);
  bench::Cluster cluster(absl::GetFlag(FLAGS_state));
  std::vector<std::unique_ptr<v1::StudyService::Stub>> stubs;
  for (int i = 0; i < bench::kChannels; ++i) {
    stubs.push_back(v1::StudyService::NewStub(cluster.NewChannel()));
  }
  bench::MakeStudy(&cluster, stubs[0].get());
  const std::string study = absl::StrCat("projects/default/studies/", absl::GetFlag(FLAGS_study));
  bench::Fill(&cluster, stubs[0].get(), study, absl::GetFlag(FLAGS_fill));
  bench::Load load(&cluster, &stubs, study);
  const double seconds = load.Run();
  load.Print(seconds);
  return load.errors() == 0 ? 0 : 1;
}
