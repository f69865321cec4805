// Regret of our optimiser on the problems of problems.h: medians with quartiles over seeds, beside
// the figures of others. Sequential, or in batches told only when whole.
//   tuning_regret [--problems=a,b] [--seeds=20] [--first_seed=0] [--algorithm=GP] [--batch=1]
//                 [--threads=2] [--csv=FILE]
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_split.h"
#include "bench/tuning/problems.h"
#include "common/random.h"
#include "scheduler/tuning/tuning.h"

ABSL_FLAG(std::string, problems, "", "names, separated by commas; empty: all public ones");
ABSL_FLAG(int, seeds, 20, "studies a row");
ABSL_FLAG(int, first_seed, 0, "first seed");
ABSL_FLAG(std::string, algorithm, "ALGORITHM_UNSPECIFIED", "as in the spec");
ABSL_FLAG(int, batch, 1, "trials pending at a time");
ABSL_FLAG(int, trials, 0, "instead of each row's own");
ABSL_FLAG(int, threads, 1, "studies at a time");
ABSL_FLAG(std::string, csv, "", "file for every study's result");

namespace trainyard::bench {
namespace {

struct StudyResult {
  double score = std::numeric_limits<double>::quiet_NaN();
  double seconds = 0;
};

// Of this thread.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Score: the noiseless value where the observed value was least.
StudyResult RunOne(const Row& row, int seed, int batch) {
  Problem problem = MakeProblem(row.problem);
  v1::StudySpec::Algorithm algorithm = v1::StudySpec::ALGORITHM_UNSPECIFIED;
  v1::StudySpec::Algorithm_Parse(absl::GetFlag(FLAGS_algorithm), &algorithm);
  problem.spec.set_algorithm(algorithm);
  auto optimizer = tuning::MakeOptimizer(problem.spec, 1000 + static_cast<uint64_t>(seed));
  if (!optimizer.ok()) {
    std::fprintf(stderr, "%s\n", optimizer.status().ToString().c_str());
    return {};
  }
  Random noise(77 + static_cast<uint64_t>(seed));
  StudyResult result;
  double best = std::numeric_limits<double>::infinity();
  const double begin = CpuSeconds();
  for (int32_t id = 1; id <= row.trials;) {
    auto asked = (*optimizer)->Suggest(id, std::min(batch, row.trials - id + 1));
    if (!asked.ok() || asked->suggestions.empty()) break;
    for (const auto& suggestion : asked->suggestions) {
      const double value = problem.loss(Values(suggestion.parameters));
      const double told = value + problem.noise * noise.Normal();
      if (told < best) {
        best = told;
        result.score = value;
      }
      tuning::TrialRecord record;
      record.id = id++;
      record.state = v1::TRIAL_SUCCEEDED;
      record.parameters = suggestion.parameters;
      auto* metric = record.final_measurement.emplace().add_metrics();
      metric->set_metric_id("loss");
      metric->set_value(told);
      (*optimizer)->Observe(std::move(record));
    }
  }
  result.seconds = CpuSeconds() - begin;
  return result;
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

void PrintRow(const Row& row, const std::vector<StudyResult>& results) {
  std::vector<double> scores;
  double seconds = 0;
  for (const StudyResult& result : results) {
    scores.push_back(result.score);
    seconds += result.seconds;
  }
  const double median = Quantile(scores, 0.5);
  const double worst = Quantile(scores, 1);
  std::string verdict;
  if (!std::isnan(row.best_optuna)) {
    verdict += median <= row.best_optuna ? " beats-best" : " LOSES-BEST";
    verdict += worst <= row.random ? "" : " WORST-SEED-ABOVE-RANDOM";
  }
  if (!std::isnan(row.bar)) verdict += median <= row.bar ? " bar-met" : " BAR-MISSED";
  std::printf(
      "%-13s@%-4d %10.5g [%.5g, %.5g] worst %.5g | optuna %.5g random %.5g bar %.5g |%s"
      " | %.1f ms/trial",
      row.problem.c_str(), row.trials, median, Quantile(scores, 0.25), Quantile(scores, 0.75),
      worst, row.best_optuna, row.random, row.bar, verdict.c_str(),
      1e3 * seconds / row.trials / static_cast<double>(results.size()));
  if (row.problem.rfind("hartmann6", 0) == 0) {
    const auto in_best =
        std::count_if(scores.begin(), scores.end(), [](double score) { return score < -3.21; });
    std::printf(" | best basin %ld of %zu", static_cast<long>(in_best), scores.size());
  }
  std::printf("\n");
  std::fflush(stdout);
}

void RunRow(const Row& row) {
  const int seeds = absl::GetFlag(FLAGS_seeds);
  const int first = absl::GetFlag(FLAGS_first_seed);
  std::vector<StudyResult> results(static_cast<size_t>(seeds));
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < absl::GetFlag(FLAGS_threads); ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < seeds; i = next++) {
        results[static_cast<size_t>(i)] = RunOne(row, first + i, absl::GetFlag(FLAGS_batch));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  PrintRow(row, results);
  if (const std::string file = absl::GetFlag(FLAGS_csv); !file.empty()) {
    std::ofstream out(file, std::ios::app);
    for (int i = 0; i < seeds; ++i) {
      out << row.problem << ',' << row.trials << ',' << absl::GetFlag(FLAGS_algorithm) << ','
          << absl::GetFlag(FLAGS_batch) << ',' << first + i << ','
          << results[static_cast<size_t>(i)].score << '\n';
    }
  }
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  using trainyard::bench::Row;
  std::vector<Row> rows = trainyard::bench::PublicRows();
  const std::string names = absl::GetFlag(FLAGS_problems);
  if (!names.empty()) {
    const auto& others = trainyard::bench::OtherRows();
    rows.insert(rows.end(), others.begin(), others.end());
    const std::vector<std::string> wanted = absl::StrSplit(names, ',');
    std::erase_if(rows, [&](const Row& row) {
      return names != "all" && std::find(wanted.begin(), wanted.end(), row.problem) == wanted.end();
    });
  }
  std::set<std::pair<std::string, int>> played;
  for (Row row : rows) {
    const bool is_own = absl::GetFlag(FLAGS_trials) <= 0 && absl::GetFlag(FLAGS_batch) <= 1;
    if (!is_own) row.best_optuna = row.bar = std::nan("");  // they are of the row as it is
    if (absl::GetFlag(FLAGS_trials) > 0) row.trials = absl::GetFlag(FLAGS_trials);
    if (played.insert({row.problem, row.trials}).second) trainyard::bench::RunRow(row);
  }
  return 0;
}
