// CheckStudySpec: every fault of a study spec at once. See tuning.h.
#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/tuning/space.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {
namespace {

using Parameter = v1::StudySpec::Parameter;
constexpr int kDepthMax = 16;
constexpr int kEarlierMax = 32;
constexpr size_t kParametersMax = 1000;
constexpr double kWholeMax = 0x1.0p53;  // integers beyond lose their last digits

class Checker {
 public:
  explicit Checker(const v1::StudySpec& spec) : spec_(spec) {}

  v1::Faults Run() {
    CheckMetrics();
    if (spec_.parameters_size() == 0) {
      Add("MISSING_FIELD", "parameters", "the study has no parameter", "add at least one");
    }
    for (int i = 0; i < spec_.parameters_size(); ++i) {
      CheckParameter(spec_.parameters(i), absl::StrCat("parameters[", i, "]"), 0);
    }
    CheckAlgorithm();
    CheckStopping();
    CheckStudyStopping();
    if (faults_.faults_size() == 0) {  // these need a sound space
      CheckGivenTrials();
      CheckGrid();
    }
    return faults_;
  }

 private:
  void Add(absl::string_view reason, const std::string& field, const std::string& message,
           const std::string& fix) {
    v1::Fault* fault = faults_.add_faults();
    fault->set_reason(std::string(reason));
    fault->set_field(field);
    fault->set_message(message);
    fault->set_fix(fix);
  }
  void AddSpace(const std::string& field, const std::string& message, const std::string& fix) {
    Add("BAD_SEARCH_SPACE", field, message, fix);
  }

  void CheckMetrics() {
    if (spec_.metrics_size() == 0) {
      Add("MISSING_FIELD", "metrics", "the study has no metric", "name one, with its goal");
    }
    std::set<std::string> ids;
    for (int i = 0; i < spec_.metrics_size(); ++i) {
      const auto& metric = spec_.metrics(i);
      const std::string path = absl::StrCat("metrics[", i, "]");
      if (metric.metric_id().empty()) {
        Add("MISSING_FIELD", path + ".metric_id", "the metric has no name", "give it one");
      } else if (!ids.insert(metric.metric_id()).second) {
        Add("CONFLICT", path + ".metric_id",
            absl::StrCat("metric \"", metric.metric_id(), "\" is named twice"), "remove one");
      }
      if (metric.goal() != v1::StudySpec::MAXIMIZE && metric.goal() != v1::StudySpec::MINIMIZE) {
        Add("MISSING_FIELD", path + ".goal", "the metric has no goal", "MAXIMIZE or MINIMIZE");
      }
      if (metric.has_safety_threshold() && !std::isfinite(metric.safety_threshold())) {
        Add("BAD_VALUE", path + ".safety_threshold", "the threshold is no finite number",
            "give a number");
      }
    }
  }

  void CheckParameter(const Parameter& parameter, const std::string& path, int depth) {
    if (depth > kDepthMax || ids_.size() >= kParametersMax) {
      AddSpace(path, "the space is too deep or too large",
               absl::StrCat("at most ", kDepthMax, " levels and ", kParametersMax, " parameters"));
      return;
    }
    if (parameter.parameter_id().empty()) {
      AddSpace(path + ".parameter_id", "the parameter has no name", "give it one");
    } else if (!ids_.insert(parameter.parameter_id()).second) {
      AddSpace(path + ".parameter_id",
               absl::StrCat("parameter \"", parameter.parameter_id(), "\" is defined twice"),
               "names are unique in the whole tree; list all values under one condition");
    }
    switch (parameter.domain_case()) {
      case Parameter::kDoubleRange:
        CheckDouble(parameter, path);
        break;
      case Parameter::kIntegerRange:
        CheckInteger(parameter, path);
        break;
      case Parameter::kCategories:
        CheckCategories(parameter.categories(), path);
        break;
      case Parameter::kNumbers:
        CheckNumbers(parameter.numbers(), path);
        break;
      case Parameter::DOMAIN_NOT_SET:
        AddSpace(path, "the parameter has no domain",
                 "give a double range, an integer range, categories or numbers");
    }
    for (int i = 0; i < parameter.conditional_parameters_size(); ++i) {
      const auto& child = parameter.conditional_parameters(i);
      const std::string child_path = absl::StrCat(path, ".conditional_parameters[", i, "]");
      CheckCondition(parameter, child.condition(), child_path + ".condition");
      CheckParameter(child.parameter(), child_path + ".parameter", depth + 1);
    }
  }

  void CheckScale(const Parameter& parameter, double min, const std::string& path) {
    const auto scale = parameter.scale();
    if ((scale == v1::StudySpec::LOG || scale == v1::StudySpec::REVERSE_LOG) && !(min > 0)) {
      AddSpace(path + ".min", absl::StrCat("a logarithmic scale cannot hold ", min),
               "raise min above 0 or use a linear scale");
    }
  }

  void CheckDouble(const Parameter& parameter, const std::string& path) {
    const auto& range = parameter.double_range();
    if (!std::isfinite(range.min())) AddSpace(path + ".min", "min is no finite number", "");
    if (!std::isfinite(range.max())) AddSpace(path + ".max", "max is no finite number", "");
    if (range.min() > range.max()) {
      AddSpace(path + ".max", absl::StrCat("max ", range.max(), " is below min ", range.min()),
               "exchange them");
    }
    CheckScale(parameter, range.min(), path);
    if (range.has_default_value() &&
        !(range.default_value() >= range.min() && range.default_value() <= range.max())) {
      AddSpace(path + ".default_value", "the default is outside the range", "move it inside");
    }
  }

  void CheckInteger(const Parameter& parameter, const std::string& path) {
    const auto& range = parameter.integer_range();
    if (range.min() > range.max()) {
      AddSpace(path + ".max", absl::StrCat("max ", range.max(), " is below min ", range.min()),
               "exchange them");
    }
    if (std::abs(static_cast<double>(range.min())) > kWholeMax ||
        std::abs(static_cast<double>(range.max())) > kWholeMax) {
      AddSpace(path, "integers beyond 2^53 are not told apart", "use a smaller range");
    }
    CheckScale(parameter, static_cast<double>(range.min()), path);
    if (range.has_default_value() &&
        (range.default_value() < range.min() || range.default_value() > range.max())) {
      AddSpace(path + ".default_value", "the default is outside the range", "move it inside");
    }
  }

  void CheckCategories(const v1::StudySpec::Categories& categories, const std::string& path) {
    std::set<std::string> values;
    if (categories.values_size() == 0) AddSpace(path + ".values", "no category", "list some");
    for (const auto& value : categories.values()) {
      if (!values.insert(value).second) {
        AddSpace(path + ".values", absl::StrCat("category \"", value, "\" stands twice"),
                 "remove one");
      }
    }
    if (categories.has_default_value() && values.count(categories.default_value()) == 0) {
      AddSpace(path + ".default_value", "the default is none of the categories", "name one");
    }
  }

  void CheckNumbers(const v1::StudySpec::Numbers& numbers, const std::string& path) {
    std::set<double> values;
    if (numbers.values_size() == 0) AddSpace(path + ".values", "no number", "list some");
    for (const double value : numbers.values()) {
      if (!std::isfinite(value)) {
        AddSpace(path + ".values", "a number is not finite", "remove it");
      } else if (!values.insert(value).second) {
        AddSpace(path + ".values", absl::StrCat(value, " stands twice"), "remove one");
      }
    }
    if (numbers.has_default_value() && values.count(numbers.default_value()) == 0) {
      AddSpace(path + ".default_value", "the default is none of the numbers", "name one");
    }
  }

  void CheckCondition(const Parameter& parent, const v1::StudySpec::Condition& condition,
                      const std::string& path) {
    const int given = (condition.discrete_values_size() > 0 ? 1 : 0) +
                      (condition.integer_values_size() > 0 ? 1 : 0) +
                      (condition.categorical_values_size() > 0 ? 1 : 0);
    if (given != 1) {
      AddSpace(path, "a condition names values of its parent, of one type", "list the values");
      return;
    }
    bool inside = true;
    for (const double value : condition.discrete_values()) {
      const auto& all = parent.numbers().values();
      inside = inside && std::find(all.begin(), all.end(), value) != all.end();
    }
    for (const int64_t value : condition.integer_values()) {
      inside = inside && parent.has_integer_range() && value >= parent.integer_range().min() &&
               value <= parent.integer_range().max();
    }
    for (const auto& value : condition.categorical_values()) {
      const auto& all = parent.categories().values();
      inside = inside && std::find(all.begin(), all.end(), value) != all.end();
    }
    if (!inside) {
      AddSpace(path,
               absl::StrCat("a value of the condition is none of \"", parent.parameter_id(), "\""),
               "use values of the parent, of its own type (double parents take no condition)");
    }
  }

  void CheckAlgorithm() {
    const auto algorithm = spec_.algorithm();
    if (!AlgorithmIsBuiltIn(algorithm)) {
      Add("NOT_SUPPORTED", "algorithm",
          absl::StrCat("algorithm ", v1::StudySpec::Algorithm_Name(algorithm), " is not built in"),
          "leave it out for the default optimiser");
    }
    if (algorithm == v1::StudySpec::PBT && (spec_.duplicates() == v1::StudySpec::FORBID ||
                                            spec_.duplicates() == v1::StudySpec::REPEAT)) {
      Add("NOT_SUPPORTED", "duplicates",
          "members of a population that do well go on with the parameters they have",
          "leave duplicates out, or use another algorithm");
    }
    const bool learns =
        algorithm == v1::StudySpec::ALGORITHM_UNSPECIFIED || algorithm == v1::StudySpec::GP;
    if (spec_.transfer_from_size() > 0 && !learns) {
      Add("NOT_SUPPORTED", "transfer_from",
          absl::StrCat(v1::StudySpec::Algorithm_Name(algorithm),
                       " does not learn from earlier studies"),
          "leave algorithm out, or take GP");
    }
    if (spec_.transfer_from_size() > kEarlierMax) {
      Add("OUT_OF_RANGE", "transfer_from",
          absl::StrCat(spec_.transfer_from_size(), " earlier studies"),
          absl::StrCat("name at most ", kEarlierMax));
    }
    if (spec_.repeats() < 0 ||
        (spec_.duplicates() == v1::StudySpec::REPEAT && spec_.repeats() < 1)) {
      Add("OUT_OF_RANGE", "repeats", absl::StrCat("repeats is ", spec_.repeats()), "1 or more");
    }
  }

  void CheckStopping() {
    const auto& stopping = spec_.stopping();
    const auto kind = stopping.kind();
    if (kind == v1::StudySpec::CONVEX) {
      Add("NOT_SUPPORTED", "stopping.kind",
          absl::StrCat(v1::StudySpec::Stopping_Name(kind), " is not built in"),
          "use MEDIAN, DECAY_CURVE, ASHA or HYPERBAND");
    }
    if (stopping.min_steps() < 0 || stopping.max_steps() < 0 || stopping.min_trials() < 0 ||
        stopping.min_measurement_count() < 0) {
      Add("OUT_OF_RANGE", "stopping", "a count of the stopping spec is negative", "0 or more");
    }
    if (stopping.reduction_factor() != 0 &&
        !(stopping.reduction_factor() > 1 && stopping.reduction_factor() <= 1000)) {
      Add("OUT_OF_RANGE", "stopping.reduction_factor",
          absl::StrCat("the factor is ", stopping.reduction_factor()), "above 1, for example 3");
    }
  }

  void CheckStudyStopping() {
    const double regret = spec_.study_stopping().regret_below();
    if (regret == 0) return;
    const std::string path = "study_stopping.regret_below";
    if (!(regret > 0) || !std::isfinite(regret)) {
      Add("OUT_OF_RANGE", path, absl::StrCat("it is ", regret), "above 0, in units of the metric");
    }
    if (spec_.metrics_size() != 1 || spec_.metrics(0).has_safety_threshold()) {
      Add("NOT_SUPPORTED", path, "what is left to gain is known for one metric without a threshold",
          "use max_trials or max_trials_no_progress");
    }
  }

  void CheckGivenTrials() {
    const Space space(spec_);
    for (int i = 0; i < spec_.initial_trials_size(); ++i) {
      for (const auto& value : spec_.initial_trials(i).parameters()) {
        const std::string path = absl::StrCat("initial_trials[", i, "].", value.parameter_id());
        const Dimension* dimension = nullptr;
        for (const Dimension& d : space.dimensions()) {
          if (d.id == value.parameter_id()) dimension = &d;
        }
        if (dimension == nullptr) {
          Add("BAD_VALUE", path, "there is no such parameter", "use a name of the search space");
        } else if (!ValueOf(*dimension, value).has_value()) {
          Add("BAD_VALUE", path, "the value is outside the parameter's domain", "move it inside");
        }
      }
    }
  }

  void CheckGrid() {
    if (spec_.algorithm() != v1::StudySpec::GRID) return;
    const Space space(spec_);
    for (const Dimension& dimension : space.dimensions()) {
      if (dimension.Levels() == 0) {
        AddSpace("parameters." + dimension.id, "a grid cannot hold a continuous parameter",
                 "list its values as a discrete parameter");
      }
    }
    if (faults_.faults_size() == 0 && !(space.Count() < kWholeMax)) {
      AddSpace("parameters", "the grid has too many points to count", "use fewer values");
    }
  }

  static bool AlgorithmIsBuiltIn(v1::StudySpec::Algorithm algorithm) {
    switch (algorithm) {
      case v1::StudySpec::ALGORITHM_UNSPECIFIED:
      case v1::StudySpec::GRID:
      case v1::StudySpec::RANDOM:
      case v1::StudySpec::SOBOL:
      case v1::StudySpec::GP:
      case v1::StudySpec::TPE:
      case v1::StudySpec::CMA_ES:
      case v1::StudySpec::PBT:
      case v1::StudySpec::BOHB:
        return true;
      default:
        return false;
    }
  }

  const v1::StudySpec& spec_;
  v1::Faults faults_;
  std::set<std::string> ids_;
};

}  // namespace

absl::Status CheckStudySpec(const v1::StudySpec& spec) {
  return MakeError(absl::StatusCode::kInvalidArgument, Checker(spec).Run());
}

}  // namespace trainyard::tuning
