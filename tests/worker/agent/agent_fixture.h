// A whole agent in one test: fake scheduler and store, real gRPC, real supervisors and programs, in
// a folder that is removed at the end. The agent may be stopped (as by SIGKILL: nothing is said to
// anybody) and started again on the same folder.
#ifndef TRAINYARD_TESTS_WORKER_AGENT_AGENT_FIXTURE_H_
#define TRAINYARD_TESTS_WORKER_AGENT_AGENT_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/worker/agent/fake_scheduler.h"
#include "tests/worker/agent/fake_store.h"
#include "worker/agent/agent.h"
#include "worker/agent/grpc_channels.h"

namespace trainyard::worker {

class AgentTest : public testing::Test {
 protected:
  AgentTest();
  ~AgentTest() override;

  void StartAgent();
  void StopAgent();

  // An assignment of `ranks` ranks that runs `argv`, with a run of its own.
  agent::v1::Assignment Assign(const std::vector<std::string>& argv, int ranks = 1);
  static std::vector<std::string> Shell(const std::string& script) {
    return {"/bin/sh", "-c", script};
  }
  agent::v1::MemberKey Run(const agent::v1::Assignment& assignment);
  void Want(const agent::v1::MemberKey& key, agent::v1::Want want,
            agent::v1::StopReason reason = agent::v1::STOP_REASON_UNSPECIFIED);
  bool WaitForRunning(const agent::v1::MemberKey& key);
  bool WaitForReleased(const agent::v1::MemberKey& key);
  // Waits until the log of a rank holds `text`.
  bool WaitForLog(const agent::v1::MemberKey& key, const std::string& text);
  std::string AttemptPath(const agent::v1::MemberKey& key) const;
  // Waits until a file or folder is there (or gone).
  static bool WaitForFile(const std::string& path, bool there = true);

  const std::string folder_;
  FakeScheduler scheduler_;
  FakeStore store_;
  AgentOptions options_;

 private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<GrpcChannels> channels_;
  std::unique_ptr<Agent> agent_;
  std::thread thread_;
  uint64_t next_run_ = 1;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_TESTS_WORKER_AGENT_AGENT_FIXTURE_H_
