// Checks of search spaces and studies. See check.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/spec/check.h"
#include "common/spec/search_space.h"
#include "common/spec/spec.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

using Study = v1::StudySpec;
using Parameter = v1::StudySpec::Parameter;

void CheckMetrics(const Study& study, const std::string& path, Checker* checker) {
  if (study.metrics().empty()) {
    checker->Say(Under(path, "metrics"), "MISSING_FIELD", "the study has no metric to optimise",
                 "metrics with one metricId and goal",
                 "add metrics: [{metricId: accuracy, goal: MAXIMIZE}]");
  }
  std::set<std::string> seen;
  for (int i = 0; i < study.metrics_size(); ++i) {
    const Study::Metric& metric = study.metrics(i);
    const std::string at = At(path, "metrics", i);
    if (metric.metric_id().empty()) {
      checker->Say(at, "MISSING_FIELD", "a metric has no id", "the name the program reports",
                   "add metricId");
    } else if (!seen.insert(metric.metric_id()).second) {
      checker->Say(Under(at, "metricId"), "CONFLICT",
                   absl::StrCat("the metric \"", Shorten(metric.metric_id()), "\" stands twice"),
                   "each metric once", "remove one of the two");
    }
    if (metric.goal() == Study::GOAL_UNSPECIFIED) {
      checker->Say(at, "MISSING_FIELD",
                   absl::StrCat("the metric \"", Shorten(metric.metric_id()), "\" has no goal"),
                   "goal: MAXIMIZE or MINIMIZE", "add goal: MAXIMIZE, or MINIMIZE for a loss");
    }
    const double fraction = metric.desired_min_safe_trials_fraction();
    if (!(fraction >= 0 && fraction <= 1)) {
      checker->Say(at, "OUT_OF_RANGE", absl::StrCat("desiredMinSafeTrialsFraction is ", fraction),
                   "0 to 1", "write a fraction such as 0.5");
    }
  }
}

void CheckStopping(const Study& study, const std::string& path, Checker* checker) {
  const Study::StoppingSpec& stopping = study.stopping();
  const std::string at = Under(path, "stopping");
  if (stopping.min_steps() < 0 || stopping.max_steps() < 0 || stopping.min_trials() < 0 ||
      stopping.min_measurement_count() < 0) {
    checker->Say(at, "OUT_OF_RANGE", "a count of the stopping rule is negative", "0 or more",
                 "write 0 or more");
  }
  if (stopping.max_steps() > 0 && stopping.min_steps() > stopping.max_steps()) {
    checker->Say(at, "CONFLICT",
                 absl::StrCat("minSteps ", stopping.min_steps(), " is above maxSteps ",
                              stopping.max_steps()),
                 "minSteps at most maxSteps", "lower minSteps");
  }
  if (stopping.reduction_factor() != 0 && !(stopping.reduction_factor() > 1)) {
    checker->Say(at, "OUT_OF_RANGE",
                 absl::StrCat("reductionFactor is ", stopping.reduction_factor()),
                 "a number above 1", "write 3 or 4");
  }
  const Study::StudyStopping& whole = study.study_stopping();
  if (whole.max_trials() > 0 && whole.min_trials() > whole.max_trials()) {
    checker->Say(Under(path, "studyStopping"), "CONFLICT",
                 absl::StrCat("minNumTrials ", whole.min_trials(), " is above maxNumTrials ",
                              whole.max_trials()),
                 "minNumTrials at most maxNumTrials", "lower minNumTrials");
  }
}

// Whether `value` can be a value of `parameter`.
bool Holds(const Parameter& parameter, const v1::ParameterValue& value) {
  switch (parameter.domain_case()) {
    case Parameter::kDoubleRange:
      return value.has_number() && value.number() >= parameter.double_range().min() &&
             value.number() <= parameter.double_range().max();
    case Parameter::kIntegerRange:
      return value.has_integer() && value.integer() >= parameter.integer_range().min() &&
             value.integer() <= parameter.integer_range().max();
    case Parameter::kCategories: {
      const auto& values = parameter.categories().values();
      return value.has_text() &&
             std::find(values.begin(), values.end(), value.text()) != values.end();
    }
    case Parameter::kNumbers: {
      const auto& values = parameter.numbers().values();
      return value.has_number() && std::any_of(values.begin(), values.end(), [&](double other) {
               return SameNumber(other, value.number());
             });
    }
    case Parameter::DOMAIN_NOT_SET:
      return false;
  }
  return false;
}

void CheckInitialTrials(const Study& study, const SpaceChecker& space, const std::string& path,
                        Checker* checker) {
  std::vector<std::string> ids;
  for (const auto& [id, parameter] : space.by_id()) ids.push_back(id);
  for (int i = 0; i < study.initial_trials_size(); ++i) {
    const std::string at = At(path, "initialTrials", i);
    for (const v1::ParameterValue& value : study.initial_trials(i).parameters()) {
      const auto it = space.by_id().find(value.parameter_id());
      if (it == space.by_id().end()) {
        const std::string nearest = NearestName(value.parameter_id(), ids);
        checker->Say(at, "BAD_SEARCH_SPACE",
                     absl::StrCat("an initial trial sets \"", Shorten(value.parameter_id()),
                                  "\", which is no parameter"),
                     "parameters of the search space",
                     nearest.empty() ? "remove it" : absl::StrCat("did you mean ", nearest, "?"));
      } else if (!Holds(*it->second, value)) {
        checker->Say(at, "BAD_SEARCH_SPACE",
                     absl::StrCat("an initial trial gives \"", Shorten(value.parameter_id()),
                                  "\" a value outside the search space"),
                     "a value of the parameter", "change the value or widen the parameter");
      }
    }
  }
}

}  // namespace

void CheckStudy(const Study& study, const std::string& path, Checker* checker) {
  CheckMetrics(study, path, checker);
  if (study.parameters().empty()) {
    checker->Say(Under(path, "parameters"), "MISSING_FIELD",
                 "the study has no parameter to search over", "parameters",
                 "add parameters with a parameterId and one of the value specs");
  }
  SpaceChecker space(checker);
  for (int i = 0; i < study.parameters_size(); ++i) {
    const Parameter& parameter = study.parameters(i);
    space.Check(parameter, At(path, "parameters", i), 1);
  }
  if (study.algorithm() == Study::GRID) {
    for (const auto& [id, parameter] : space.by_id()) {
      if (parameter->has_double_range() &&
          parameter->double_range().min() != parameter->double_range().max()) {
        checker->Say(
            Under(path, "algorithm"), "BAD_SEARCH_SPACE",
            absl::StrCat("a grid has no points on the DOUBLE parameter \"", Shorten(id), "\""),
            "INTEGER, CATEGORICAL and DISCRETE parameters",
            "make it discrete, or use algorithm: RANDOM_SEARCH");
      }
    }
  }
  CheckStopping(study, path, checker);
  CheckInitialTrials(study, space, path, checker);
}

}  // namespace trainyard::spec
