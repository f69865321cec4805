// The threads around the engine: nothing is answered before it is durable, commits are shared, a
// stop drains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/errors.h"
#include "common/mutex.h"
#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

// Passes everything on and counts; an append can be held up or fail.
class WatchedJournal : public journal::Journal {
 public:
  absl::StatusOr<journal::Recovered> Recover() override { return inner_->Recover(); }
  absl::Status Append(uint64_t incarnation, uint64_t expected,
                      const std::vector<std::string>& batch) override {
    {
      MutexLock lock(&mutex_);
      ++appends_;
      while (held_) changed_.Wait(&mutex_);
      if (full_) return absl::ResourceExhaustedError("disk full");
      if (broken_) return absl::InternalError("sync failed");
    }
    absl::Status status = inner_->Append(incarnation, expected, batch);
    durable_ = expected + batch.size();
    return status;
  }
  absl::Status WriteRows(uint64_t incarnation, const std::vector<journal::RowUpdate>& rows,
                         uint64_t through) override {
    return inner_->WriteRows(incarnation, rows, through);
  }
  absl::StatusOr<std::string> ReadRow(absl::string_view kind, absl::string_view key) override {
    return inner_->ReadRow(kind, key);
  }
  absl::StatusOr<std::vector<journal::RowUpdate>> ReadRows(absl::string_view kind,
                                                           absl::string_view prefix,
                                                           absl::string_view after,
                                                           int limit) override {
    return inner_->ReadRows(kind, prefix, after, limit);
  }

  absl::Status CheckRest(const std::atomic<bool>& stop) override {
    while (rest_.empty() && !stop) absl::SleepFor(absl::Milliseconds(1));
    return stop ? absl::CancelledError("stopped") : absl::DataLossError(rest_);
  }

  void Hold(bool held) {
    MutexLock lock(&mutex_);
    held_ = held;
    changed_.NotifyAll();
  }
  void Fill(bool full) {
    MutexLock lock(&mutex_);
    full_ = full;
  }
  void Break() {
    MutexLock lock(&mutex_);
    broken_ = true;
  }
  // What CheckRest finds; "": it goes on until it is stopped.
  void DamageRest(const std::string& what) { rest_ = what; }
  int appends() const {
    MutexLock lock(&mutex_);
    return appends_;
  }
  uint64_t durable() const { return durable_; }

 private:
  std::unique_ptr<journal::Journal> inner_ = journal::MakeMemoryJournal();
  mutable Mutex mutex_;
  CondVar changed_;
  int appends_ ABSL_GUARDED_BY(mutex_) = 0;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool full_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  std::string rest_;
  std::atomic<uint64_t> durable_{0};
};

core::Command SubmitCommand(const std::string& id) {
  core::Command command;
  command.principal = User();
  command.body = core::SubmitJob{"default", id, MakeSpec(), false};
  return command;
}

// Counts answers; waits for them.
class Counter {
 public:
  void Add() {
    MutexLock lock(&mutex_);
    ++count_;
    changed_.NotifyAll();
  }
  void Await(int count) {
    MutexLock lock(&mutex_);
    while (count_ < count) changed_.Wait(&mutex_);
  }
  int count() const {
    MutexLock lock(&mutex_);
    return count_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(ThreadedTest, PlannerThreadsPlaceAndAnswer) {
  WatchedJournal journal;
  RecordingLink link;
  Options options;
  options.plan_apart = true;
  options.policy = *placement::PolicyNamed("las-r");
  options.token_secret = std::string(32, 's');
  auto runtime = Runtime::Start(&journal, &link, options).value();
  Counter published;
  const uint64_t watch = runtime->view().Watch(0, [&](uint64_t) { published.Add(); });
  agent::v1::Hello hello;
  hello.mutable_inventory()->set_node_id("a");
  hello.mutable_inventory()->set_cores(2);
  hello.mutable_inventory()->set_memory_bytes(int64_t{1} << 33);
  Counter answered;
  runtime->AgentConnected("a", 1, hello, [&](const auto&) { answered.Add(); });
  for (int i = 0; i < 3; ++i) {
    runtime->Post(SubmitCommand(absl::StrCat("j", i)), [&](const auto&) { answered.Add(); });
  }
  answered.Await(4);
  while (true) {
    const int seen = published.count();
    if (runtime->view().RunsOnNode("a").size() == 2) break;
    published.Await(seen + 1);
  }
  std::vector<std::string> texts;
  const uint64_t last = runtime->view().JobByName("default", "j2")->run_uid();
  runtime->WhatIf(last, [&](const auto& changes) {
    for (const placement::Counterfactual& change : changes) texts.push_back(change.text);
    answered.Add();
  });
  answered.Await(5);
  EXPECT_THAT(texts, testing::ElementsAre("with 1 more node like a it would start now"));
  runtime->view().Unwatch(watch);
}

TEST(ThreadedTest, ManyCallersShareCommits) {
  WatchedJournal journal;
  RecordingLink link;
  auto runtime = Runtime::Start(&journal, &link, {}).value();
  const int before = journal.appends();
  journal.Hold(true);
  Counter answered;
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < 250; ++i) {
        runtime->Post(SubmitCommand(absl::StrCat("j", t, "x", i)), [&](const auto& reply) {
          EXPECT_TRUE(reply.ok()) << reply.status();
          answered.Add();
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(answered.count(), 0) << "nothing is answered before it is durable";
  EXPECT_TRUE(runtime->view().Jobs("default", 0, 10).empty()) << "nor shown";
  journal.Hold(false);
  answered.Await(1000);
  EXPECT_LE(journal.appends() - before, 100) << "appends for 1000 submits";
  EXPECT_EQ(runtime->view().Jobs("default", 0, 2000).size(), 1000u);
}

// A model of a study makes hundreds of suggestions, some milliseconds each.
TEST(ThreadedTest, PlacementDoesNotWaitForAStudy) {
  WatchedJournal journal;
  RecordingLink link;
  auto runtime = Runtime::Start(&journal, &link, {}).value();
  core::Command command;
  command.principal = User();
  v1::StudySpec spec;
  spec.add_metrics()->set_metric_id("loss");
  spec.mutable_metrics(0)->set_goal(v1::StudySpec::MINIMIZE);
  for (const char* id : {"a", "b", "c", "d"}) {
    spec.add_parameters()->set_parameter_id(id);
    spec.mutable_parameters()->rbegin()->mutable_double_range()->set_max(1);
  }
  spec.set_algorithm(v1::StudySpec::GP);
  Counter made;
  Counter asked;
  Counter looked;
  command.body = core::CreateStudy{"default", "s", spec};
  runtime->Post(command, [&](const auto& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    made.Add();
  });
  for (int i = 1; i <= 40; ++i) {
    command.body = core::AskTrials{"default", "s", 1, "me"};
    runtime->Post(command, [&](const auto&) { made.Add(); });
    made.Await(2 * i);
    v1::Measurement measured;
    measured.add_metrics()->set_metric_id("loss");
    measured.mutable_metrics(0)->set_value((i * 37 % 41) / 41.0);
    command.body = core::CompleteTrial{"default", "s", i, true, measured, false, ""};
    runtime->Post(command, [&](const auto& reply) {
      EXPECT_TRUE(reply.ok()) << reply.status();
      made.Add();
    });
    made.Await(2 * i + 1);
  }
  command.body = core::AskTrials{"default", "s", 150, "me"};
  runtime->Post(command, [&](const auto& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->trials.size(), 150u);
    asked.Add();
  });
  runtime->LookAhead(SubmitCommand("j"), [&](const auto&) {
    EXPECT_EQ(asked.count(), 0) << "the study was answered first";
    looked.Add();
  });
  looked.Await(1);
  asked.Await(1);
}

TEST(ThreadedTest, AnswersComeAfterTheirEventsAreDurable) {
  WatchedJournal journal;
  RecordingLink link;
  auto runtime = Runtime::Start(&journal, &link, {}).value();
  Counter answered;
  for (int i = 0; i < 200; ++i) {
    runtime->Post(SubmitCommand(absl::StrCat("j", i)), [&](const auto& reply) {
      ASSERT_TRUE(reply.ok());
      EXPECT_LE(runtime->view().Job(reply->uid)->revision(), journal.durable());
      EXPECT_NE(runtime->view().Job(reply->uid), nullptr) << "the view shows it";
      answered.Add();
    });
  }
  answered.Await(200);
}

TEST(ThreadedTest, StopDrainsWhatWasPosted) {
  WatchedJournal journal;
  RecordingLink link;
  Counter answered;
  {
    auto runtime = Runtime::Start(&journal, &link, {}).value();
    for (int i = 0; i < 500; ++i) {
      runtime->Post(SubmitCommand(absl::StrCat("j", i)), [&](const auto& reply) {
        EXPECT_TRUE(reply.ok());
        answered.Add();
      });
    }
  }
  EXPECT_EQ(answered.count(), 500);
}

TEST(ThreadedTest, BoundedQueueRefusesWithReason) {
  WatchedJournal journal;
  RecordingLink link;
  Options options;
  options.queue_max = 0;
  auto runtime = Runtime::Start(&journal, &link, options).value();
  absl::Status refused;
  runtime->Post(SubmitCommand("j"), [&](const auto& reply) { refused = reply.status(); });
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
}

TEST(ThreadedTest, FullDiskLosesNothingAndGoesOn) {
  WatchedJournal journal;
  RecordingLink link;
  auto runtime = Runtime::Start(&journal, &link, {}).value();
  journal.Fill(true);
  Counter answered;
  runtime->Post(SubmitCommand("first"), [&](const auto& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    answered.Add();
  });
  while (journal.appends() < 3) std::this_thread::yield();  // it was tried again
  EXPECT_EQ(answered.count(), 0);
  absl::Status refused;
  runtime->Post(SubmitCommand("second"), [&](const auto& reply) {
    refused = reply.status();
    answered.Add();
  });
  EXPECT_EQ(ReasonOf(refused), "DISK_FULL");
  journal.Fill(false);
  answered.Await(2);
  EXPECT_NE(runtime->view().JobByName("default", "first"), nullptr);
}

// What was not acknowledged may be lost; an end that waits for room never comes.
TEST(ThreadedTest, FullDiskDoesNotKeepAServerFromEnding) {
  WatchedJournal journal;
  RecordingLink link;
  auto runtime = Runtime::Start(&journal, &link, {}).value();
  journal.Fill(true);
  std::atomic<bool> answered{false};
  runtime->Post(SubmitCommand("first"), [&](const auto&) { answered = true; });
  const int before = journal.appends();
  while (journal.appends() == before) std::this_thread::yield();
  runtime.reset();
  EXPECT_FALSE(answered) << "acknowledged what no disk has";
}

TEST(ThreadedDeathTest, FailedSyncEndsTheProcess) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        WatchedJournal journal;
        RecordingLink link;
        auto runtime = Runtime::Start(&journal, &link, {}).value();
        journal.Break();
        Counter never;
        runtime->Post(SubmitCommand("j"), [&](const auto&) { never.Add(); });
        never.Await(1);
      },
      ::testing::ExitedWithCode(70), "journal failed");
}

TEST(ThreadedDeathTest, DamageThatIsFoundBesideServingEndsTheProcess) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        WatchedJournal journal;
        journal.DamageRest("an old row is damaged");
        RecordingLink link;
        auto runtime = Runtime::Start(&journal, &link, {}).value();
        absl::SleepFor(absl::Seconds(60));
      },
      ::testing::ExitedWithCode(70), "journal failed.*an old row is damaged");
}

}  // namespace
}  // namespace trainyard::runtime
