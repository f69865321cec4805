// See client.h.
#include "bench/load/client.h"

#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/file.h"

namespace trainyard::bench {
namespace {

std::string MustRead(const std::string& path) {
  auto text = ReadFile(path);
  if (!text.ok()) {
    fprintf(stderr, "error: no cluster: %s\n", text.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(text);
}

}  // namespace

Cluster::Cluster(const std::string& state) {
  const auto endpoint = nlohmann::json::parse(MustRead(JoinPath(state, "endpoint.json")));
  token_ = std::string(absl::StripSuffix(MustRead(JoinPath(state, "token")), "\n"));
  address_ = endpoint.at("grpc").get<std::string>();
  jobs_ = v1::JobService::NewStub(NewChannel());
}

std::shared_ptr<grpc::Channel> Cluster::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<grpc::ClientContext> Cluster::Context() const {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("authorization", absl::StrCat("Bearer ", token_));
  return context;
}

v1::JobState Cluster::WaitForEnd(const std::string& name) {
  v1::WatchJobRequest request;
  request.set_name(name);
  auto context = Context();
  auto reader = jobs_->WatchJob(context.get(), request);
  v1::WatchJobResponse response;
  v1::JobState last = v1::JOB_STATE_UNSPECIFIED;
  while (reader->Read(&response)) last = response.job().state();
  Must(reader->Finish(), "WatchJob");
  return last;
}

v1::SubmitJobRequest Request(const std::vector<std::string>& command, int ranks) {
  v1::SubmitJobRequest request;
  request.set_parent("projects/default");
  v1::JobSpec* spec = request.mutable_spec();
  spec->set_display_name("bench");
  v1::WorkerPool* pool = spec->add_worker_pools();
  pool->set_role("master");
  pool->set_replica_count(1);
  pool->mutable_resources()->set_cpu_milli(100);
  if (ranks > 1) {
    v1::WorkerPool* workers = spec->add_worker_pools();
    *workers = *pool;
    workers->set_role("worker");
    workers->set_replica_count(ranks - 1);
    spec->mutable_launch()->set_launcher(v1::MPIRUN);
  }
  for (const std::string& word : command) spec->mutable_program()->add_command(word);
  return request;
}

double NowMs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

void Must(const grpc::Status& status, const char* what) {
  if (status.ok()) return;
  fprintf(stderr, "error: %s: %s\n", what, status.error_message().c_str());
  std::exit(1);
}

}  // namespace trainyard::bench
