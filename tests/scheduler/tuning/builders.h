// Scenes for the tuning tests in one line each: search spaces, records, whole studies on a
// function.
#ifndef TRAINYARD_TESTS_SCHEDULER_TUNING_BUILDERS_H_
#define TRAINYARD_TESTS_SCHEDULER_TUNING_BUILDERS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {

class SpecBuilder {
 public:
  explicit SpecBuilder(v1::StudySpec::Goal goal = v1::StudySpec::MINIMIZE) {
    auto* metric = spec_.add_metrics();
    metric->set_metric_id("loss");
    metric->set_goal(goal);
  }
  SpecBuilder& Metric(const std::string& id, v1::StudySpec::Goal goal);
  SpecBuilder& Double(const std::string& id, double min, double max,
                      v1::StudySpec::Scale scale = v1::StudySpec::LINEAR);
  SpecBuilder& Integer(const std::string& id, int64_t min, int64_t max,
                       v1::StudySpec::Scale scale = v1::StudySpec::LINEAR);
  SpecBuilder& Numbers(const std::string& id, const std::vector<double>& values);
  SpecBuilder& Categories(const std::string& id, const std::vector<std::string>& values,
                          bool ordinal = false);
  // The next parameter lies under the last root parameter when that has one of the values.
  SpecBuilder& Under(const std::vector<std::string>& values);
  SpecBuilder& Algorithm(v1::StudySpec::Algorithm algorithm);
  v1::StudySpec* operator->() { return &spec_; }
  const v1::StudySpec& spec() const { return spec_; }
  std::unique_ptr<Optimizer> Make(uint64_t seed = 1) const;

 private:
  v1::StudySpec::Parameter* Next(const std::string& id);

  v1::StudySpec spec_;
  v1::StudySpec::Parameter* root_ = nullptr;
  std::vector<std::string> under_;
};

// "a=1 b=adam ..." with all digits.
std::string ToText(const std::vector<v1::ParameterValue>& parameters);
double Number(const std::vector<v1::ParameterValue>& parameters, const std::string& id);
std::string Text(const std::vector<v1::ParameterValue>& parameters, const std::string& id);
bool Has(const std::vector<v1::ParameterValue>& parameters, const std::string& id);

v1::Measurement Measured(double loss, int64_t step = 0);
TrialRecord Pending(int32_t id, const std::vector<v1::ParameterValue>& parameters);
TrialRecord Succeeded(int32_t id, const std::vector<v1::ParameterValue>& parameters, double loss);
TrialRecord Failed(int32_t id, const std::vector<v1::ParameterValue>& parameters);
// A record with losses at steps 1, 2, ...; running, or succeeded with the last one.
TrialRecord Curve(int32_t id, const std::vector<double>& losses, bool running);

using Objective = std::function<double(const std::vector<v1::ParameterValue>&)>;
// Asks, evaluates and tells `trials` times, `parallel` at once; returns every value told.
std::vector<double> RunStudy(Optimizer* optimizer, const Objective& objective, int trials,
                             int parallel = 1);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_TESTS_SCHEDULER_TUNING_BUILDERS_H_
