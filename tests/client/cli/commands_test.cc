// Whole commands against the fake scheduler: what goes to standard output, what to standard error,
// and the exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/client/cli/test_console.h"

namespace trainyard::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

v1::Job Job(const std::string& id, v1::JobState state) {
  v1::Job job;
  job.set_name("projects/default/jobs/" + id);
  job.set_uid(7);
  job.set_state(state);
  job.mutable_spec()->set_scale_tier("BASIC");
  job.mutable_spec()->mutable_program()->set_python_module("trainer.task");
  return job;
}

v1::LogLine Line(const std::string& text, int rank, bool is_stderr) {
  v1::LogLine line;
  line.set_text(text);
  line.set_rank(rank);
  line.set_is_stderr(is_stderr);
  line.set_cursor(absl::StrCat(rank, is_stderr, text.size()));
  return line;
}

class CommandsTest : public testing::Test {
 protected:
  Result Run(const std::vector<std::string>& words) { return RunAgainst(server_, words); }
  void PutThree() {
    for (const char* id : {"a", "b", "c"}) server_.PutJob(Job(id, v1::RUNNING));
  }
  // Trials are judged by the measurement of `step`, and went to step 20; 0: none is known.
  void PutTuningJob(int64_t step = 0) {
    v1::Job job = Job("digits", v1::RUNNING);
    v1::StudySpec* spec = job.mutable_spec()->mutable_study_spec();
    spec->add_metrics()->set_metric_id("accuracy");
    spec->add_parameters()->set_parameter_id("lr");
    v1::Study study;
    study.set_name("projects/default/studies/digits");
    *study.mutable_spec() = *spec;
    std::vector<v1::Trial> trials;
    for (int i = 1; i <= 3; ++i) {
      v1::Trial trial;
      trial.set_id(i);
      trial.set_name(absl::StrCat(study.name(), "/trials/", i));
      trial.set_state(v1::TRIAL_SUCCEEDED);
      v1::ParameterValue* lr = trial.add_parameters();
      lr->set_parameter_id("lr");
      lr->set_number(i / 8.0);
      v1::MetricValue* metric = trial.mutable_final_measurement()->add_metrics();
      metric->set_metric_id("accuracy");
      metric->set_value(i == 2 ? 0.97 : 0.5);
      trial.mutable_final_measurement()->set_step(step);
      trial.set_last_step(step > 0 ? 20 : 0);
      trials.push_back(trial);
    }
    server_.PutStudy(study, trials);
    server_.PutJob(job);
  }
  client::FakeServer server_;
};

TEST_F(CommandsTest, ListShowsEveryPageInEveryFormat) {
  PutThree();
  EXPECT_EQ(Run({"jobs", "list", "-o", "name"}).out,
            "projects/default/jobs/a\nprojects/default/jobs/b\nprojects/default/jobs/c\n");
  EXPECT_EQ(json::parse(Run({"jobs", "list", "-o", "json"}).out).size(), 3U);
  EXPECT_EQ(Run({"jobs", "list", "--limit", "2", "-o", "csv"}).out,
            "JOB,STATE,CREATED,TIME,TRIALS,DETAIL\r\na,RUNNING,,,,\r\nb,RUNNING,,,,\r\n");
  EXPECT_THAT(Run({"jobs", "list", "-o", "yaml"}).out,
              HasSubstr("- name: projects/default/jobs/a"));
  const Result table = Run({"jobs", "list"});
  EXPECT_THAT(table.out, HasSubstr("JOB  STATE    CREATED"));
  EXPECT_THAT(table.err, IsEmpty());
}

TEST_F(CommandsTest, EmptyListIsDataOnStdoutAndAHintOnStderr) {
  const Result result = Run({"jobs", "list"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "JOB  STATE  CREATED  TIME  TRIALS  DETAIL\n");
  EXPECT_THAT(result.err, HasSubstr("trainyard run"));
  EXPECT_EQ(json::parse(Run({"jobs", "list", "-o", "json"}).out), json::array());
}

TEST_F(CommandsTest, TuningAndPlainJobsAreListedApart) {
  PutThree();
  PutTuningJob();
  EXPECT_EQ(Run({"hp-tuning-jobs", "list", "-o", "name"}).out, "projects/default/jobs/digits\n");
  EXPECT_THAT(Run({"custom-jobs", "list", "-o", "name"}).out, Not(HasSubstr("digits")));
}

TEST_F(CommandsTest, ErrorsHaveExitCodesAndReasons) {
  EXPECT_EQ(Run({"jobs", "describe", "absent"}).code, 3);
  EXPECT_EQ(Run({"jobs", "describe", "9bad"}).code, 4);
  EXPECT_EQ(Run({"jobs", "list", "--token", "wrong"}).code, 5);
  EXPECT_EQ(Run({"jobs", "list", "--endpoint", "unix:/nowhere"}).code, 6);
  EXPECT_EQ(Run({"jobs"}).code, 0);
  const Result result = Run({"jobs", "describe", "absent", "-o", "json"});
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(json::parse(result.err)["faults"][0]["reason"], "NOT_FOUND");
}

TEST_F(CommandsTest, AJobsOwnReasonIsThatOfItsVerdict) {
  const auto reason_of = [&](const std::string& message) -> std::string {
    v1::Job bad = Job("bad", v1::FAILED);
    bad.mutable_error()->set_cause(v1::USER_ERROR);
    bad.mutable_error()->set_message(message);
    server_.PutJob(bad);
    const Result result = Run({"jobs", "wait", "bad", "-o", "json"});
    EXPECT_EQ(result.code, 8);
    return json::parse(result.err)["faults"][0]["reason"];
  };
  EXPECT_EQ(reason_of("ARGUMENT_REFUSED: Rank 0 exited"), "ARGUMENT_REFUSED");
  EXPECT_EQ(reason_of("2 trials failed; trial 1: METRIC_MISSING: never"), "METRIC_MISSING");
  EXPECT_EQ(reason_of("SCHEDULER_UNREACHABLE: stopped"), "SCHEDULER_UNREACHABLE");
  EXPECT_EQ(reason_of("Rank 0 exited with code 1: Error: TIMED_OUT: x"), "JOB_FAILED");
  EXPECT_EQ(reason_of("exit code 3"), "JOB_FAILED");
}

TEST_F(CommandsTest, WrongCommandLinesAreToldWholeAndAsJsonWhereAsked) {
  const Result text = Run({"jobs", "list", "--stat", "RUNNING", "--limitt", "3"});
  EXPECT_EQ(text.code, 2);
  EXPECT_THAT(text.err, HasSubstr("did you mean --state?"));
  EXPECT_THAT(text.err, HasSubstr("did you mean --limit?"));
  const Result result = Run({"jobs", "list", "--state", "RUNING", "-o", "json", "--limt", "3"});
  EXPECT_EQ(result.code, 2);
  const json faults = json::parse(result.err)["faults"];
  ASSERT_EQ(faults.size(), 2U);
  EXPECT_EQ(faults[0]["field"], "--state");
  EXPECT_EQ(faults[1]["fix"], "did you mean --limit?");
  EXPECT_THAT(Run({"jbos", "-o=jsonl"}).err, testing::StartsWith("{"));
}

TEST_F(CommandsTest, ConfigThatIsNotThereIsToldBeforeAnythingIsSent) {
  const Result result = Run({"jobs", "submit", "training", "iris_1", "--config", "/nowhere.yaml"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("/nowhere.yaml"));
  EXPECT_TRUE(server_.submits().empty());
}

TEST_F(CommandsTest, ConfigWithSeveralFaultsIsToldAllOfThemWithTheirPlaces) {
  const std::string file = server_.folder() + "/job.yaml";
  ASSERT_TRUE(WriteFileAtomically(file,
                                  "trainingInput:\n  scaleTier: STANDART_1\n"
                                  "  pythonModule: trainer.task\n  maxRuntime: 5\n")
                  .ok());
  const Result result = Run({"jobs", "submit", "training", "a", "--config", file});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("job.yaml:2:"));
  EXPECT_THAT(result.err, HasSubstr("did you mean STANDARD_1?"));
  EXPECT_THAT(result.err, HasSubstr("job.yaml:4:"));
  EXPECT_TRUE(server_.submits().empty());
}

TEST_F(CommandsTest, CustomJobFromACommand) {
  const Result result =
      Run({"custom-jobs", "create", "--display-name", "say hello", "--command", "/bin/echo",
           "--labels", "a=1,b=2", "--request-id", "r1", "--", "--hello", "world"});
  ASSERT_EQ(result.code, 0) << result.err;
  const v1::SubmitJobRequest request = server_.submits().at(0);
  EXPECT_EQ(request.job_id(), "say_hello");
  EXPECT_EQ(request.request_id(), "r1");
  EXPECT_EQ(request.spec().program().command(0), "/bin/echo");
  EXPECT_THAT(request.spec().program().args(), testing::ElementsAre("--hello", "world"));
  EXPECT_EQ(request.spec().labels().at("b"), "2");
  EXPECT_EQ(result.out, "jobId: say_hello\nstate: QUEUED\n");
  EXPECT_THAT(result.err, HasSubstr("trainyard jobs logs -f say_hello"));
}

TEST_F(CommandsTest, DerivedIdThatIsTakenGetsASuffix) {
  server_.PutJob(Job("hello", v1::RUNNING));
  const Result derived =
      Run({"custom-jobs", "create", "--display-name", "hello", "--command", "/bin/true", "-q"});
  EXPECT_EQ(derived.code, 0) << derived.err;
  EXPECT_THAT(derived.out, testing::MatchesRegex("hello_[0-9a-f]{6}\n"));
  const Result typed = Run({"custom-jobs", "create", "hello", "--command", "/bin/true"});
  EXPECT_EQ(typed.code, 4);
  EXPECT_THAT(typed.err, HasSubstr("taken"));
}

TEST_F(CommandsTest, FlagsWithoutEffectAreNoted) {
  const Result result = Run({"jobs", "list", "--region", "us-central1", "--verbosity", "debug"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("note: without effect here: --region"));
}

TEST_F(CommandsTest, LogsShowRanksOfGangsAndTextInJson) {
  v1::Job job = Job("a", v1::SUCCEEDED);
  job.mutable_spec()->add_worker_pools()->set_replica_count(2);
  server_.PutJob(job);
  server_.PutLog(job.name(), {Line("one", 0, false), Line("two \xff", 1, true)});
  EXPECT_EQ(Run({"logs", "a"}).out, "[rank 0] one\n[rank 1] two \xff\n");
  EXPECT_EQ(Run({"jobs", "logs", "a", "--rank", "0"}).out, "[rank 0] one\n");
  const Result lines = Run({"jobs", "logs", "a", "-o", "jsonl"});
  const json second = json::parse(lines.out.substr(lines.out.find('\n') + 1));
  EXPECT_EQ(second["rank"], 1);
  EXPECT_EQ(second["isStderr"], true);
  EXPECT_EQ(second["text"], "two \xEF\xBF\xBD");
  EXPECT_EQ(Run({"jobs", "logs", "a", "--rank", "0", "-o", "csv"}).out,
            "time,trial,rank,stream,text\r\n1970-01-01T00:00:00.000000Z,0,0,stdout,one\r\n");
  EXPECT_THAT(Run({"jobs", "logs", "a", "-o", "yaml"}).out, HasSubstr("text: one\n"));
}

TEST_F(CommandsTest, WaitTellsTheVerdictByItsExitCode) {
  server_.PutJob(Job("good", v1::SUCCEEDED));
  v1::Job bad = Job("bad", v1::FAILED);
  bad.mutable_error()->set_cause(v1::USER_ERROR);
  bad.mutable_error()->set_message("exit code 3");
  server_.PutJob(bad);
  EXPECT_EQ(Run({"jobs", "wait", "good"}).code, 0);
  const Result result = Run({"jobs", "wait", "good", "bad"});
  EXPECT_EQ(result.code, 8);
  EXPECT_EQ(result.out, "good  SUCCEEDED\nbad  FAILED\n");
  EXPECT_THAT(result.err, HasSubstr("exit code 3"));
  server_.PutJob(Job("slow", v1::RUNNING));
  EXPECT_EQ(Run({"jobs", "wait", "slow", "--timeout", "0.1"}).code, 7);
  EXPECT_EQ(Run({"jobs", "wait", "slow", "--for", "running"}).code, 0);
}

TEST_F(CommandsTest, CancelUpdateWhyDrain) {
  PutThree();
  EXPECT_THAT(Run({"jobs", "cancel", "a", "absent"}).err, HasSubstr("a: CANCELLED"));
  EXPECT_EQ(Run({"jobs", "cancel", "a", "absent"}).code, 3);
  EXPECT_EQ(server_.GetJob("projects/default/jobs/a").state(), v1::CANCELLED);
  EXPECT_EQ(Run({"jobs", "update", "b", "--update-labels", "x=1,y=2"}).code, 0);
  EXPECT_EQ(Run({"jobs", "update", "b", "--remove-labels", "x"}).code, 0);
  EXPECT_EQ(server_.GetJob("projects/default/jobs/b").labels().size(), 1U);
  EXPECT_EQ(Run({"jobs", "update", "b"}).code, 2);
  EXPECT_EQ(Run({"jobs", "why", "c"}).out,
            "needs 4 cores on one node, largest free is 1\n"
            "reason:      WAITING_FOR_RESOURCES\n"
            "place:       2\n"
            "behind:      first\n"
            "expected:    unknown, until runs like those ahead have ended\n"
            "would start: 3 more free cores on node local\n");
  v1::Node node;
  node.set_name("nodes/gpu_1");
  node.set_state(v1::READY);
  node.mutable_inventory()->set_cores(8);
  node.mutable_inventory()->set_memory_bytes(int64_t{16} << 30);
  node.set_cpu_milli_used(2500);
  server_.PutNode(node);
  EXPECT_EQ(Run({"nodes"}).out,
            "NODE   STATE  CORES    MEMORY  DEVICES  JOBS  REASON\n"
            "gpu_1  READY  2.5/8  0B/16.0G  -        0     \n");
  EXPECT_EQ(Run({"drain", "gpu_1", "--reason", "disk"}).out, "gpu_1: DRAINING\n");
  EXPECT_EQ(Run({"drain", "gpu_1", "--undo"}).out, "gpu_1: READY\n");
}

TEST_F(CommandsTest, BestShowsTheMetricsOfTheStepThatCounts) {
  PutTuningJob(/*step=*/10);
  std::vector<v1::MetricPoint> points;
  for (int64_t step : {5, 10, 20}) {
    points.emplace_back();
    points.back().set_name("other");
    points.back().set_trial(2);
    points.back().set_step(step);
    points.back().set_value(static_cast<double>(100 + step));
  }
  server_.PutMetrics(points);
  EXPECT_EQ(Run({"best", "digits"}).out,
            "trial:  2\nstep:   10 of 20\nparameters:\n  lr                   0.25\nmetrics:\n"
            "  accuracy             0.97\n  other                110\n");
  EXPECT_THAT(Run({"trials", "digits"}).out, HasSubstr("10 of 20"));
  EXPECT_THAT(Run({"trials", "digits", "-o", "csv"}).out, HasSubstr(",10,"));
}

TEST_F(CommandsTest, TrialsAndBestOfATuningJob) {
  PutTuningJob();
  v1::MetricPoint point;
  point.set_name("test_accuracy");
  point.set_trial(2);
  point.set_step(20);
  point.set_value(0.9625);
  server_.PutMetrics({point});
  EXPECT_EQ(Run({"trials", "digits"}).out,
            "TRIAL  STATE      accuracy  STEP  lr     TIME  NOTE\n"
            "    1  SUCCEEDED       0.5        0.125        \n"
            "    2  SUCCEEDED      0.97        0.25         best\n"
            "    3  SUCCEEDED       0.5        0.375        \n");
  const json best = json::parse(Run({"best", "digits", "-o", "json"}).out);
  EXPECT_EQ(best["id"], 2);
  EXPECT_EQ(best["lastMetrics"]["test_accuracy"], 0.9625);
  EXPECT_EQ(best["lastMetrics"]["accuracy"], 0.97);
  EXPECT_EQ(Run({"best", "digits"}).out,
            "trial:  2\nparameters:\n  lr                   0.25\nmetrics:\n"
            "  accuracy             0.97\n  test_accuracy        0.9625\n");
}

TEST_F(CommandsTest, StudyCommandsDriveAStudy) {
  const std::string file = server_.folder() + "/study.yaml";
  ASSERT_TRUE(WriteFileAtomically(file,
                                  "metrics:\n- metricId: loss\n  goal: MINIMIZE\nparameters:\n"
                                  "- parameterId: lr\n  doubleValueSpec: {minValue: 0.001, "
                                  "maxValue: 1}\n  scaleType: UNIT_LOG_SCALE\n")
                  .ok());
  const Result created = Run({"study", "create", "s", "--config", file});
  ASSERT_EQ(created.code, 0) << created.err;
  EXPECT_THAT(created.out, HasSubstr("goal:       minimize loss"));
  EXPECT_THAT(Run({"study", "ask", "s", "-o", "csv"}).out, HasSubstr("1,ACTIVE,,,0.25,adam,,"));
  EXPECT_EQ(Run({"study", "tell", "s", "1", "--step", "3", "--metric", "loss=0.5"}).out, "go on\n");
  EXPECT_EQ(Run({"study", "tell", "s", "1", "--step", "10", "--metric", "loss=0.4"}).out, "stop\n");
  EXPECT_EQ(Run({"study", "should-stop", "s", "1"}).out, "stop\n");
  EXPECT_EQ(Run({"study", "complete", "s", "1", "--metric", "loss=0.3"}).code, 0);
  EXPECT_THAT(Run({"study", "best", "s"}).out, HasSubstr("SUCCEEDED   0.3"));
  EXPECT_EQ(Run({"study", "ask", "s"}).code, 0);
  EXPECT_EQ(Run({"study", "complete", "s", "2", "--infeasible", "out of memory"}).code, 0);
  EXPECT_EQ(Run({"study", "export", "s", "-o", "csv"}).out,
            "trial,state,parameters,step,metric,value,final,why\r\n"
            "1,SUCCEEDED,lr=0.25 opt=adam,3,loss,0.5,false,\r\n"
            "1,SUCCEEDED,lr=0.25 opt=adam,10,loss,0.4,false,\r\n"
            "1,SUCCEEDED,lr=0.25 opt=adam,0,loss,0.3,true,\r\n"
            "2,INFEASIBLE,lr=0.5 opt=adam,,,,,out of memory\r\n");
  const std::string page = Run({"study", "importance", "s"}).out;
  EXPECT_THAT(page, HasSubstr("trials:  12"));
  EXPECT_THAT(page, HasSubstr("lr                 0.750      0.000  #######################\n"));
  EXPECT_THAT(page, HasSubstr("best trial, chance allowed for: 7 (0.25)"));
  EXPECT_THAT(page, HasSubstr("  lr                   0.125\n"));
  EXPECT_EQ(Run({"study", "importance", "s", "-o", "csv"}).out,
            "PARAMETER,SHARE,DEVIATION\r\nlr,0.750,0.000\r\nopt,0.050,0.000\r\n"
            "(acting together),0.200,\r\n");
  EXPECT_THAT(Run({"study", "importance", "s", "--metric", "acc", "-o", "json"}).out,
              HasSubstr("\"metricId\": \"acc\""));
  EXPECT_EQ(Run({"study", "importance", "none"}).code, 3);
  EXPECT_EQ(Run({"study", "list", "-o", "name"}).out, "projects/default/studies/s\n");
  EXPECT_EQ(Run({"study", "tell", "s", "x", "--metric", "loss=1"}).code, 2);
  EXPECT_EQ(Run({"study", "tell", "s", "1", "--metric", "loss"}).code, 2);
  EXPECT_EQ(Run({"study", "delete", "s"}).code, 2);
  EXPECT_EQ(Run({"study", "delete", "s", "--yes"}).code, 0);
  EXPECT_EQ(Run({"study", "describe", "s"}).code, 3);
}

TEST_F(CommandsTest, ValidateNeedsNoServerAndListsEveryFault) {
  const std::string file = server_.folder() + "/job.yaml";
  ASSERT_TRUE(WriteFileAtomically(file,
                                  "jobId: a\ntrainingInput:\n  scaleTier: BASIC\n  pythonModul: x\n"
                                  "  workerCount: many\n")
                  .ok());
  const Result text = Run({"validate", file, "--endpoint", "unix:/nowhere"});
  EXPECT_EQ(text.code, 4);
  EXPECT_THAT(text.out, HasSubstr("job.yaml:4:"));
  EXPECT_THAT(text.out, HasSubstr("job.yaml:5:"));
  EXPECT_THAT(text.out, HasSubstr("pythonModule"));
  const json faults = json::parse(Run({"validate", file, "-o", "json"}).out)["faults"];
  EXPECT_EQ(faults[0]["reason"], "UNKNOWN_FIELD");
  EXPECT_EQ(faults[0]["line"], 4);
  EXPECT_FALSE(faults[0]["fix"].get<std::string>().empty());
}

TEST_F(CommandsTest, TokensAreShownOnceOnStdoutAlone) {
  const Result result = Run({"token", "create", "ann", "--role", "viewer", "--ttl", "90d"});
  EXPECT_EQ(result.out, "ty_secret\n");
  EXPECT_THAT(Run({"token", "list"}).out, HasSubstr("t1     ann   VIEWER"));
  EXPECT_EQ(Run({"token", "revoke", "t1"}).code, 0);
  EXPECT_EQ(Run({"token", "revoke", "t2"}).code, 3);
  EXPECT_EQ(Run({"token", "create", "ann", "--role", "vewer"}).code, 2);
  EXPECT_EQ(Run({"join-token"}).out, "ty_join\n");
}

TEST_F(CommandsTest, VersionAsTextAndJson) {
  // The fake is of another age: it is told so, on stderr, and by the exit code.
  const Result text = Run({"version"});
  EXPECT_THAT(text.out, HasSubstr("server 9.9.9"));
  EXPECT_THAT(text.err, HasSubstr("more than one minor version apart"));
  EXPECT_EQ(text.code, 6);
  EXPECT_THAT(Run({"version", "-o", "csv"}).out, HasSubstr("SIDE,VERSION\r\nclient,"));
  const json version = json::parse(Run({"version", "--json"}).out);
  EXPECT_EQ(version["server"]["version"], "9.9.9");
  EXPECT_FALSE(version["client"]["version"].get<std::string>().empty());
  EXPECT_EQ(Run({"version", "--client", "--endpoint", "unix:/nowhere"}).err, "");
}

TEST_F(CommandsTest, ConfigIsWrittenReadAndRefusedWithANearestName) {
  EXPECT_EQ(Run({"config", "set", "project", "vision"}).code, 0);
  EXPECT_EQ(Run({"config", "get", "project"}).out, "vision\n");
  EXPECT_THAT(Run({"jobs", "describe", "a"}).err, HasSubstr("projects/vision/jobs/a"));
  const json list = json::parse(Run({"config", "list", "-o", "json"}).out);
  EXPECT_EQ(list[0]["from"], "TRAINYARD_ENDPOINT");
  EXPECT_THAT(list.dump(), Not(HasSubstr(client::kFakeToken)));
  EXPECT_THAT(Run({"config", "set", "projct", "x"}).err, HasSubstr("did you mean \"project\""));
  EXPECT_EQ(Run({"config", "unset", "project"}).code, 0);
  EXPECT_EQ(Run({"config", "get", "project"}).code, 3);
}

TEST_F(CommandsTest, DoctorNamesTheMendingCommand) {
  const Result result = Run({"doctor"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.out, HasSubstr("not in /nowhere"));
  EXPECT_THAT(result.out, HasSubstr("fix: bash deploy/build.sh"));
  EXPECT_THAT(result.out, HasSubstr("version 9.9.9"));
  for (const json& check : json::parse(Run({"doctor", "-o", "json"}).out)) {
    if (check["health"] == "ok") continue;
    EXPECT_FALSE(check["fix"].get<std::string>().empty()) << check;
  }
}

TEST_F(CommandsTest, DoctorFindsATokenThatOthersCanRead) {
  ASSERT_EQ(Run({"config", "set", "token", "ty_x"}).code, 0);
  EXPECT_THAT(Run({"doctor"}).out, Not(HasSubstr("others can read")));
  const std::string file = server_.folder() + "/.config/trainyard/config.yaml";
  ASSERT_EQ(chmod(file.c_str(), 0644), 0);
  EXPECT_THAT(Run({"doctor"}).out, HasSubstr("fix: chmod 600 " + file));
}

TEST_F(CommandsTest, UpRefusesAForeignEndpoint) {
  const Result result = Run({"up"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("unset TRAINYARD_ENDPOINT"));
}

}  // namespace
}  // namespace trainyard::cli
