// What commands say about jobs that have ended, wait, have no trials or no such rank: the words,
// and the exit code with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/client/cli/test_console.h"

namespace trainyard::cli {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class JobWordsTest : public testing::Test {
 protected:
  Result Run(const std::vector<std::string>& words) { return RunAgainst(server_, words); }
  v1::Job Put(const std::string& id, v1::JobState state) {
    v1::Job job;
    job.set_name("projects/default/jobs/" + id);
    job.set_state(state);
    job.mutable_spec()->mutable_program()->set_python_module("trainer.task");
    server_.PutJob(job);
    return job;
  }
  // A tuning job whose trials have ended so, in order.
  void PutStudy(const std::string& id, v1::JobState state,
                const std::vector<v1::TrialState>& states) {
    v1::Job job = Put(id, state);
    v1::StudySpec* spec = job.mutable_spec()->mutable_study_spec();
    spec->add_metrics()->set_metric_id("accuracy");
    v1::Study study;
    study.set_name("projects/default/studies/" + id);
    *study.mutable_spec() = *spec;
    std::vector<v1::Trial> trials;
    for (v1::TrialState trial_state : states) {
      v1::Trial& trial = trials.emplace_back();
      trial.set_id(static_cast<int32_t>(trials.size()));
      trial.set_name(absl::StrCat(study.name(), "/trials/", trial.id()));
      trial.set_state(trial_state);
      if (trial_state != v1::TRIAL_SUCCEEDED) continue;
      v1::MetricValue* metric = trial.mutable_final_measurement()->add_metrics();
      metric->set_metric_id("accuracy");
      metric->set_value(0.5 + 0.1 * trial.id());
    }
    server_.PutStudy(study, trials);
    server_.PutJob(job);
  }
  static v1::LogLine Line(const std::string& text) {
    v1::LogLine line;
    line.set_text(text);
    line.set_cursor(text);
    return line;
  }
  client::FakeServer server_;
};

TEST_F(JobWordsTest, EndedJobsAreLeftAloneAndItIsSaid) {
  Put("done", v1::SUCCEEDED);
  for (const char* verb : {"cancel", "pause", "resume", "hold", "release"}) {
    const Result result = Run({"jobs", verb, "done"});
    EXPECT_EQ(result.code, 1) << verb;
    EXPECT_THAT(result.err, HasSubstr("done has already ended as SUCCEEDED: there is nothing to " +
                                      std::string(verb)));
    EXPECT_THAT(result.out, IsEmpty());
  }
  Put("cancelled", v1::CANCELLED);
  const Result again = Run({"jobs", "cancel", "cancelled"});
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.err, AllOf(HasSubstr("note: cancelled had ended so before"),
                               HasSubstr("cancelled: CANCELLED")));
}

TEST_F(JobWordsTest, RequestThatIsRepeatedIsSentWhateverBecameOfTheJob) {
  Put("done", v1::SUCCEEDED);
  EXPECT_EQ(Run({"jobs", "cancel", "done", "--request-id", "r"}).code, 0);
  EXPECT_EQ(server_.calls("CancelJob"), 1);
}

TEST_F(JobWordsTest, PlainJobsHaveNoTrials) {
  Put("plain", v1::SUCCEEDED);
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"trials", "plain"},
           {"best", "plain"},
           {"logs", "plain", "--trial", "2"},
           {"metrics", "plain", "--trial", "2"},
           {"pull", "plain", server_.folder() + "/out", "--trial", "2"}}) {
    const Result result = Run(words);
    EXPECT_EQ(result.code, 3) << words[0];
    EXPECT_THAT(result.err, HasSubstr("plain is no tuning job: it has no trials")) << words[0];
    EXPECT_THAT(result.err, Not(HasSubstr("study"))) << words[0];
  }
}

TEST_F(JobWordsTest, TrialsAndRanksThatAreNotThereAreNamed) {
  PutStudy("digits", v1::RUNNING, {v1::TRIAL_SUCCEEDED, v1::ACTIVE});
  for (const char* command : {"logs", "metrics"}) {
    const Result result = Run({command, "digits", "--trial", "77"});
    EXPECT_EQ(result.code, 3) << command;
    EXPECT_THAT(result.err, HasSubstr("--trial: digits has no trial 77"));
  }
  v1::Job gang = Put("gang", v1::SUCCEEDED);
  gang.mutable_spec()->add_worker_pools()->set_replica_count(1);
  gang.mutable_spec()->add_worker_pools()->set_replica_count(3);
  server_.PutJob(gang);
  server_.PutLog(gang.name(), {Line("text")});
  EXPECT_EQ(Run({"logs", "gang", "--rank", "3"}).code, 0);
  const Result result = Run({"logs", "gang", "--rank", "4"});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, AllOf(HasSubstr("gang has no rank 4"), HasSubstr("ranks 0 to 3")));
}

TEST_F(JobWordsTest, StudyWithoutASuccessSaysWhetherOneMayCome) {
  PutStudy("going", v1::RUNNING, {v1::ACTIVE});
  EXPECT_THAT(Run({"best", "going"}).err, HasSubstr("no trial that succeeded yet"));
  PutStudy("failed", v1::FAILED, {v1::INFEASIBLE, v1::INFEASIBLE});
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"best", "failed"}, {"pull", "failed", server_.folder() + "/out"}}) {
    const Result result = Run(words);
    EXPECT_EQ(result.code, 3) << words[0];
    EXPECT_THAT(result.err, AllOf(HasSubstr("failed ended as FAILED and no trial of it succeeded"),
                                  Not(HasSubstr("wait"))))
        << words[0];
  }
}

TEST_F(JobWordsTest, FollowedLogEndsWithTheVerdict) {
  v1::Job bad = Put("bad", v1::FAILED);
  bad.mutable_error()->set_message("exit code 3");
  server_.PutJob(bad);
  server_.PutLog(bad.name(), {Line("text")});
  const Result failed = Run({"logs", "-f", "bad"});
  EXPECT_EQ(failed.code, 8);
  EXPECT_EQ(failed.out, "text\n");
  EXPECT_THAT(failed.err, HasSubstr("bad ended as FAILED: exit code 3"));
  EXPECT_EQ(Run({"logs", "bad"}).code, 0) << "reading is no following";
  Put("gone", v1::CANCELLED);
  EXPECT_EQ(Run({"jobs", "stream-logs", "gone"}).code, 8);
  Put("good", v1::SUCCEEDED);
  EXPECT_THAT(Run({"logs", "-f", "good"}).err, HasSubstr("good: SUCCEEDED\n"));
}

TEST_F(JobWordsTest, FollowedTuningJobEndsWithItsBestTrial) {
  PutStudy("digits", v1::SUCCEEDED, {v1::TRIAL_SUCCEEDED, v1::TRIAL_SUCCEEDED, v1::INFEASIBLE});
  const Result result = Run({"logs", "-f", "digits"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, AllOf(HasSubstr("best: trial 2, accuracy=0.7"),
                                HasSubstr("trainyard pull digits DIR")));
}

TEST_F(JobWordsTest, LogThatIsEmptySaysWhy) {
  Put("waits", v1::QUEUED);
  const Result result = Run({"logs", "waits"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, AllOf(HasSubstr("Nothing is printed yet: it needs 4 cores"),
                                HasSubstr("trainyard jobs logs -f waits")));
  Put("silent", v1::SUCCEEDED);
  EXPECT_EQ(Run({"logs", "silent"}).err, "Nothing was printed\n");
}

TEST_F(JobWordsTest, SeveralJobsThatAreWaitedForAreOneArray) {
  Put("a", v1::SUCCEEDED);
  Put("b", v1::FAILED);
  const Result both = Run({"jobs", "wait", "a", "b", "-o", "json"});
  EXPECT_EQ(both.code, 8);
  EXPECT_EQ(json::parse(both.out)[1]["state"], "FAILED");
  EXPECT_EQ(json::parse(Run({"jobs", "wait", "a", "-o", "json"}).out)["state"], "SUCCEEDED");
}

TEST_F(JobWordsTest, LogAsJsonIsOneArray) {
  const v1::Job job = Put("a", v1::SUCCEEDED);
  EXPECT_EQ(json::parse(Run({"logs", "a", "-o", "json"}).out), json::array());
  server_.PutLog(job.name(), {Line("one"), Line("two")});
  const json lines = json::parse(Run({"logs", "a", "-o", "json"}).out);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1]["text"], "two");
}

TEST_F(JobWordsTest, ValidateOnlyNeverReadsAsSubmitted) {
  const Result result = Run({"custom-jobs", "create", "v", "--validate-only", "--command",
                             "/bin/true", "--worker-pool-spec=machine-type=n1-standrd-4"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "v: valid; nothing was submitted\n");
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("there is no machine type n1-standrd-4"), Not(HasSubstr("follow"))));
  EXPECT_EQ(Run({"jobs", "describe", "v"}).code, 3);
}

TEST_F(JobWordsTest, JobDirThatIsNoBucketSaysWhatBecomesOfIt) {
  const auto notes_of = [&](const char* place) {
    return Run({"custom-jobs", "create", "v", "--validate-only", "--command", "/bin/true",
                "--job-dir", place})
        .err;
  };
  EXPECT_THAT(notes_of("out"), HasSubstr("note: the job dir out names no bucket"));
  EXPECT_THAT(notes_of("gs://team/out"), IsEmpty());
}

TEST_F(JobWordsTest, ModuleWithoutAPackageIsRefusedByEveryWayToSubmit) {
  const std::string file = server_.folder() + "/tuning.yaml";
  ASSERT_TRUE(WriteFileAtomically(file,
                                  "maxTrialCount: 2\nstudySpec:\n  metrics: [{metricId: a, goal: "
                                  "MAXIMIZE}]\n  parameters:\n  - parameterId: lr\n    "
                                  "doubleValueSpec: {minValue: 0, maxValue: 1}\ntrialJobSpec:\n  "
                                  "workerPoolSpecs:\n  - pythonPackageSpec: {pythonModule: a.b}\n")
                  .ok());
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"hp-tuning-jobs", "create", "t", "--config", file},
           {"custom-jobs", "create", "c", "--worker-pool-spec=python-module=a.b"},
           {"jobs", "submit", "training", "s", "--module-name", "a.b"}}) {
    const Result result = Run(words);
    EXPECT_EQ(result.code, 4) << words[0];
    EXPECT_THAT(result.err, HasSubstr("module \"a.b\" comes in no package")) << words[0];
  }
  const Result file_less = Run({"custom-jobs", "create", "c", "--command", "python3,train.py"});
  EXPECT_EQ(file_less.code, 4);
  EXPECT_THAT(file_less.err, HasSubstr("--command: \"train.py\" comes in no package"));
  EXPECT_TRUE(server_.submits().empty());
}

TEST_F(JobWordsTest, FaultsNameTheFlagThatSaidTheField) {
  EXPECT_THAT(Run({"custom-jobs", "create", "c", "--command", "/bin/true",
                   "--worker-pool-spec=replica-count=200000"})
                  .err,
              HasSubstr("--worker-pool-spec: "));
  EXPECT_THAT(Run({"run", "-d", "--env", "LD_PRELOAD=x", "/bin/true"}).err, HasSubstr("--env: "));
}

TEST_F(JobWordsTest, ArgumentsOfTheProgramBelongBehindDashes) {
  const Result result = Run({"jobs", "submit", "training", "a", "--train_steps", "10"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("goes after \"--\": ... -- --train_steps"));
}

TEST_F(JobWordsTest, ChoicesMayBeWrittenInAnyCase) {
  EXPECT_EQ(Run({"jobs", "list", "--state", "running", "-o", "JSON"}).out, "[]\n");
}

TEST_F(JobWordsTest, WhatIsToldMustBeANumber) {
  for (const char* value : {"loss=nan", "loss=inf", "loss=-inf"}) {
    const Result result = Run({"study", "tell", "s", "1", "--metric", value});
    EXPECT_EQ(result.code, 2) << value;
    EXPECT_THAT(result.err, HasSubstr("is no finite number")) << value;
  }
  EXPECT_THAT(Run({"study", "tell", "s", "1", "--metric", std::string(300, 'x') + "=1"}).err,
              HasSubstr("a name of 300 bytes"));
}

TEST_F(JobWordsTest, ValueToldAgainIsSaidToReplaceTheOneBefore) {
  PutStudy("s", v1::RUNNING, {v1::ACTIVE});
  const std::vector<std::string> tell = {"study", "tell", "s", "1", "--step", "3", "--metric"};
  const auto with = [&](const char* value) {
    std::vector<std::string> words = tell;
    words.emplace_back(value);
    return Run(words);
  };
  EXPECT_THAT(with("accuracy=0.5").err, IsEmpty());
  EXPECT_THAT(with("accuracy=0.5").err, IsEmpty());
  EXPECT_THAT(with("accuracy=0.25").err, HasSubstr("accuracy of step 3 was 0.5; it is replaced"));
}

TEST_F(JobWordsTest, QuotaOfNothingIsAWrongCommandLine) {
  EXPECT_EQ(Run({"quota", "set", "cluster"}).code, 2);
}

TEST_F(JobWordsTest, StudyGivenAsAJobIsToldTheFlag) {
  const std::string file = server_.folder() + "/study.yaml";
  ASSERT_TRUE(WriteFileAtomically(file,
                                  "metrics: [{metricId: a, goal: MAXIMIZE}]\nparameters:\n- "
                                  "parameterId: lr\n  doubleValueSpec: {minValue: 0, maxValue: "
                                  "1}\n")
                  .ok());
  const Result job = Run({"validate", file});
  EXPECT_EQ(job.code, 4);
  EXPECT_THAT(job.out, AllOf(HasSubstr("trainyard validate --study " + file),
                             Not(HasSubstr("nobody reads"))));
  EXPECT_EQ(Run({"validate", "--study", file}).code, 0);
  const Result created = Run({"hp-tuning-jobs", "create", "t", "--config", file});
  EXPECT_EQ(created.code, 4);
  EXPECT_THAT(created.err, HasSubstr("the file holds a study alone"));
}

TEST_F(JobWordsTest, JobGivenAsAStudyIsToldSo) {
  const std::string file = server_.folder() + "/job.yaml";
  ASSERT_TRUE(WriteFileAtomically(file,
                                  "maxTrialCount: 2\nstudySpec:\n  metrics: [{metricId: a, goal: "
                                  "MAXIMIZE}]\n  parameters:\n  - parameterId: lr\n    "
                                  "doubleValueSpec: {minValue: 0, maxValue: 1}\ntrainyard: "
                                  "{command: [/bin/true]}\n")
                  .ok());
  const Result result = Run({"study", "create", "s", "--config", file});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, AllOf(HasSubstr("the file holds a whole job, not a study"),
                                Not(HasSubstr("nobody reads"))));
  EXPECT_THAT(Run({"validate", "--study", file}).out, HasSubstr("trainyard validate " + file));
}

}  // namespace
}  // namespace trainyard::cli
