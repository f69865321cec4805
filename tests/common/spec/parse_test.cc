// What the parser makes of values, shapes and several faults at once, beyond the golden files.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/errors.h"
#include "common/spec/spec.h"

namespace trainyard::spec {
namespace {

std::string ReasonsOf(const v1::Faults& faults, bool notes = false) {
  std::string reasons;
  for (const v1::Fault& fault : faults.faults()) {
    if (fault.is_note() != notes) continue;
    absl::StrAppend(&reasons, reasons.empty() ? "" : " ", fault.reason(), "@", fault.line(), ":",
                    fault.column());
    EXPECT_TRUE(notes || !fault.fix().empty());
  }
  return reasons;
}

std::string Validate(const std::string& text) {
  return ReasonsOf(ValidateJobSpec(text, "f.yaml", DefaultTiers()).faults);
}

TEST(ParseTest, AllFaultsOfTheFileInOrderOfLine) {
  EXPECT_EQ(Validate("displayName: x\n"
                     "maxTrialCount: many\n"
                     "studySpec:\n"
                     "  metrics: [{metricId: a, goal: UP}]\n"
                     "  parameters:\n"
                     "    - parameterId: lr\n"
                     "      doubleValueSpec: {minValue: 2, maxValue: 1}\n"
                     "  algoritm: GRID_SEARCH\n"
                     "trialJobSpec:\n"
                     "  workerPoolSpecs:\n"
                     "    - replicaCount: 1.5\n"
                     "      pythonPackageSpec: {pythonModule: a/b.py}\n"
                     "trainyard: {grace: soon}\n"),
            "WRONG_TYPE@2:16 BAD_ENUM@4:33 BAD_SEARCH_SPACE@7:24 UNKNOWN_FIELD@8:3 "
            "WRONG_TYPE@11:21 BAD_VALUE@12:41 BAD_DURATION@13:20");
}

TEST(ParseTest, AFaultIsNotFollowedByItsConsequences) {
  // The misspelt module must not also be a missing program, the bad bound no empty range.
  EXPECT_EQ(Validate("workerPoolSpecs:\n  - pythonPackageSpec: {pythonModul: a.b}\n"),
            "UNKNOWN_FIELD@2:25");
  EXPECT_EQ(Validate("trainingInput:\n  pythonModule: a.b\n  hyperparameters:\n"
                     "    params: [{parameterName: x, type: DOUBLE, minValue: q, maxValue: -1}]\n"),
            "WRONG_TYPE@4:57");
}

TEST(ParseTest, NamesThatAreMeantAreFoundAlsoWhenTheyAreFar) {
  const std::string ml_engine =
      "trainingInput:\n  pythonModule: a.b\n  hyperparameters:\n    params: [{parameterName: x, "
      "type: DOUBLE, minValue: 1, maxValue: 2, scaleType: LOG}]\n";
  const std::string nested =
      "maxTrialCount: 2\nstudySpec:\n  metrics: [{metricId: a, goal: MAX}]\n  parameters:\n    - "
      "parameterId: x\n      doubleValueSpec: {min: 1, minValue: 1, maxValue: 2}\n      params: 1\n"
      "  parallelTrialCount: 2\ntrainyard: {command: [/bin/true]}\nresources: {cpu: 1}\n";
  const auto fixes = [](const std::string& text) {
    std::string all;
    const ParseResult result = ValidateJobSpec(text, "f.yaml", DefaultTiers());
    for (const v1::Fault& fault : result.faults.faults()) {
      absl::StrAppend(&all, fault.field(), ": ", fault.fix(), "\n");
    }
    return all;
  };
  EXPECT_EQ(fixes(ml_engine),
            "trainingInput.hyperparameters.params[0].scaleType: did you mean UNIT_LOG_SCALE?\n");
  EXPECT_EQ(fixes(nested),
            "studySpec.metrics[0].goal: did you mean MAXIMIZE?\n"
            "studySpec.parameters[0].doubleValueSpec.min: did you mean minValue?\n"
            "studySpec.parameters[0].params: did you mean parameterId?\n"
            "studySpec.parallelTrialCount: write it at the top, beside studySpec\n"
            "resources: write it below trainyard\n");
}

TEST(ParseTest, ScalarsOfEachType) {
  const std::string head = "trainyard:\n  command: [x]\n  ";
  EXPECT_EQ(Validate(head + "hold: TRUE\n"), "");
  EXPECT_EQ(Validate(head + "hold: \"true\"\n"), "WRONG_TYPE@3:9");
  EXPECT_EQ(Validate(head + "hold: yes\n"), "WRONG_TYPE@3:9");
  EXPECT_EQ(Validate(head + "hold:\n").substr(0, 10), "WRONG_TYPE");
  EXPECT_EQ(Validate(head + "retries: +3\n"), "");
  EXPECT_EQ(Validate(head + "retries: 0x10\n"), "WRONG_TYPE@3:12");
  EXPECT_EQ(Validate(head + "retries: 1_000\n"), "WRONG_TYPE@3:12");
  EXPECT_EQ(Validate(head + "retries: []\n"), "WRONG_TYPE@3:12");
  EXPECT_EQ(Validate(head + "resources: {cpu: nan}\n"), "WRONG_TYPE@3:20");
  EXPECT_EQ(Validate(head + "resources: {cpu: 1e999}\n"), "OUT_OF_RANGE@3:20");
  EXPECT_EQ(Validate(head + "resources: {cpu: -1}\n"), "OUT_OF_RANGE@3:20");
  EXPECT_EQ(Validate(head + "resources: {memory: 12 potatoes}\n"), "BAD_VALUE@3:23");
  EXPECT_EQ(Validate(head + "launcher: mpi-run\n"), "BAD_ENUM@3:13");
  EXPECT_EQ(Validate(head + "env: [a, b]\n"), "WRONG_TYPE@3:8");
  EXPECT_EQ(Validate(head + "env: {A: [1]}\n"), "WRONG_TYPE@3:12");
}

TEST(ParseTest, NumbersAreTextsWhereTextsBelong) {
  const ParseResult result =
      ParseJobSpec("trainyard:\n  command: [x, 1, 0.10, true, \"\"]\n", "f.yaml");
  ASSERT_TRUE(result.ok()) << FormatFaults(result.faults);
  ASSERT_EQ(result.spec.program().command_size(), 5);
  EXPECT_EQ(result.spec.program().command(2), "0.10");
  EXPECT_EQ(result.spec.program().command(3), "true");
}

TEST(ParseTest, ShapesOfRoots) {
  EXPECT_EQ(Validate("[1, 2]\n"), "WRONG_TYPE@1:1");
  EXPECT_EQ(Validate("hello\n"), "WRONG_TYPE@1:1");
  EXPECT_EQ(Validate("zzz: 1\n"), "UNKNOWN_FIELD@1:1");
  // Keys one level too high are told so.
  EXPECT_EQ(Validate("scaleTier: BASIC\npythonModule: a.b\n"),
            "UNKNOWN_FIELD@1:1 UNKNOWN_FIELD@2:1");
  const ParseResult result = ParseJobSpec("scaleTier: BASIC\n", "f.yaml");
  EXPECT_EQ(result.faults.faults(0).fix(), "put it below trainingInput:");
  // A misspelt sign still tells the shape.
  EXPECT_EQ(Validate("trainingInputs:\n  pythonModule: a.b\n"), "UNKNOWN_FIELD@1:1");
  EXPECT_EQ(Validate("trainingInput: nothing\n"), "WRONG_TYPE@1:16");
}

TEST(ParseTest, PoolsThatRunOtherThings) {
  const std::string pool = "  - pythonPackageSpec: {pythonModule: a.b}\n";
  EXPECT_EQ(Validate("workerPoolSpecs:\n" + pool + "  - pythonPackageSpec: {pythonModule: c.d}\n"),
            "NOT_SUPPORTED@3:5");
  EXPECT_EQ(Validate("workerPoolSpecs:\n" + pool + "  - {}\n  - {}\n" + pool), "NOT_SUPPORTED@5:5");
  EXPECT_EQ(
      Validate("workerPoolSpecs:\n" + pool + "  - {replicaCount: 0}\n  - {replicaCount: 3}\n"), "");
  EXPECT_EQ(Validate("workerPoolSpecs: []\n").substr(0, 17), "MISSING_FIELD@1:1");
  EXPECT_EQ(Validate("workerPoolSpecs:\n  - containerSpec: {command: [x]}\n"
                     "    pythonPackageSpec: {pythonModule: a.b}\n"),
            "CONFLICT@3:24");
}

TEST(ParseTest, ACommandStandsInForAnImage) {
  const std::string text =
      "workerPoolSpecs:\n  - containerSpec: {imageUri: gcr.io/x/y, args: [a]}\n"
      "trainyard: {command: [./run]}\n";
  const ParseResult result = ValidateJobSpec(text, "f.yaml", DefaultTiers());
  EXPECT_EQ(ReasonsOf(result.faults), "");
  EXPECT_EQ(ReasonsOf(result.faults, true), "IGNORED_FIELD@2:31");
  EXPECT_EQ(result.spec.program().command(0), "./run");
  EXPECT_EQ(result.spec.program().args(0), "a");
  EXPECT_EQ(result.spec.notes_size(), 1);
}

TEST(ParseTest, MlEngineRules) {
  const std::string head = "trainingInput:\n  pythonModule: a.b\n  ";
  EXPECT_EQ(Validate(head + "workerCount: 3\n"), "CONFLICT@3:16");
  EXPECT_EQ(Validate(head + "scaleTier: BASIC_TPU\n"), "NOT_SUPPORTED@3:14");
  EXPECT_EQ(Validate(head + "evaluatorCount: 1\n"), "NOT_SUPPORTED@3:19");
  EXPECT_EQ(Validate(head + "masterConfig: {imageUri: gcr.io/x}\n"), "NOT_SUPPORTED@3:28");
  EXPECT_EQ(Validate(head + "scheduling: {priority: 1001}\n"), "OUT_OF_RANGE@3:26");
  EXPECT_EQ(
      Validate(head + "hyperparameters:\n    params:\n      - {parameterName: n, type: INTEGER,"
                      " minValue: 0.5, maxValue: 3}\n"),
      "WRONG_TYPE@5:53");
  EXPECT_EQ(
      Validate(head + "hyperparameters:\n    params:\n      - {parameterName: n, type: DOUBLE,"
                      " minValue: 0, maxValue: 3, discreteValues: [1]}\n"),
      "CONFLICT@5:84");
  EXPECT_EQ(Validate("predictionInput: {}\njobId: a\n"), "MISSING_FIELD@1:1 NOT_SUPPORTED@1:18");
}

TEST(ParseTest, PlacesServeFaultsOfLaterSteps) {
  const ParseResult parsed = ParseJobSpec(
      "displayName: x\nstudySpec:\n  metrics: [{metricId: a, goal: MAXIMIZE}]\n"
      "  parameters:\n    - {parameterId: n, integerValueSpec: {minValue: 1, maxValue: 9}}\n"
      "  algorithm: grid\nmaxTrialCount: 9\ntrialJobSpec:\n  workerPoolSpecs:\n"
      "    - pythonPackageSpec: {pythonModule: a.b}\n",
      "f.yaml");
  ASSERT_TRUE(parsed.ok()) << FormatFaults(parsed.faults);
  // A flag lowers the number of trials: the fault still names the line of the file.
  v1::JobSpec spec = parsed.spec;
  spec.set_max_trial_count(4);
  v1::Faults faults = ResolveJobSpec(DefaultTiers(), &spec);
  PlaceFaults(parsed, &faults);
  ASSERT_EQ(ReasonsOf(faults), "GRID_TOO_LARGE@6:14");
  EXPECT_EQ(faults.faults(0).field(), "studySpec.algorithm");
  EXPECT_EQ(faults.faults(0).file(), "f.yaml");
}

TEST(ParseTest, WhatTheSchedulerRefusesHasItsPlaceInTheFile) {
  const ParseResult parsed = ParseJobSpec(
      "jobId: a\ntrainingInput:\n  pythonModule: a.b\ntrainyard:\n  queue: nigth\n  after: [b]\n",
      "f.yaml");
  ASSERT_TRUE(parsed.ok()) << FormatFaults(parsed.faults);
  v1::Faults faults;
  for (const char* field : {"job_id", "scheduling.queue", "scheduling.after[0].job"}) {
    v1::Fault* const fault = faults.add_faults();
    fault->set_reason("NOT_FOUND");
    fault->set_field(field);
    fault->set_fix("x");
  }
  PlaceFaults(parsed, &faults);
  EXPECT_EQ(ReasonsOf(faults), "NOT_FOUND@1:8 NOT_FOUND@5:10 NOT_FOUND@6:10");
  EXPECT_EQ(faults.faults(1).field(), "trainyard.queue");
}

TEST(ParseTest, ReplicasThatTheTierGivesCountForTheFewest) {
  EXPECT_EQ(Validate("trainyard: {command: [/bin/true], minReplicas: 4}\n"), "OUT_OF_RANGE@1:48");
  EXPECT_EQ(Validate("trainyard: {command: [/bin/true], minReplicas: 1}\n"), "");
}

TEST(ParseTest, ABucketWithOneSlashIsNoFolder) {
  const auto with = [](const std::string& place) {
    return ValidateJobSpec("trainingInput:\n  pythonModule: a.b\n  jobDir: " + place + "\n",
                           "f.yaml", DefaultTiers())
        .faults;
  };
  EXPECT_EQ(ReasonsOf(with("gs://team/x")), "");
  for (const char* place : {"gs:/team/x", "gs:team/x"}) {
    const v1::Faults faults = with(place);
    ASSERT_EQ(ReasonsOf(faults), "BAD_VALUE@3:11") << place;
    EXPECT_EQ(faults.faults(0).fix(), "write gs://team/x");
  }
}

TEST(ParseTest, BareStudies) {
  const std::string study =
      "metrics: [{metricId: loss, goal: MINIMIZE}]\n"
      "parameters: [{parameterId: x, doubleValueSpec: {minValue: 0, maxValue: 1}}]\n";
  EXPECT_TRUE(ParseStudySpec(study, "s.yaml").ok());
  const StudyParseResult nested = ParseStudySpec(
      "studySpec:\n  " + absl::StrReplaceAll(study, {{"\n", "\n  "}}) + "\n", "s.yaml");
  EXPECT_TRUE(nested.ok()) << FormatFaults(nested.faults);
  EXPECT_EQ(nested.spec.parameters(0).parameter_id(), "x");
  EXPECT_EQ(ReasonsOf(ParseStudySpec("metrics: []\nparameters: 3\n", "s.yaml").faults),
            "MISSING_FIELD@1:10 WRONG_TYPE@2:13");
}

TEST(ParseTest, StudyKeysNeedAStudy) {
  EXPECT_EQ(Validate("trainyard:\n  command: [x]\n  seed: 3\n"), "CONFLICT@2:3");
}

TEST(ParseTest, AcceleratorsAreTakenByTheirBareNames) {
  const std::string head =
      "workerPoolSpecs:\n  - machineSpec: {machineType: n1-standard-4, acceleratorType: ";
  const std::string tail =
      ", acceleratorCount: 1}\n    pythonPackageSpec: {pythonModule: a.b, packageUris: [a]}\n";
  for (const char* name : {"NVIDIA_T4", "T4", "nvidia-tesla-t4"}) {
    const ParseResult parsed = ParseJobSpec(head + name + tail, "j.yaml");
    ASSERT_TRUE(parsed.ok()) << name << FormatFaults(parsed.faults);
    EXPECT_EQ(parsed.spec.worker_pools(0).resources().gpu_models(0), "T4") << name;
  }
  EXPECT_EQ(Validate(head + "NVIDIA_T5" + tail), "BAD_ENUM@2:64");
}

TEST(ParseTest, ALongDurationIsNoFaultOfItsWords) {
  EXPECT_EQ(FaultsOf(ParseDurationSeconds("99999999d").status()).faults(0).message(),
            "\"99999999d\" is too long a duration");
}

TEST(ParseTest, TheJobsOwnArgumentIsNoParameter) {
  EXPECT_EQ(Validate("maxTrialCount: 3\nstudySpec:\n  metrics: [{metricId: a, goal: MAXIMIZE}]\n"
                     "  parameters:\n    - {parameterId: job-dir, doubleValueSpec: {minValue: 0, "
                     "maxValue: 1}}\n"
                     "trainyard:\n  command: [x]\n"),
            "BAD_NAME@5:21");
}

TEST(ParseTest, InitialTrialsAreValuesOfTheSpace) {
  const std::string head =
      "maxTrialCount: 3\nstudySpec:\n  metrics: [{metricId: a, goal: MAXIMIZE}]\n  parameters:\n"
      "    - {parameterId: n, integerValueSpec: {minValue: 1, maxValue: 9}}\n"
      "    - {parameterId: c, categoricalValueSpec: {values: [\"1\", \"2\"]}}\n"
      "trainyard:\n  command: [x]\n  initialTrials: ";
  EXPECT_EQ(Validate(head + "[{n: 3, c: 1}]\n"), "");
  EXPECT_EQ(Validate(head + "[{n: 10}, {c: 3}, {m: 1}]\n"),
            "BAD_SEARCH_SPACE@9:19 BAD_SEARCH_SPACE@9:28 BAD_SEARCH_SPACE@9:36");
}

}  // namespace
}  // namespace trainyard::spec
