// Time of one suggestion over histories of growing length: six parameters, one thread, medians.
// Each suggestion follows one new result, as in a study under way.
//   tuning_latency [--algorithm=GP] [--sizes=100,500,1000] [--asks=21]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "bench/tuning/problems.h"
#include "common/random.h"
#include "scheduler/tuning/tuning.h"

ABSL_FLAG(std::string, algorithm, "ALGORITHM_UNSPECIFIED", "as in the spec");
ABSL_FLAG(std::string, sizes, "100,500,1000,10000,100000", "trials in the history");
ABSL_FLAG(int, asks, 41, "suggestions a size");

namespace trainyard::bench {
namespace {

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
    const auto begin = std::chrono::steady_clock::now();
    auto result = (*optimizer)->Suggest(id, 1);
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
            .count());
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
