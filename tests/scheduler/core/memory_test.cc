// A hundred thousand waiting jobs fit into a hundred megabytes, request ids and all; and what one
// command costs does not grow with them.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/sha256.h"
#include "scheduler/core/state_rows.h"
#include "tests/sanitized.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

constexpr int kJobs = 100'000;

// A spec as the command line makes it for a script with a few arguments.
v1::JobSpec UsualSpec() {
  Spec spec;
  spec.spec.set_scale_tier("BASIC");
  spec.spec.mutable_program()->set_python_module("trainer.task");
  v1::PackageRef* package = spec.spec.mutable_program()->add_packages();
  package->set_uri("trainer");
  package->set_digest(std::string(32, 'd'));
  for (const char* arg : {"--train_steps", "1000", "--learning_rate", "0.1", "--outdir", "out"}) {
    spec.spec.mutable_program()->add_args(arg);
  }
  spec.spec.set_job_dir("gs://team/experiments/first");
  return spec.spec;
}

TEST(MemoryTest, HundredThousandWaitingJobsFitIntoAHundredMegabytes) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator does not count like the usual one";
  State state;
  Touched touched;
  const auto apply = [&](const Command& command) {
    const absl::StatusOr<Decision> decision = Decide(state, command);
    ASSERT_TRUE(decision.ok()) << decision.status();
    for (records::Event event : decision->events) {
      event.set_sequence(state.sequence + 1);
      Apply(event, &state, &touched);
    }
    touched.Clear();
  };
  Command start;
  start.principal = System();
  start.body = StartServer{"test", 1};
  apply(start);
  const size_t before = mallinfo2().uordblks;
  Command submit;
  submit.principal = Admin();
  SubmitJob body{"default", "", UsualSpec(), false};
  for (int i = 0; i < kJobs; ++i) {
    submit.now_us = 1'700'000'000'000'000 + i;
    submit.request_id = absl::StrCat("0b9f4f0e-5b1c-4c39-8a65-", 100'000'000'000 + i);
    submit.body_hash = Sha256Of(submit.request_id);
    body.job_id = absl::StrCat("experiment-", i);
    submit.body = body;
    apply(submit);
  }
  const size_t after = mallinfo2().uordblks;
  const double megabytes = static_cast<double>(after - before) / 1e6;
  std::printf("%d waiting jobs: %.1f MB\n", kJobs, megabytes);
  EXPECT_EQ(state.waiting_runs.size(), static_cast<size_t>(kJobs));
  EXPECT_LT(megabytes, 100);
}

// A trial of ten parameters that was asked for, measured and completed by a client.
records::TrialRow EndedTrial(int32_t id) {
  records::TrialRow trial;
  trial.set_study_uid(7);
  trial.set_id(id);
  trial.set_state(v1::TRIAL_SUCCEEDED);
  for (int p = 0; p < 10; ++p) {
    v1::ParameterValue* value = trial.add_parameters();
    value->set_parameter_id(absl::StrCat("parameter_", p));
    value->set_number(0.001 * id + p);
  }
  trial.mutable_final_measurement()->set_step(1);
  trial.mutable_final_measurement()->add_metrics()->set_metric_id("loss");
  trial.mutable_final_measurement()->mutable_metrics(0)->set_value(1.0 / id);
  trial.set_request_us(1'700'000'000'000'000 + id);
  trial.set_start_us(1'700'000'000'000'001 + id);
  trial.set_end_us(1'700'000'000'000'002 + id);
  trial.set_client_id("worker-17");
  trial.set_seed(0x9e3779b97f4a7c15u * static_cast<uint64_t>(id));
  trial.set_revision(static_cast<uint64_t>(id));
  return trial;
}

TEST(MemoryTest, TwentyThousandEndedTrialsFitIntoTenMegabytes) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator does not count like the usual one";
  constexpr int kTrials = 20'000;
  State state;
  Touched touched;
  StateRows rows(&state, &touched);
  const size_t before = mallinfo2().uordblks;
  for (int id = 1; id <= kTrials; ++id) {
    rows.PutTrial(std::make_shared<const records::TrialRow>(EndedTrial(id)));
    touched.Clear();
  }
  const double megabytes = static_cast<double>(mallinfo2().uordblks - before) / 1e6;
  std::printf("%d ended trials: %.1f MB\n", kTrials, megabytes);
  EXPECT_LT(megabytes, 10);
  EXPECT_EQ(rows.Trial({7, 5})->SerializeAsString(), EndedTrial(5).SerializeAsString());
}

}  // namespace
}  // namespace trainyard::core
