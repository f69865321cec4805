// Hundreds of random search spaces with histories of the worst kind, for every algorithm: no
// crash, each proposal inside its space with just the active parameters, and the same again when
// the history is told to a new optimiser. TRAINYARD_TEST_LONG=1 plays ten times as many.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "common/random.h"
#include "scheduler/tuning/space.h"
#include "scheduler/tuning/tuning.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

using Spec = v1::StudySpec;
constexpr int kSpaces = 320;
constexpr int kTrials = 14;

class Scene {
 public:
  explicit Scene(uint64_t seed) : random_(MixSeed(0x4057, seed)) {
    static constexpr Spec::Algorithm kAlgorithms[] = {Spec::ALGORITHM_UNSPECIFIED,
                                                      Spec::GP,
                                                      Spec::TPE,
                                                      Spec::CMA_ES,
                                                      Spec::RANDOM,
                                                      Spec::PBT,
                                                      Spec::BOHB,
                                                      Spec::SOBOL};
    spec_.set_algorithm(kAlgorithms[seed % 8]);
    const int metrics = Chance(0.25) ? 2 : 1;
    for (int m = 0; m < metrics; ++m) {
      auto* metric = spec_.add_metrics();
      metric->set_metric_id("m" + std::to_string(m));
      metric->set_goal(Chance(0.5) ? Spec::MAXIMIZE : Spec::MINIMIZE);
      if (Chance(0.2)) metric->set_safety_threshold(random_.Uniform() - 0.5);
    }
    const int roots = 1 + static_cast<int>(random_.Below(4));
    for (int i = 0; i < roots; ++i) Fill(spec_.add_parameters(), 0);
    static constexpr Spec::Stopping kStoppings[] = {Spec::NONE, Spec::MEDIAN, Spec::ASHA,
                                                    Spec::HYPERBAND, Spec::DECAY_CURVE};
    spec_.mutable_stopping()->set_kind(kStoppings[random_.Below(5)]);
    if (Chance(0.3)) spec_.set_noise(Spec::NOISE_HIGH);
    if (Chance(0.2)) spec_.set_duplicates(Spec::ALLOW);
  }

  void Play() {
    ASSERT_TRUE(CheckStudySpec(spec_).ok()) << CheckStudySpec(spec_);
    auto optimizer = MakeOptimizer(spec_, 7);
    ASSERT_TRUE(optimizer.ok());
    const Space space(spec_);
    std::vector<TrialRecord> records;
    for (int32_t id = 1; id <= kTrials; ++id) {
      auto result = (*optimizer)->Suggest(id, 1 + static_cast<int>(random_.Below(2)));
      ASSERT_TRUE(result.ok()) << result.status();
      if (result->suggestions.empty()) {
        ASSERT_TRUE(result->exhausted);
        break;
      }
      const auto& p = result->suggestions[0].parameters;
      ExpectInside(space, p);
      records.push_back(Record(id, p));
      (*optimizer)->Observe(records.back());
      (*optimizer)->AdviseStops();
    }
    EXPECT_LE((*optimizer)->Best(3).size(), 3u);
    auto again = MakeOptimizer(spec_, 7);
    for (auto it = records.rbegin(); it != records.rend(); ++it) (*again)->Observe(*it);
    const auto next = static_cast<int32_t>(records.size()) + 1;
    EXPECT_EQ(AllOf((*optimizer)->Suggest(next, 2)), AllOf((*again)->Suggest(next, 2)));
  }

  std::string Describe() const { return spec_.ShortDebugString(); }

 private:
  bool Chance(double share) { return random_.Uniform() < share; }

  static std::string AllOf(const absl::StatusOr<SuggestResult>& result) {
    std::string out;
    if (!result.ok()) return result.status().ToString();
    for (const auto& suggestion : result->suggestions) out += ToText(suggestion.parameters) + "\n";
    return out;
  }

  void Fill(Spec::Parameter* parameter, int depth) {
    parameter->set_parameter_id("p" + std::to_string(++parameters_));
    switch (random_.Below(5)) {
      case 0:
        FillDouble(parameter);
        return;
      case 1: {
        auto* range = parameter->mutable_integer_range();
        range->set_min(Chance(0.5) ? 1 : -3);
        range->set_max(range->min() + static_cast<int64_t>(random_.Below(Chance(0.3) ? 5000 : 4)));
        if (range->min() > 0 && Chance(0.4)) parameter->set_scale(Spec::LOG);
        break;
      }
      case 2:
        for (uint64_t i = 0; i <= random_.Below(3); ++i) {
          parameter->mutable_numbers()->add_values(std::pow(10.0, 3.0 * i) - 5);
        }
        return;
      default:
        for (uint64_t i = 0; i <= random_.Below(4); ++i) {
          parameter->mutable_categories()->add_values("c" + std::to_string(i));
        }
        parameter->mutable_categories()->set_ordinal(Chance(0.3));
    }
    if (depth >= 2 || !Chance(0.5)) return;
    auto* child = parameter->add_conditional_parameters();
    if (parameter->has_categories()) {
      child->mutable_condition()->add_categorical_values(parameter->categories().values(0));
    } else {
      child->mutable_condition()->add_integer_values(parameter->integer_range().min());
    }
    Fill(child->mutable_parameter(), depth + 1);
  }

  void FillDouble(Spec::Parameter* parameter) {
    auto* range = parameter->mutable_double_range();
    const std::pair<double, double> kRanges[] = {{0, 1},          {-1e308, 1e308}, {5, 5},
                                                 {1e-300, 1e300}, {1, 1 + 1e-12},  {-1e-300, 0}};
    const auto& [low, high] = kRanges[random_.Below(6)];
    range->set_min(low);
    range->set_max(high);
    if (low > 0 && Chance(0.6)) {
      parameter->set_scale(Chance(0.5) ? Spec::LOG : Spec::REVERSE_LOG);
    }
  }

  static void ExpectInside(const Space& space, const std::vector<v1::ParameterValue>& parameters) {
    const Point point = space.FromParameters(parameters);
    size_t active = 0;
    for (int d = 0; d < space.size(); ++d) {
      const Dimension& dimension = space.dimension(d);
      const auto given = std::find_if(parameters.begin(), parameters.end(), [&](const auto& p) {
        return p.parameter_id() == dimension.id;
      });
      ASSERT_EQ(given != parameters.end(), space.Active(point, d)) << dimension.id;
      if (given == parameters.end()) continue;
      ++active;
      EXPECT_TRUE(ValueOf(dimension, *given).has_value()) << given->ShortDebugString();
    }
    EXPECT_EQ(active, parameters.size());
  }

  double Hostile() {
    static constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const double kValues[] = {std::nan(""), kInfinity, -kInfinity, 1e308, -1e308, 0, -0.0,
                              5e-324,       1,         1,          -1,    1e-300, 42};
    return Chance(0.3) ? random_.Uniform() : kValues[random_.Below(13)];
  }

  v1::Measurement Measure(int64_t step) {
    v1::Measurement measurement;
    measurement.set_step(step);
    for (const auto& metric : spec_.metrics()) {
      if (Chance(0.05)) continue;
      auto* value = measurement.add_metrics();
      value->set_metric_id(metric.metric_id());
      value->set_value(Hostile());
    }
    return measurement;
  }

  TrialRecord Record(int32_t id, const std::vector<v1::ParameterValue>& parameters) {
    TrialRecord record;
    record.id = id;
    record.parameters = parameters;
    const uint64_t reports = random_.Below(9);
    for (uint64_t i = 0; i < reports; ++i) {
      record.measurements.push_back(Measure(Chance(0.1) ? 0 : static_cast<int64_t>(i)));
    }
    const double kind = random_.Uniform();
    if (kind < 0.2) {
      record.state = v1::ACTIVE;
    } else if (kind < 0.4) {
      record.state = v1::INFEASIBLE;
    } else {
      record.state = v1::TRIAL_SUCCEEDED;
      record.stopped_early = Chance(0.2);
      if (Chance(0.9)) record.final_measurement = Measure(9);
    }
    return record;
  }

  Random random_;
  Spec spec_;
  int parameters_ = 0;
};

TEST(HostileTest, RandomSpacesAndWorstHistories) {
  const char* const text = std::getenv("TRAINYARD_TEST_LONG");
  const int spaces = text != nullptr && *text == '1' ? 10 * kSpaces : kSpaces;
  for (int seed = 0; seed < spaces; ++seed) {
    Scene scene(static_cast<uint64_t>(seed));
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + scene.Describe());
    scene.Play();
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

}  // namespace
}  // namespace trainyard::tuning
