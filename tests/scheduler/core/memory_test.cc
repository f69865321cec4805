// A hundred thousand waiting jobs fit into a hundred megabytes, request ids and all; and what one
// command costs does not grow with them.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/sha256.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

#ifdef TRAINYARD_SANITIZED
constexpr bool kOwnAllocator = true;
#else
constexpr bool kOwnAllocator = false;
#endif

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
  if (kOwnAllocator) GTEST_SKIP() << "a sanitizer's allocator does not count like the usual one";
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

}  // namespace
}  // namespace trainyard::core
