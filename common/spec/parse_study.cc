// Studies in Vertex's shape, and our additions to them. See parse.h.
#include <algorithm>
#include <limits>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/spec/parse.h"
#include "common/spec/search_space.h"

namespace trainyard::spec {
namespace {

using Study = v1::StudySpec;
using Parameter = v1::StudySpec::Parameter;

constexpr int64_t kIntMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kIntMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();

const Choices& Goals() {
  static const Choices* const choices =
      new Choices{{"MAXIMIZE", Study::MAXIMIZE}, {"MINIMIZE", Study::MINIMIZE}};
  return *choices;
}
const Choices& Scales() {
  static const Choices* const choices = new Choices{
      {"UNIT_LINEAR_SCALE", Study::LINEAR},
      {"UNIT_LOG_SCALE", Study::LOG},
      {"UNIT_REVERSE_LOG_SCALE", Study::REVERSE_LOG},
      {"SCALE_TYPE_UNSPECIFIED", Study::SCALE_UNSPECIFIED},
      {"LINEAR", Study::LINEAR},
      {"LOG", Study::LOG},
      {"REVERSE_LOG", Study::REVERSE_LOG},
  };
  return *choices;
}
const Choices& Algorithms() {
  static const Choices* const choices = new Choices{
      {"ALGORITHM_UNSPECIFIED", Study::ALGORITHM_UNSPECIFIED},
      {"GRID_SEARCH", Study::GRID},
      {"RANDOM_SEARCH", Study::RANDOM},
      {"GRID", Study::GRID},
      {"RANDOM", Study::RANDOM},
      {"SOBOL", Study::SOBOL},
      {"TPE", Study::TPE},
      {"GP", Study::GP},
      {"CMA_ES", Study::CMA_ES},
      {"PBT", Study::PBT},
      {"BOHB", Study::BOHB},
  };
  return *choices;
}
const Choices& StoppingKinds() {
  static const Choices* const choices = new Choices{
      {"NONE", Study::NONE},     {"MEDIAN", Study::MEDIAN}, {"DECAY_CURVE", Study::DECAY_CURVE},
      {"CONVEX", Study::CONVEX}, {"ASHA", Study::ASHA},     {"HYPERBAND", Study::HYPERBAND},
  };
  return *choices;
}

template <typename Enum>
bool ReadEnum(Fields* fields, absl::string_view name, const Choices& choices, Enum* out) {
  int number = 0;
  if (!fields->Enum(name, choices, &number)) return false;
  *out = static_cast<Enum>(number);
  return true;
}

void ReadMetric(Fields* fields, const std::string& path, Study::Metric* metric) {
  fields->BindSelf(path);
  fields->Text("metricId", metric->mutable_metric_id());
  fields->Bind("metricId", Under(path, "metricId"));
  Study::Goal goal = Study::GOAL_UNSPECIFIED;
  if (ReadEnum(fields, "goal", Goals(), &goal)) metric->set_goal(goal);
  if (std::optional<Fields> safety = fields->Map("safetyConfig")) {
    double value = 0;
    if (safety->Number("safetyThreshold", &value)) metric->set_safety_threshold(value);
    if (safety->Number("desiredMinSafeTrialsFraction", &value)) {
      metric->set_desired_min_safe_trials_fraction(value);
    }
    safety->Finish();
  }
  fields->Finish();
}

void NeedBounds(Fields* fields) {
  for (absl::string_view name : {"minValue", "maxValue"}) {
    if (fields->Has(name)) continue;
    fields->Say("", "MISSING_FIELD", absl::StrCat("the range has no ", name),
                "minValue and maxValue", absl::StrCat("add ", name));
  }
}

void ReadDoubleRange(Fields* fields, const std::string& path, Study::DoubleRange* range) {
  fields->BindSelf(path);
  NeedBounds(fields);
  double value = 0;
  if (fields->Number("minValue", &value)) range->set_min(value);
  if (fields->Number("maxValue", &value)) range->set_max(value);
  if (fields->Number("defaultValue", &value)) range->set_default_value(value);
  fields->Finish();
}

void ReadIntegerRange(Fields* fields, const std::string& path, Study::IntegerRange* range) {
  fields->BindSelf(path);
  NeedBounds(fields);
  int64_t value = 0;
  if (fields->Integer("minValue", kIntMin, kIntMax, &value)) range->set_min(value);
  if (fields->Integer("maxValue", kIntMin, kIntMax, &value)) range->set_max(value);
  if (fields->Integer("defaultValue", kIntMin, kIntMax, &value)) range->set_default_value(value);
  fields->Finish();
}

void ReadCategories(Fields* fields, const std::string& path, Study::Categories* categories) {
  fields->BindSelf(path);
  fields->Texts("values", categories->mutable_values());
  std::string text;
  if (fields->Text("defaultValue", &text)) categories->set_default_value(text);
  fields->Finish();
}

void ReadNumbers(Fields* fields, const std::string& path, Study::Numbers* numbers) {
  fields->BindSelf(path);
  std::vector<double> values;
  fields->Numbers("values", &values);
  numbers->mutable_values()->Assign(values.begin(), values.end());
  double value = 0;
  if (fields->Number("defaultValue", &value)) numbers->set_default_value(value);
  fields->Finish();
}

void ReadCondition(Fields* fields, Study::Condition* condition) {
  std::vector<double> values;
  if (std::optional<Fields> parent = fields->Map("parentDiscreteValues")) {
    parent->Numbers("values", &values);
    condition->mutable_discrete_values()->Assign(values.begin(), values.end());
    parent->Finish();
  }
  if (std::optional<Fields> parent = fields->Map("parentIntValues")) {
    if (const NodePtr list = parent->Value("values"); list != nullptr) {
      for (size_t i = 0; i < list->items.size(); ++i) {
        int64_t value = 0;
        if (ReadInteger(parent->context(), absl::StrCat(parent->PathOf("values"), "[", i, "]"),
                        *list->items[i], kIntMin, kIntMax, &value)) {
          condition->add_integer_values(value);
        }
      }
    }
    parent->Finish();
  }
  if (std::optional<Fields> parent = fields->Map("parentCategoricalValues")) {
    parent->Texts("values", condition->mutable_categorical_values());
    parent->Finish();
  }
}

void ReadParameter(Fields* fields, const std::string& path, Parameter* parameter) {
  fields->BindSelf(path);
  fields->Text("parameterId", parameter->mutable_parameter_id());
  fields->Bind("parameterId", Under(path, "parameterId"));
  int kinds = 0;
  if (std::optional<Fields> value = fields->Map("doubleValueSpec")) {
    ++kinds;
    ReadDoubleRange(&*value, Under(path, "doubleRange"), parameter->mutable_double_range());
  }
  if (std::optional<Fields> value = fields->Map("integerValueSpec")) {
    ++kinds;
    ReadIntegerRange(&*value, Under(path, "integerRange"), parameter->mutable_integer_range());
  }
  if (std::optional<Fields> value = fields->Map("categoricalValueSpec")) {
    ++kinds;
    ReadCategories(&*value, Under(path, "categories"), parameter->mutable_categories());
  }
  if (std::optional<Fields> value = fields->Map("discreteValueSpec")) {
    ++kinds;
    ReadNumbers(&*value, Under(path, "numbers"), parameter->mutable_numbers());
  }
  if (kinds > 1) {
    fields->Say("", "CONFLICT", "the parameter has several value specs", "one of them",
                "keep the one you mean");
  }
  Study::Scale scale = Study::SCALE_UNSPECIFIED;
  if (ReadEnum(fields, "scaleType", Scales(), &scale)) parameter->set_scale(scale);
  fields->Bind("scaleType", Under(path, "scale"));
  for (Fields& child : fields->Maps("conditionalParameterSpecs")) {
    const std::string child_path =
        At(path, "conditionalParameters", parameter->conditional_parameters_size());
    Study::ConditionalParameter* conditional = parameter->add_conditional_parameters();
    child.BindSelf(child_path);
    ReadCondition(&child, conditional->mutable_condition());
    if (std::optional<Fields> inner = child.Map("parameterSpec")) {
      ReadParameter(&*inner, Under(child_path, "parameter"), conditional->mutable_parameter());
    } else {
      child.Say("", "MISSING_FIELD", "the condition has no parameter", "parameterSpec",
                "add parameterSpec with a parameterId and a value spec");
    }
    child.Finish();
  }
  fields->Finish();
}

void ReadTime(Fields* fields, absl::string_view name, google::protobuf::Duration* out) {
  const NodePtr value = fields->Value(name);
  if (value == nullptr) return;
  if (value->kind != Node::Kind::kMap) {
    fields->Duration(name, out);
    return;
  }
  std::optional<Fields> inner = fields->Map(name);
  inner->Duration("maxDuration", out);
  inner->Refuse("endTime", "stopping at a time of day", "use maxDuration");
  inner->Finish();
}

void ReadStudyStopping(Fields* fields, Study::StudyStopping* stopping) {
  bool flag = false;
  int64_t count = 0;
  if (fields->Boolean("shouldStopAsap", &flag)) stopping->set_should_stop_asap(flag);
  if (fields->Has("minimumRuntimeConstraint")) {
    ReadTime(fields, "minimumRuntimeConstraint", stopping->mutable_minimum_runtime());
  }
  if (fields->Has("maximumRuntimeConstraint")) {
    ReadTime(fields, "maximumRuntimeConstraint", stopping->mutable_maximum_runtime());
  }
  if (fields->Integer("minNumTrials", 0, kIntMax, &count)) stopping->set_min_trials(count);
  if (fields->Integer("maxNumTrials", 0, kIntMax, &count)) stopping->set_max_trials(count);
  if (fields->Integer("maxNumTrialsNoProgress", 0, kIntMax, &count)) {
    stopping->set_max_trials_no_progress(count);
  }
  if (fields->Has("maxDurationNoProgress")) {
    fields->Duration("maxDurationNoProgress", stopping->mutable_max_duration_no_progress());
  }
  // Known to the reader also when absent, so that a misspelt key finds them.
  for (absl::string_view name :
       {"minimumRuntimeConstraint", "maximumRuntimeConstraint", "maxDurationNoProgress"}) {
    fields->Value(name);
  }
  fields->Finish();
}

// Shared by the peers' stopping specs and trainyard.stopping.
void ReadStoppingDetails(Fields* fields, bool own_words, Study::StoppingSpec* stopping) {
  bool flag = false;
  int64_t steps = 0;
  int32_t count = 0;
  if (fields->Boolean("useElapsedDuration", &flag)) stopping->set_use_elapsed_duration(flag);
  const absl::string_view min_steps = own_words ? "minSteps" : "minStepCount";
  const absl::string_view max_steps = own_words ? "maxSteps" : "maxStepCount";
  if (fields->Integer(min_steps, 0, kIntMax, &steps)) stopping->set_min_steps(steps);
  if (fields->Integer(max_steps, 0, kIntMax, &steps)) stopping->set_max_steps(steps);
  if (fields->Integer("minMeasurementCount", 0, kInt32Max, &count)) {
    stopping->set_min_measurement_count(count);
  }
  std::string name;
  if (fields->Text("learningRateParameterName", &name)) {
    stopping->set_learning_rate_parameter_name(name);
    fields->Note("learningRateParameterName", "IGNORED_FIELD",
                 "no stopping rule here looks at the learning rate");
  }
  if (fields->Boolean("updateAllStoppedTrials", &flag)) {
    stopping->set_update_all_stopped_trials(flag);
    fields->Note("updateAllStoppedTrials", "IGNORED_FIELD",
                 "stopped trials always teach the optimiser their predicted end");
  }
}

void ReadStopping(Fields* fields, const std::string& path, Study* study) {
  struct Kind {
    absl::string_view name;
    Study::Stopping stopping;
  };
  const Kind kinds[] = {{"decayCurveStoppingSpec", Study::DECAY_CURVE},
                        {"medianAutomatedStoppingSpec", Study::MEDIAN},
                        {"convexAutomatedStoppingSpec", Study::CONVEX}};
  int given = 0;
  for (const Kind& kind : kinds) {
    std::optional<Fields> spec = fields->Map(kind.name);
    if (!spec.has_value()) continue;
    spec->BindSelf(Under(path, "stopping"));
    if (++given > 1) {
      fields->Say(kind.name, "CONFLICT", "the study has several stopping specs", "one of them",
                  "keep the one you mean");
    }
    study->mutable_stopping()->set_kind(kind.stopping);
    ReadStoppingDetails(&*spec, false, study->mutable_stopping());
    spec->Finish();
  }
}

// A value of an initial trial, by the kind of its parameter.
void SetValue(const Study& study, const Node::Entry& entry, v1::ParameterValue* value) {
  value->set_parameter_id(entry.key);
  const auto it = std::find_if(
      study.parameters().begin(), study.parameters().end(),
      [&entry](const Parameter& parameter) { return parameter.parameter_id() == entry.key; });
  const bool known = it != study.parameters().end();
  int64_t integer = 0;
  double number = 0;
  if (known && it->has_categories()) {
    value->set_text(entry.value->text);
  } else if (known && it->has_integer_range() && absl::SimpleAtoi(entry.value->text, &integer)) {
    value->set_integer(integer);
  } else if (absl::SimpleAtod(entry.value->text, &number)) {
    value->set_number(number);
  } else {
    value->set_text(entry.value->text);
  }
}

void ReadInitialTrials(Fields* fields, const std::string& path, Study* study) {
  for (Fields& trial : fields->Maps("initialTrials")) {
    trial.BindSelf(At(path, "initialTrials", study->initial_trials_size()));
    Study::GivenTrial* given = study->add_initial_trials();
    for (const Node::Entry& entry : trial.Entries()) {
      SetValue(*study, entry, given->add_parameters());
    }
  }
}

void ReadOrdinal(Fields* fields, Study* study) {
  google::protobuf::RepeatedPtrField<std::string> ids;
  fields->Texts("ordinal", &ids);
  for (const std::string& id : ids) {
    const auto it =
        std::find_if(study->mutable_parameters()->begin(), study->mutable_parameters()->end(),
                     [&id](const Parameter& parameter) {
                       return parameter.parameter_id() == id && parameter.has_categories();
                     });
    if (it != study->mutable_parameters()->end()) {
      it->mutable_categories()->set_ordinal(true);
      continue;
    }
    fields->Say("ordinal", "BAD_SEARCH_SPACE",
                absl::StrCat("\"", id, "\" is no categorical parameter of the study"),
                "parameterIds of categorical parameters", "remove it or correct the name");
  }
}

}  // namespace

void ReadStudyAdditions(Fields* fields, const std::string& path, Study* study) {
  static const Choices* const duplicates = new Choices{{"FORBID", Study::FORBID},
                                                       {"REPEAT", Study::REPEAT},
                                                       {"REUSE", Study::REUSE},
                                                       {"ALLOW", Study::ALLOW}};
  int64_t seed = 0;
  if (fields->Integer("seed", 0, kIntMax, &seed)) study->set_seed(static_cast<uint64_t>(seed));
  Study::Duplicates how = Study::DUPLICATES_UNSPECIFIED;
  if (ReadEnum(fields, "duplicates", *duplicates, &how)) study->set_duplicates(how);
  int32_t repeats = 0;
  if (fields->Integer("repeats", 1, 1000, &repeats)) study->set_repeats(repeats);
  Study::Algorithm algorithm = Study::ALGORITHM_UNSPECIFIED;
  if (ReadEnum(fields, "algorithm", Algorithms(), &algorithm)) study->set_algorithm(algorithm);
  fields->Bind("algorithm", Under(path, "algorithm"));
  if (std::optional<Fields> stopping = fields->Map("stopping")) {
    stopping->BindSelf(Under(path, "stopping"));
    Study::StoppingSpec* spec = study->mutable_stopping();
    Study::Stopping kind = Study::STOPPING_UNSPECIFIED;
    if (ReadEnum(&*stopping, "kind", StoppingKinds(), &kind)) spec->set_kind(kind);
    int32_t trials = 0;
    if (stopping->Integer("minTrials", 0, kInt32Max, &trials)) spec->set_min_trials(trials);
    double factor = 0;
    if (stopping->Number("reductionFactor", &factor)) spec->set_reduction_factor(factor);
    ReadStoppingDetails(&*stopping, true, spec);
    stopping->Finish();
  }
  ReadInitialTrials(fields, path, study);
  fields->Texts("transferFrom", study->mutable_transfer_from());
  double regret = 0;
  if (fields->Number("stopBelowRegret", &regret)) {
    study->mutable_study_stopping()->set_regret_below(regret);
  }
  ReadOrdinal(fields, study);
}

void ReadStudy(Fields* fields, const std::string& path, Study* study) {
  fields->BindSelf(path);
  fields->Bind("metrics", Under(path, "metrics"));
  fields->Bind("parameters", Under(path, "parameters"));
  for (Fields& metric : fields->Maps("metrics")) {
    const std::string at = At(path, "metrics", study->metrics_size());
    ReadMetric(&metric, at, study->add_metrics());
  }
  for (Fields& parameter : fields->Maps("parameters")) {
    const std::string at = At(path, "parameters", study->parameters_size());
    ReadParameter(&parameter, at, study->add_parameters());
  }
  Study::Algorithm algorithm = Study::ALGORITHM_UNSPECIFIED;
  if (ReadEnum(fields, "algorithm", Algorithms(), &algorithm)) study->set_algorithm(algorithm);
  fields->Bind("algorithm", Under(path, "algorithm"));
  ReadStopping(fields, path, study);
  static const Choices* const noises = new Choices{
      {"OBSERVATION_NOISE_UNSPECIFIED", 0}, {"LOW", Study::NOISE_LOW}, {"HIGH", Study::NOISE_HIGH}};
  Study::Noise noise = Study::NOISE_UNSPECIFIED;
  if (ReadEnum(fields, "observationNoise", *noises, &noise)) study->set_noise(noise);
  static const Choices* const selections =
      new Choices{{"MEASUREMENT_SELECTION_TYPE_UNSPECIFIED", 0},
                  {"LAST_MEASUREMENT", Study::LAST},
                  {"BEST_MEASUREMENT", Study::BEST}};
  Study::Selection selection = Study::SELECTION_UNSPECIFIED;
  if (ReadEnum(fields, "measurementSelectionType", *selections, &selection)) {
    study->set_selection(selection);
  }
  if (std::optional<Fields> stopping = fields->Map("studyStoppingConfig")) {
    stopping->BindSelf(Under(path, "studyStopping"));
    ReadStudyStopping(&*stopping, study->mutable_study_stopping());
  }
  fields->Refuse("transferLearningConfig", "transferLearningConfig",
                 "name earlier studies in trainyard: {transferFrom: [study]}");
  if (std::optional<Fields> additions = fields->Map("trainyard")) {
    ReadStudyAdditions(&*additions, path, study);
    additions->Finish();
  }
  fields->Finish();
}

}  // namespace trainyard::spec
