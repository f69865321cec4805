// LC1: 128 trials of 81 epochs on 16 workers in virtual time over the space of mixed7, learning
// curves that cross, noisy reports. How many epochs a stopping rule saves, how much sooner the
// study ends, and what it costs in the final score, paired by seed with the run without stopping.
//   tuning_early_stop [--stopping=DECAY_CURVE] [--algorithm=RANDOM] [--seeds=20] [--threads=1]
//                     [--csv=FILE]
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "bench/tuning/problems.h"
#include "common/random.h"
#include "scheduler/tuning/tuning.h"

ABSL_FLAG(std::string, stopping, "DECAY_CURVE", "rule, as in the spec");
ABSL_FLAG(std::string, algorithm, "ALGORITHM_UNSPECIFIED", "as in the spec");
ABSL_FLAG(int, seeds, 20, "studies");
ABSL_FLAG(int, first_seed, 0, "first seed");
ABSL_FLAG(int, threads, 1, "studies at a time");
ABSL_FLAG(
    std::string, csv, "",
    "file for every study: seed, score without and with stopping, epochs saved, times shorter");
ABSL_FLAG(int, min_steps, 3, "before the rule speaks");

namespace trainyard::bench {
namespace {

constexpr int kTrials = 128;
constexpr int kEpochs = 81;
constexpr int kWorkers = 16;

struct Result {
  double score = std::numeric_limits<double>::quiet_NaN();
  int epochs = 0;
  int makespan = 0;
  int finished = 0;
};

struct Running {
  tuning::TrialRecord record;
  double value = 0;  // of mixed7
  double half_time = 0;
  double At(int epoch) const {
    return value + (2.3 - value) * std::pow(1 + epoch / half_time, -1.5);
  }
};

class Lc1 {
 public:
  Lc1(const std::string& stopping, int seed) : problem_(MakeProblem("mixed7")), noise_(900 + seed) {
    v1::StudySpec::Algorithm algorithm = v1::StudySpec::ALGORITHM_UNSPECIFIED;
    v1::StudySpec::Algorithm_Parse(absl::GetFlag(FLAGS_algorithm), &algorithm);
    problem_.spec.set_algorithm(algorithm);
    v1::StudySpec::Stopping kind = v1::StudySpec::NONE;
    v1::StudySpec::Stopping_Parse(stopping, &kind);
    problem_.spec.mutable_stopping()->set_kind(kind);
    problem_.spec.mutable_stopping()->set_min_steps(absl::GetFlag(FLAGS_min_steps));
    problem_.spec.mutable_stopping()->set_max_steps(kEpochs);
    auto made = tuning::MakeOptimizer(problem_.spec, 500 + static_cast<uint64_t>(seed));
    if (made.ok()) optimizer_ = *std::move(made);
  }

  Result Run() {
    std::vector<Running> workers(kWorkers);
    while (optimizer_ != nullptr) {
      bool busy = false;
      for (Running& worker : workers) {
        if (worker.record.id == 0 && !Begin(&worker)) continue;
        busy = true;
        Epoch(&worker);
      }
      if (!busy) break;
      ++result_.makespan;
    }
    return result_;
  }

 private:
  bool Begin(Running* worker) {
    if (next_id_ > kTrials) return false;
    auto asked = optimizer_->Suggest(next_id_, 1);
    if (!asked.ok() || asked->suggestions.empty()) return false;
    worker->record = tuning::TrialRecord();
    worker->record.id = next_id_++;
    worker->record.state = v1::ACTIVE;
    worker->record.parameters = asked->suggestions[0].parameters;
    const Values values(worker->record.parameters);
    worker->value = problem_.loss(values);
    worker->half_time = std::clamp(1.5 * std::pow(0.1 / values("lr"), 0.3), 0.5, 40.0);
    optimizer_->Observe(worker->record);
    return true;
  }

  void Epoch(Running* worker) {
    tuning::TrialRecord& record = worker->record;
    const int epoch = static_cast<int>(record.measurements.size()) + 1;
    ++result_.epochs;
    v1::Measurement measurement;
    measurement.set_step(epoch);
    auto* metric = measurement.add_metrics();
    metric->set_metric_id("loss");
    metric->set_value(worker->At(epoch) + 0.01 * noise_.Normal());
    const double reported = metric->value();
    record.measurements.push_back(std::move(measurement));
    optimizer_->Observe(record);
    const bool last = epoch == kEpochs;
    if (!last) {
      const auto stops = optimizer_->AdviseStops();
      record.stopped_early = std::any_of(stops.begin(), stops.end(),
                                         [&](const auto& stop) { return stop.trial == record.id; });
    }
    if (last && reported < best_) {
      best_ = reported;
      result_.score = worker->At(kEpochs);
    }
    if (!last && !record.stopped_early) return;
    if (last) ++result_.finished;
    record.state = v1::TRIAL_SUCCEEDED;
    record.final_measurement = record.measurements.back();
    optimizer_->Observe(record);
    record.id = 0;
  }

  Problem problem_;
  Random noise_;
  std::unique_ptr<tuning::Optimizer> optimizer_;
  int32_t next_id_ = 1;
  double best_ = std::numeric_limits<double>::infinity();
  Result result_;
};

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

void Print(const char* what, const std::vector<double>& values) {
  std::printf("  %-34s %8.4f [%.4f, %.4f]  least %.4f  most %.4f\n", what, Quantile(values, 0.5),
              Quantile(values, 0.25), Quantile(values, 0.75), Quantile(values, 0),
              Quantile(values, 1));
}

void Write(const std::string& file, const std::vector<Result>& plain,
           const std::vector<Result>& stopped) {
  std::ofstream out(file);
  for (size_t i = 0; i < plain.size(); ++i) {
    out << absl::GetFlag(FLAGS_first_seed) + static_cast<int>(i) << ',' << plain[i].score << ','
        << stopped[i].score << ',' << 1 - static_cast<double>(stopped[i].epochs) / plain[i].epochs
        << ',' << static_cast<double>(plain[i].makespan) / stopped[i].makespan << '\n';
  }
}

void Compare(const std::vector<Result>& plain, const std::vector<Result>& stopped) {
  std::vector<double> scores;
  std::vector<double> full_scores;
  std::vector<double> losses;
  std::vector<double> saved;
  std::vector<double> speed;
  std::vector<double> finished;
  for (size_t i = 0; i < plain.size(); ++i) {
    full_scores.push_back(plain[i].score);
    scores.push_back(stopped[i].score);
    losses.push_back(stopped[i].score - plain[i].score);
    saved.push_back(1 - static_cast<double>(stopped[i].epochs) / plain[i].epochs);
    speed.push_back(static_cast<double>(plain[i].makespan) / stopped[i].makespan);
    finished.push_back(stopped[i].finished);
  }
  Print("score without stopping", full_scores);
  Print("score with stopping", scores);
  Print("lost, paired", losses);
  Print("epochs saved", saved);
  Print("times shorter", speed);
  Print("trials run to their end", finished);
  const auto small =
      std::count_if(losses.begin(), losses.end(), [](double l) { return l <= 1e-3; });
  std::printf("  at most 0.001 lost: %ld of %zu\n", static_cast<long>(small), losses.size());
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  using trainyard::bench::Result;
  const int seeds = absl::GetFlag(FLAGS_seeds);
  std::vector<Result> plain(static_cast<size_t>(seeds));
  std::vector<Result> stopped(static_cast<size_t>(seeds));
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < absl::GetFlag(FLAGS_threads); ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < seeds; i = next++) {
        const int seed = absl::GetFlag(FLAGS_first_seed) + i;
        plain[static_cast<size_t>(i)] = trainyard::bench::Lc1("NONE", seed).Run();
        stopped[static_cast<size_t>(i)] =
            trainyard::bench::Lc1(absl::GetFlag(FLAGS_stopping), seed).Run();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::printf("LC1, %d seeds, sampler %s, stopping %s\n", seeds,
              absl::GetFlag(FLAGS_algorithm).c_str(), absl::GetFlag(FLAGS_stopping).c_str());
  trainyard::bench::Compare(plain, stopped);
  if (const std::string file = absl::GetFlag(FLAGS_csv); !file.empty()) {
    trainyard::bench::Write(file, plain, stopped);
  }
  return 0;
}
