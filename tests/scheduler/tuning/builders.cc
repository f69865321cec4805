// See builders.h.
#include "tests/scheduler/tuning/builders.h"

#include <gtest/gtest.h>

#include "absl/strings/str_format.h"

namespace trainyard::tuning {

v1::StudySpec::Parameter* SpecBuilder::Next(const std::string& id) {
  v1::StudySpec::Parameter* parameter;
  if (under_.empty()) {
    parameter = root_ = spec_.add_parameters();
  } else {
    auto* conditional = root_->add_conditional_parameters();
    for (const std::string& value : under_) {
      conditional->mutable_condition()->add_categorical_values(value);
    }
    parameter = conditional->mutable_parameter();
    under_.clear();
  }
  parameter->set_parameter_id(id);
  return parameter;
}

SpecBuilder& SpecBuilder::Metric(const std::string& id, v1::StudySpec::Goal goal) {
  auto* metric = spec_.add_metrics();
  metric->set_metric_id(id);
  metric->set_goal(goal);
  return *this;
}

SpecBuilder& SpecBuilder::Double(const std::string& id, double min, double max,
                                 v1::StudySpec::Scale scale) {
  auto* parameter = Next(id);
  parameter->mutable_double_range()->set_min(min);
  parameter->mutable_double_range()->set_max(max);
  parameter->set_scale(scale);
  return *this;
}

SpecBuilder& SpecBuilder::Integer(const std::string& id, int64_t min, int64_t max,
                                  v1::StudySpec::Scale scale) {
  auto* parameter = Next(id);
  parameter->mutable_integer_range()->set_min(min);
  parameter->mutable_integer_range()->set_max(max);
  parameter->set_scale(scale);
  return *this;
}

SpecBuilder& SpecBuilder::Numbers(const std::string& id, const std::vector<double>& values) {
  auto* numbers = Next(id)->mutable_numbers();
  for (const double value : values) numbers->add_values(value);
  return *this;
}

SpecBuilder& SpecBuilder::Categories(const std::string& id, const std::vector<std::string>& values,
                                     bool ordinal) {
  auto* categories = Next(id)->mutable_categories();
  for (const std::string& value : values) categories->add_values(value);
  categories->set_ordinal(ordinal);
  return *this;
}

SpecBuilder& SpecBuilder::Under(const std::vector<std::string>& values) {
  under_ = values;
  return *this;
}

SpecBuilder& SpecBuilder::Algorithm(v1::StudySpec::Algorithm algorithm) {
  spec_.set_algorithm(algorithm);
  return *this;
}

std::unique_ptr<Optimizer> SpecBuilder::Make(uint64_t seed) const {
  auto optimizer = MakeOptimizer(spec_, seed);
  EXPECT_TRUE(optimizer.ok()) << optimizer.status();
  return optimizer.ok() ? *std::move(optimizer) : nullptr;
}

std::string ToText(const std::vector<v1::ParameterValue>& parameters) {
  std::string out;
  for (const auto& p : parameters) {
    if (!out.empty()) out += ' ';
    if (p.value_case() == v1::ParameterValue::kText) {
      out += p.parameter_id() + "=" + p.text();
    } else if (p.value_case() == v1::ParameterValue::kInteger) {
      out += absl::StrFormat("%s=%d", p.parameter_id(), p.integer());
    } else {
      out += absl::StrFormat("%s=%.17g", p.parameter_id(), p.number());
    }
  }
  return out;
}

double Number(const std::vector<v1::ParameterValue>& parameters, const std::string& id) {
  for (const auto& p : parameters) {
    if (p.parameter_id() != id) continue;
    return p.value_case() == v1::ParameterValue::kInteger ? static_cast<double>(p.integer())
                                                          : p.number();
  }
  ADD_FAILURE() << "no parameter " << id << " in " << ToText(parameters);
  return 0;
}

std::string Text(const std::vector<v1::ParameterValue>& parameters, const std::string& id) {
  for (const auto& p : parameters) {
    if (p.parameter_id() == id) return p.text();
  }
  ADD_FAILURE() << "no parameter " << id << " in " << ToText(parameters);
  return "";
}

bool Has(const std::vector<v1::ParameterValue>& parameters, const std::string& id) {
  for (const auto& p : parameters) {
    if (p.parameter_id() == id) return true;
  }
  return false;
}

v1::Measurement Measured(double loss, int64_t step) {
  v1::Measurement measurement;
  measurement.set_step(step);
  auto* metric = measurement.add_metrics();
  metric->set_metric_id("loss");
  metric->set_value(loss);
  return measurement;
}

TrialRecord Pending(int32_t id, const std::vector<v1::ParameterValue>& parameters) {
  TrialRecord record;
  record.id = id;
  record.state = v1::ACTIVE;
  record.parameters = parameters;
  return record;
}

TrialRecord Succeeded(int32_t id, const std::vector<v1::ParameterValue>& parameters, double loss) {
  TrialRecord record = Pending(id, parameters);
  record.state = v1::TRIAL_SUCCEEDED;
  record.final_measurement = Measured(loss);
  return record;
}

TrialRecord Failed(int32_t id, const std::vector<v1::ParameterValue>& parameters) {
  TrialRecord record = Pending(id, parameters);
  record.state = v1::INFEASIBLE;
  return record;
}

TrialRecord Curve(int32_t id, const std::vector<double>& losses, bool running) {
  TrialRecord record = Pending(id, {});
  for (size_t i = 0; i < losses.size(); ++i) {
    record.measurements.push_back(Measured(losses[i], static_cast<int64_t>(i) + 1));
  }
  if (!running) {
    record.state = v1::TRIAL_SUCCEEDED;
    record.final_measurement = record.measurements.back();
  }
  return record;
}

std::vector<double> RunStudy(Optimizer* optimizer, const Objective& objective, int trials,
                             int parallel) {
  std::vector<double> values;
  for (int32_t id = 1; id <= trials;) {
    auto result = optimizer->Suggest(id, std::min(parallel, trials - id + 1));
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok() || result->suggestions.empty()) break;
    std::vector<std::vector<v1::ParameterValue>> batch;
    for (auto& suggestion : result->suggestions) batch.push_back(suggestion.parameters);
    for (size_t i = 0; i < batch.size(); ++i) {
      optimizer->Observe(Pending(id + static_cast<int32_t>(i), batch[i]));
    }
    for (const auto& parameters : batch) {
      values.push_back(objective(parameters));
      optimizer->Observe(Succeeded(id++, parameters, values.back()));
    }
  }
  return values;
}

}  // namespace trainyard::tuning
