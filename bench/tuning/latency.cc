// Time of one suggestion over histories of growing length: six parameters, medians of the thread's
// processor time.
// Each suggestion follows one new result, as in a study under way.
//   tuning_latency [--algorithm=GP] [--sizes=100,500,1000] [--asks=21] [--importance=true]
// With --importance: the time to learn what 10,000 trials of 30 parameters tell about importance.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bench/tuning/problems.h"
#include "common/random.h"
#include "scheduler/tuning/insight.h"
#include "scheduler/tuning/tuning.h"

ABSL_FLAG(std::string, algorithm, "ALGORITHM_UNSPECIFIED", "as in the spec");
ABSL_FLAG(std::string, sizes, "100,500,1000,10000,100000", "trials in the history");
ABSL_FLAG(int, asks, 41, "suggestions a size");
ABSL_FLAG(bool, importance, false, "measure importance instead");

namespace trainyard::bench {
namespace {

// Of this thread: what the machine does besides does not count.
double CpuMilliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

tuning::TrialRecord Record(int32_t id, std::vector<v1::ParameterValue> parameters, double loss) {
  tuning::TrialRecord record;
  record.id = id;
  record.state = v1::TRIAL_SUCCEEDED;
  record.parameters = std::move(parameters);
  auto* metric = record.final_measurement.emplace().add_metrics();
  metric->set_metric_id("loss");
  metric->set_value(loss);
  return record;
}

void MeasureImportance() {
  constexpr int kParameters = 30;
  constexpr int kTrials = 10000;
  v1::StudySpec spec;
  auto* metric = spec.add_metrics();
  metric->set_metric_id("loss");
  metric->set_goal(v1::StudySpec::MINIMIZE);
  for (int d = 0; d < kParameters; ++d) {
    auto* parameter = spec.add_parameters();
    parameter->set_parameter_id(absl::StrCat("x", d));
    parameter->mutable_double_range()->set_max(1);
  }
  Random random(5);
  std::vector<tuning::TrialRecord> trials;
  for (int32_t id = 1; id <= kTrials; ++id) {
    std::vector<v1::ParameterValue> parameters;
    double loss = 0;
    for (int d = 0; d < kParameters; ++d) {
      parameters.emplace_back();
      parameters.back().set_parameter_id(absl::StrCat("x", d));
      parameters.back().set_number(random.Uniform());
      loss += parameters.back().number() / (1 + d);
    }
    trials.push_back(Record(id, std::move(parameters), loss));
  }
  std::vector<double> milliseconds;
  for (int i = 0; i < 5; ++i) {
    const double begin = CpuMilliseconds();
    const auto insight = tuning::MakeInsight(spec, trials, "");
    milliseconds.push_back(CpuMilliseconds() - begin);
    if (!insight.ok()) return;
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("importance of %d parameters over %d trials: p50 %.1f ms\n", kParameters, kTrials,
              milliseconds[2]);
}

void Measure(const Problem& problem, int size) {
  auto optimizer = tuning::MakeOptimizer(problem.spec, 1);
  if (!optimizer.ok()) {
    std::printf("%s\n", optimizer.status().ToString().c_str());
    return;
  }
  Random random(5);
  int32_t id = 1;
  for (; id <= size; ++id) {
    std::vector<v1::ParameterValue> parameters;
    for (const auto& parameter : problem.spec.parameters()) {
      parameters.emplace_back();
      parameters.back().set_parameter_id(parameter.parameter_id());
      parameters.back().set_number(random.Uniform());
    }
    const double loss = problem.loss(Values(parameters));
    (*optimizer)->Observe(Record(id, std::move(parameters), loss));
  }
  std::vector<double> milliseconds;
  for (int i = 0; i < absl::GetFlag(FLAGS_asks); ++i, ++id) {
    const double begin = CpuMilliseconds();
    auto result = (*optimizer)->Suggest(id, 1);
    milliseconds.push_back(CpuMilliseconds() - begin);
    if (!result.ok() || result->suggestions.empty()) return;
    const auto& parameters = result->suggestions[0].parameters;
    (*optimizer)->Observe(Record(id, parameters, problem.loss(Values(parameters))));
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  const auto at = [&](double q) {
    return milliseconds[static_cast<size_t>(q * static_cast<double>(milliseconds.size() - 1))];
  };
  std::printf("%8d trials: p50 %9.3f ms   p95 %9.3f ms\n", size, at(0.5), at(0.95));
  std::fflush(stdout);
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  if (absl::GetFlag(FLAGS_importance)) {
    trainyard::bench::MeasureImportance();
    return 0;
  }
  auto problem = trainyard::bench::MakeProblem("hartmann6");
  trainyard::v1::StudySpec::Algorithm algorithm = trainyard::v1::StudySpec::ALGORITHM_UNSPECIFIED;
  trainyard::v1::StudySpec::Algorithm_Parse(absl::GetFlag(FLAGS_algorithm), &algorithm);
  problem.spec.set_algorithm(algorithm);
  for (const auto& text :
       std::vector<std::string>(absl::StrSplit(absl::GetFlag(FLAGS_sizes), ','))) {
    int size = 0;
    if (absl::SimpleAtoi(text, &size)) trainyard::bench::Measure(problem, size);
  }
  return 0;
}
