// What the fault tests share: a cluster with a scheduler and agents, the owner's connection, jobs
// that beat until they are told to end, and the check that nothing was left behind.
#ifndef TRAINYARD_TESTS_INTEGRATION_FAULTS_FAULTS_FIXTURE_H_
#define TRAINYARD_TESTS_INTEGRATION_FAULTS_FAULTS_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/integration/cluster/cluster.h"

namespace trainyard::testing {

class FaultsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) std::printf("%s\n", cluster_.Describe().c_str());
  }

  // A scheduler with `flags` and the agents named.
  void Start(const std::vector<std::string>& agents, const std::vector<std::string>& flags = {},
             const AgentSettings& settings = {}) {
    const absl::Status started = cluster_.StartScheduler({flags, {}, ""});
    api_ = cluster_.Connect();
    ASSERT_TRUE(started.ok()) << started;
    for (const std::string& agent : agents) {
      const absl::Status ready = cluster_.StartAgent(agent, settings);
      ASSERT_TRUE(ready.ok()) << ready;
    }
  }
  void RestartScheduler(const std::vector<std::string>& flags = {}) {
    cluster_.scheduler().Kill();
    const absl::Status started = cluster_.StartScheduler({flags, {}, ""});
    ASSERT_TRUE(started.ok()) << started;
    api_ = cluster_.Connect();
  }
  std::string Until(const std::string& name) {
    return absl::StrCat("until=", cluster_.Path("end-" + name));
  }
  void LetEnd(const std::string& name) {
    ASSERT_TRUE(WriteFileDurably(cluster_.Path("end-" + name), "").ok());
  }
  std::string Submit(const v1::JobSpec& spec) {
    const auto job = api_->Submit(spec);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->name() : std::string();
  }
  // A job whose `ranks` beat until LetEnd(name); returns when all of them do.
  std::string StartBeating(const std::string& name, int ranks) {
    const std::string job = Submit(BeatSpec(cluster_.Beats(name), {Until(name)}, ranks));
    EXPECT_TRUE(AwaitBeats(cluster_.Beats(name), ranks)) << name;
    EXPECT_TRUE(AwaitState(api_.get(), job, {v1::RUNNING}).ok()) << name;
    return job;
  }
  std::vector<Beat> BeatsOf(const std::string& name) { return ReadBeats(cluster_.Beats(name)); }
  // The first `ranks` records go on from where they are.
  void ExpectUndisturbed(const std::string& name, const std::vector<Beat>& before) {
    std::vector<Beat> now;
    EXPECT_TRUE(Eventually([&] {
      now = BeatsOf(name);
      bool moved = now.size() >= before.size();
      for (size_t i = 0; moved && i < before.size(); ++i) {
        moved = now[i].counter > before[i].counter;
      }
      return moved;
    })) << name
        << " stands still";
    ASSERT_EQ(now.size(), before.size()) << name << " was started again";
    for (size_t i = 0; i < now.size(); ++i) EXPECT_EQ(now[i].pid, before[i].pid) << name;
  }
  v1::Job ExpectEnd(const std::string& job, v1::JobState state) {
    const auto ended = AwaitEnd(api_.get(), job);
    EXPECT_TRUE(ended.ok()) << ended.status();
    if (!ended.ok()) return v1::Job();
    EXPECT_EQ(ended->state(), state) << ended->ShortDebugString();
    return *ended;
  }
  void ExpectQuiet() {
    const absl::Status quiet = cluster_.AwaitQuiet(api_.get());
    EXPECT_TRUE(quiet.ok()) << quiet;
  }

  Cluster cluster_;
  std::unique_ptr<Api> api_;
};

}  // namespace trainyard::testing

#endif  // TRAINYARD_TESTS_INTEGRATION_FAULTS_FAULTS_FIXTURE_H_
