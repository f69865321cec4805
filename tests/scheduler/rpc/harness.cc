// See harness.h.
#include "tests/scheduler/rpc/harness.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/random.h"
#include "common/sha256.h"
#include "scheduler/daemon/bootstrap.h"

namespace trainyard::rpc {
namespace {

constexpr std::chrono::seconds kDeadline(60);

std::string MakeFolder() {
  char path[] = "/tmp/trainyard-rpc-XXXXXX";
  return mkdtemp(path);
}

}  // namespace

Harness::Harness(journal::Journal* journal) : folder_(MakeFolder()) {
  if (journal == nullptr) {
    own_journal_ = journal::MakeMemoryJournal();
    journal = own_journal_.get();
  }
  store_ = store::OpenStore(JoinPath(folder_, "store")).value();
  context_.store = store_.get();
  context_.secret = std::string(32, 's');
  context_.http_address = "127.0.0.1:1";
  context_.version = "1.5.0";
  runtime::Options options;
  options.token_secret = context_.secret;
  options.store_address = context_.http_address;
  runtime_ = runtime::Runtime::Start(journal, &registry_, options).value();
  context_.runtime = runtime_.get();
  EXPECT_TRUE(daemon::SeedSettings(runtime_.get()).ok());
  hub_ = std::make_unique<MetricHub>(runtime_.get(), context_.clock);
  ServerOptions server_options;
  server_options.unix_path = JoinPath(folder_, "s.sock");
  server_ = Server::Start(&context_, &registry_, hub_.get(), server_options).value();
  channel_ = grpc::CreateChannel(server_->unix_address(), grpc::InsecureChannelCredentials());
  admin_ = MakeToken("admin", v1::ADMIN);
  agent_ = MakeToken("n1", v1::AGENT);
}

Harness::~Harness() {
  channel_.reset();
  server_.reset();
  hub_.reset();
  runtime_.reset();
  store_.reset();
  RemoveTree(folder_).IgnoreError();
}

std::string Harness::MakeToken(const std::string& name, v1::Role role, const std::string& project,
                               absl::Duration life, bool is_join) {
  const std::string secret = NewSecretToken();
  journal::v1::TokenRow row;
  row.set_id(absl::StrCat("t", HexOf(Sha256Of(secret)).substr(0, 12)));
  row.set_hash(Sha256Of(secret));
  row.set_role(role);
  row.set_project(project);
  row.set_is_join(is_join);
  if (role == v1::AGENT) {
    row.set_node_id(name);
  } else {
    row.set_user(name);
  }
  if (life != absl::InfiniteDuration()) {
    row.set_expire_us(absl::ToUnixMicros(context_.clock->Now() + life));
  }
  const absl::Status status = daemon::Await(runtime_.get(), core::CreateToken{row});
  EXPECT_TRUE(status.ok()) << status;
  return secret;
}

std::unique_ptr<grpc::ClientContext> Harness::Call(const std::string& token) {
  auto call = std::make_unique<grpc::ClientContext>();
  if (!token.empty()) call->AddMetadata("authorization", absl::StrCat("Bearer ", token));
  call->set_deadline(std::chrono::system_clock::now() + kDeadline);
  return call;
}

v1::JobSpec MakeSpec(int ranks, int cpu_milli) {
  v1::JobSpec spec;
  spec.set_display_name("test");
  spec.mutable_program()->add_command("/bin/true");
  v1::WorkerPool* pool = spec.add_worker_pools();
  pool->set_role("master");
  pool->set_replica_count(ranks);
  pool->mutable_resources()->set_cpu_milli(cpu_milli);
  pool->mutable_resources()->set_memory_bytes(1 << 20);
  return spec;
}

}  // namespace trainyard::rpc
