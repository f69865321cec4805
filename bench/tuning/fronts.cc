// Two goals at once: the area that a study's Pareto front beats below a reference point, medians
// with quartiles over seeds, in parts of the whole where that is known. Larger is better.
//   tuning_fronts [--seeds=20] [--trials=60] [--algorithm=RANDOM]
// Problems: zdt1 (Zitzler, Deb, Thiele 2000; six parameters, second goal over 4, reference 1, 1);
// branin_currin (reference 18, 6); mixed7_size (the loss of mixed7 against layers times log2 of
// units, over 100; reference 0.3, 1).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "bench/tuning/problems.h"
#include "scheduler/tuning/tuning.h"

ABSL_FLAG(int, seeds, 20, "studies a problem");
ABSL_FLAG(int, trials, 60, "trials of a study");
ABSL_FLAG(std::string, algorithm, "ALGORITHM_UNSPECIFIED", "as in the spec");

namespace trainyard::bench {
namespace {

using Pair = std::pair<double, double>;

struct TwoGoals {
  std::string name;
  v1::StudySpec spec;
  std::function<Pair(const Values&)> goals;
  Pair reference;
  double whole;  // area of the true front, 1 when nobody knows it
};

Pair Zdt1(const Values& v) {
  double g = 1;
  for (int d = 1; d < 6; ++d) g += 9.0 / 5 * v(absl::StrCat("x", d));
  return {v("x0"), g * (1 - std::sqrt(v("x0") / g)) / 4};
}

Pair BraninCurrin(const Values& v) {
  const double x = v("x0");
  const double y = v("x1");
  const double a = 15 * x - 5;
  const double b = 15 * y - 5.1 / (4 * M_PI * M_PI) * a * a + 5 / M_PI * a - 6;
  const double branin = b * b + 10 * (1 - 1 / (8 * M_PI)) * std::cos(a) + 10;
  const double share = y > 0 ? 1 - std::exp(-0.5 / y) : 1;
  const double currin = share * (2300 * x * x * x + 1900 * x * x + 2092 * x + 60) /
                        (100 * x * x * x + 500 * x * x + 4 * x + 20);
  return {branin, currin};
}

void AddGoal(const std::string& id, v1::StudySpec* spec) {
  auto* metric = spec->add_metrics();
  metric->set_metric_id(id);
  metric->set_goal(v1::StudySpec::MINIMIZE);
}

v1::StudySpec Box(int dimensions) {
  v1::StudySpec spec;
  AddGoal("loss", &spec);
  for (int d = 0; d < dimensions; ++d) {
    auto* parameter = spec.add_parameters();
    parameter->set_parameter_id(absl::StrCat("x", d));
    parameter->mutable_double_range()->set_max(1);
  }
  return spec;
}

std::vector<TwoGoals> Problems() {
  const Problem mixed7 = MakeProblem("mixed7");
  std::vector<TwoGoals> all = {{"zdt1", Box(6), Zdt1, {1, 1}, 1 - 1.0 / 12},
                               {"branin_currin", Box(2), BraninCurrin, {18, 6}, 59.36011874867746}};
  all.push_back({"mixed7_size",
                 mixed7.spec,
                 [loss = mixed7.loss](const Values& v) {
                   return Pair{loss(v), v("layers") * std::log2(v("units")) / 100};
                 },
                 {0.3, 1},
                 1});
  for (TwoGoals& problem : all) AddGoal("second", &problem.spec);
  return all;
}

double AreaBelow(const Pair& reference, std::vector<Pair> points) {
  std::sort(points.begin(), points.end());
  double area = 0;
  double lowest = reference.second;
  for (const auto& [first, second] : points) {
    if (first >= reference.first || second >= lowest) continue;
    area += (reference.first - first) * (lowest - second);
    lowest = second;
  }
  return area;
}

double RunOne(TwoGoals problem, int seed) {
  v1::StudySpec::Algorithm algorithm = v1::StudySpec::ALGORITHM_UNSPECIFIED;
  v1::StudySpec::Algorithm_Parse(absl::GetFlag(FLAGS_algorithm), &algorithm);
  problem.spec.set_algorithm(algorithm);
  auto optimizer = tuning::MakeOptimizer(problem.spec, 1000 + static_cast<uint64_t>(seed));
  if (!optimizer.ok()) return std::nan("");
  std::vector<Pair> told;
  for (int32_t id = 1; id <= absl::GetFlag(FLAGS_trials); ++id) {
    const auto asked = (*optimizer)->Suggest(id, 1);
    if (!asked.ok() || asked->suggestions.empty()) break;
    tuning::TrialRecord record;
    record.id = id;
    record.state = v1::TRIAL_SUCCEEDED;
    record.parameters = asked->suggestions[0].parameters;
    told.push_back(problem.goals(Values(record.parameters)));
    record.final_measurement.emplace();
    for (const auto& [name, value] :
         {std::pair("loss", told.back().first), std::pair("second", told.back().second)}) {
      auto* metric = record.final_measurement->add_metrics();
      metric->set_metric_id(name);
      metric->set_value(value);
    }
    (*optimizer)->Observe(std::move(record));
  }
  return AreaBelow(problem.reference, told) / problem.whole;
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  for (const auto& problem : trainyard::bench::Problems()) {
    std::vector<double> areas;
    for (int seed = 0; seed < absl::GetFlag(FLAGS_seeds); ++seed) {
      areas.push_back(trainyard::bench::RunOne(problem, seed));
    }
    std::sort(areas.begin(), areas.end());
    const auto at = [&](double share) {
      return areas[static_cast<size_t>(share * static_cast<double>(areas.size() - 1))];
    };
    std::printf("%-14s %.4f [%.4f, %.4f] least %.4f\n", problem.name.c_str(), at(0.5), at(0.25),
                at(0.75), at(0));
    std::fflush(stdout);
  }
  return 0;
}
