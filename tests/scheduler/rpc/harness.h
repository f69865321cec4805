// A whole scheduler in one process for tests: journal, store, runtime and the real gRPC server on a
// unix socket in a fresh folder, with a token of every kind.
#ifndef TRAINYARD_TESTS_SCHEDULER_RPC_HARNESS_H_
#define TRAINYARD_TESTS_SCHEDULER_RPC_HARNESS_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "scheduler/api/context.h"
#include "scheduler/journal/journal.h"
#include "scheduler/rpc/server.h"

namespace trainyard::rpc {

class Harness {
 public:
  // `journal` outlives the harness; null: one of its own.
  explicit Harness(journal::Journal* journal = nullptr);
  ~Harness();

  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  const api::Context& context() const { return context_; }
  runtime::Runtime& runtime() { return *runtime_; }
  std::string tcp_address() const { return server_->tcp_address(); }

  // Makes a token row and returns its secret.
  std::string MakeToken(const std::string& name, v1::Role role, const std::string& project = "",
                        absl::Duration life = absl::InfiniteDuration(), bool is_join = false);
  const std::string& admin() const { return admin_; }
  const std::string& agent() const { return agent_; }  // of node "n1"

  // A client context with the token and a generous deadline.
  static std::unique_ptr<grpc::ClientContext> Call(const std::string& token);

 private:
  std::string folder_;
  std::unique_ptr<journal::Journal> own_journal_;
  std::unique_ptr<store::Store> store_;
  AgentRegistry registry_;
  api::Context context_;
  std::unique_ptr<runtime::Runtime> runtime_;
  std::unique_ptr<MetricHub> hub_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::string admin_;
  std::string agent_;
};

// A job of `ranks` ranks that runs a program.
v1::JobSpec MakeSpec(int ranks = 1, int cpu_milli = 100);

}  // namespace trainyard::rpc

#endif  // TRAINYARD_TESTS_SCHEDULER_RPC_HARNESS_H_
