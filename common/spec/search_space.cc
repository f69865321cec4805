// See search_space.h.
#include "common/spec/search_space.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

using Study = v1::StudySpec;

constexpr size_t kParametersMax = 1000;
constexpr int kDiscreteMax = 1000;
constexpr int kConditionDepthMax = 16;

}  // namespace

bool SameNumber(double a, double b) { return std::abs(a - b) <= 1e-10; }

std::string At(absl::string_view base, absl::string_view name, int index) {
  return absl::StrCat(base, base.empty() ? "" : ".", name, "[", index, "]");
}

std::string Under(absl::string_view base, absl::string_view name) {
  return absl::StrCat(base, base.empty() ? "" : ".", name);
}

void SpaceChecker::Bad(const std::string& path, absl::string_view message,
                       absl::string_view expected, absl::string_view fix) {
  checker_->Say(path, "BAD_SEARCH_SPACE", message, expected, fix);
}

void SpaceChecker::Check(const Parameter& parameter, const std::string& path, int depth) {
  CheckId(parameter, path);
  switch (parameter.domain_case()) {
    case Parameter::kDoubleRange:
      CheckRange(parameter.double_range(), parameter, Under(path, "doubleRange"));
      break;
    case Parameter::kIntegerRange:
      CheckRange(parameter.integer_range(), parameter, Under(path, "integerRange"));
      break;
    case Parameter::kCategories:
      CheckCategories(parameter, path);
      break;
    case Parameter::kNumbers:
      CheckNumbers(parameter, path);
      break;
    case Parameter::DOMAIN_NOT_SET:
      checker_->Say(
          path, "MISSING_FIELD",
          absl::StrCat("the parameter \"", Shorten(parameter.parameter_id()),
                       "\" has no values to choose from"),
          "one of doubleValueSpec, integerValueSpec, categoricalValueSpec, discreteValueSpec",
          "add one, for example doubleValueSpec: {minValue: 0, maxValue: 1}");
      break;
  }
  CheckChildren(parameter, path, depth);
}

void SpaceChecker::CheckId(const Parameter& parameter, const std::string& path) {
  const std::string& id = parameter.parameter_id();
  if (id.empty()) {
    checker_->Say(path, "MISSING_FIELD", "a parameter has no id",
                  "the name of the program's argument",
                  "add parameterId (parameterName in an ML Engine file)");
    return;
  }
  const std::string id_path = Under(path, "parameterId");
  const bool blank = std::any_of(
      id.begin(), id.end(), [](unsigned char c) { return absl::ascii_isspace(c) || c == '='; });
  if (blank || id[0] == '-' || id.size() > 128) {
    checker_->Say(id_path, "BAD_NAME",
                  absl::StrCat("\"", Shorten(id), "\" cannot be an argument's name"),
                  "a name without blanks and '=', not beginning with '-', at most 128 characters",
                  "rename the parameter; the program gets it as --name=value");
  }
  if (id == "job-dir") {
    checker_->Say(id_path, "BAD_NAME", "\"job-dir\" is the job's own argument",
                  "another name: the program would get --job-dir twice", "rename the parameter");
  }
  if (!by_id_.insert({id, &parameter}).second) {
    Bad(id_path, absl::StrCat("the parameter id \"", Shorten(id), "\" is used twice"),
        "each id once in the search space", "rename or remove one of the two");
  }
  if (by_id_.size() == kParametersMax + 1) {
    checker_->Say(path, "SPEC_TOO_LARGE",
                  absl::StrCat("there are more than ", kParametersMax, " parameters"),
                  absl::StrCat("at most ", kParametersMax), "leave parameters out of the search");
  }
}

template <typename Range>
void SpaceChecker::CheckRange(const Range& range, const Parameter& parameter,
                              const std::string& path) {
  const std::string& id = parameter.parameter_id();
  if (!std::isfinite(static_cast<double>(range.min())) ||
      !std::isfinite(static_cast<double>(range.max()))) {
    Bad(path, absl::StrCat("a bound of \"", Shorten(id), "\" is not finite"),
        "finite minValue and maxValue", "write a large number instead");
    return;
  }
  if (range.min() > range.max()) {
    Bad(path,
        absl::StrCat("the minimum ", range.min(), " of \"", Shorten(id), "\" is above the maximum ",
                     range.max()),
        "minValue at most maxValue",
        absl::StrCat("swap them: minValue ", range.max(), ", maxValue ", range.min()));
    return;
  }
  CheckLog(parameter, path, static_cast<double>(range.min()));
  if (range.has_default_value() &&
      (range.default_value() < range.min() || range.default_value() > range.max())) {
    Bad(path,
        absl::StrCat("the default ", range.default_value(), " of \"", Shorten(id),
                     "\" is outside its range"),
        absl::StrCat("a value from ", range.min(), " to ", range.max()),
        "change or remove defaultValue");
  }
}

void SpaceChecker::CheckLog(const Parameter& parameter, const std::string& path, double min) {
  if (parameter.scale() != Study::LOG && parameter.scale() != Study::REVERSE_LOG) return;
  if (min > 0) return;
  Bad(path,
      absl::StrCat("a logarithmic scale needs a minimum above 0, \"",
                   Shorten(parameter.parameter_id()), "\" begins at ", min),
      "a minimum above 0", "raise the minimum, or use scaleType: UNIT_LINEAR_SCALE");
}

void SpaceChecker::CheckCategories(const Parameter& parameter, const std::string& path) {
  const auto& domain = parameter.categories();
  const std::string& id = parameter.parameter_id();
  if (domain.values().empty()) {
    Bad(Under(path, "categories"),
        absl::StrCat("the categorical parameter \"", Shorten(id), "\" has no values"),
        "at least one value", "add values: [a, b]");
  }
  std::set<std::string> seen;
  for (int i = 0; i < domain.values_size(); ++i) {
    if (seen.insert(domain.values(i)).second) continue;
    Bad(At(Under(path, "categories"), "values", i),
        absl::StrCat("the value \"", Shorten(domain.values(i)), "\" of \"", Shorten(id),
                     "\" stands twice"),
        "different values", "remove one of the two");
  }
  if (parameter.scale() != Study::SCALE_UNSPECIFIED && parameter.scale() != Study::LINEAR) {
    Bad(Under(path, "scale"),
        absl::StrCat("the categorical parameter \"", Shorten(id), "\" has a scale"),
        "a scale on numbers only", "remove scaleType");
  }
  if (domain.has_default_value() && seen.count(domain.default_value()) == 0) {
    Bad(Under(path, "categories"),
        absl::StrCat("the default \"", Shorten(domain.default_value()), "\" of \"", Shorten(id),
                     "\" is none of its values"),
        "one of the values", "change or remove defaultValue");
  }
}

void SpaceChecker::CheckNumbers(const Parameter& parameter, const std::string& path) {
  const auto& domain = parameter.numbers();
  const std::string& id = parameter.parameter_id();
  const std::string at = Under(path, "numbers");
  if (domain.values().empty() || domain.values_size() > kDiscreteMax) {
    Bad(at,
        absl::StrCat("the discrete parameter \"", Shorten(id), "\" has ", domain.values_size(),
                     " values"),
        absl::StrCat("1 to ", kDiscreteMax, " values"),
        "add values: [1, 2], or use a range instead of a long list");
    return;
  }
  for (int i = 0; i < domain.values_size(); ++i) {
    if (!std::isfinite(domain.values(i)) || (i > 0 && !(domain.values(i) > domain.values(i - 1)))) {
      Bad(At(at, "values", i),
          absl::StrCat("the values of \"", Shorten(id), "\" do not increase at ", domain.values(i)),
          "finite values, each above the one before", "sort them and remove repetitions");
      return;
    }
  }
  CheckLog(parameter, at, domain.values(0));
  const auto is_default = [&domain](double value) {
    return SameNumber(value, domain.default_value());
  };
  if (domain.has_default_value() &&
      std::none_of(domain.values().begin(), domain.values().end(), is_default)) {
    Bad(at,
        absl::StrCat("the default ", domain.default_value(), " of \"", Shorten(id),
                     "\" is none of its values"),
        "one of the values", "change or remove defaultValue");
  }
}

void SpaceChecker::CheckChildren(const Parameter& parameter, const std::string& path, int depth) {
  if (depth > kConditionDepthMax) {
    checker_->Say(path, "SPEC_TOO_LARGE", "parameters are nested too deep in conditions",
                  absl::StrCat("at most ", kConditionDepthMax, " levels"),
                  "flatten the search space");
    return;
  }
  for (int i = 0; i < parameter.conditional_parameters_size(); ++i) {
    const auto& child = parameter.conditional_parameters(i);
    const std::string child_path = At(path, "conditionalParameters", i);
    CheckCondition(parameter, child.condition(), Under(child_path, "condition"));
    Check(child.parameter(), Under(child_path, "parameter"), depth + 1);
  }
}

void SpaceChecker::CheckCondition(const Parameter& parent, const Study::Condition& condition,
                                  const std::string& path) {
  const int kinds = (condition.discrete_values().empty() ? 0 : 1) +
                    (condition.integer_values().empty() ? 0 : 1) +
                    (condition.categorical_values().empty() ? 0 : 1);
  const std::string id = Shorten(parent.parameter_id());
  if (parent.domain_case() == Parameter::kDoubleRange) {
    Bad(path, absl::StrCat("a parameter hangs on \"", id, "\", which is DOUBLE"),
        "a parent that is INTEGER, CATEGORICAL or DISCRETE",
        "make the parent discrete, or the child unconditional");
  } else if (kinds != 1) {
    Bad(path,
        absl::StrCat("the condition names ", kinds == 0 ? "no" : "several kinds of",
                     " values of its parent \"", id, "\""),
        "values of the parent, of the parent's kind",
        "add one of parentCategoricalValues, parentIntValues, parentDiscreteValues "
        "with values: [...]");
  } else {
    CheckParentValues(parent, condition, path);
  }
}

void SpaceChecker::CheckParentValues(const Parameter& parent, const Study::Condition& condition,
                                     const std::string& path) {
  const auto missing = [&](absl::string_view value, absl::string_view expected,
                           absl::string_view fix) {
    Bad(path,
        absl::StrCat("the parent \"", Shorten(parent.parameter_id()), "\" has no value ", value),
        expected, fix);
  };
  const auto& categories = parent.categories().values();
  for (const std::string& value : condition.categorical_values()) {
    if (std::find(categories.begin(), categories.end(), value) != categories.end()) continue;
    const std::string nearest = NearestName(value, {categories.begin(), categories.end()});
    missing(absl::StrCat("\"", Shorten(value), "\""),
            absl::StrCat("one of ", Shorten(absl::StrJoin(categories, ", "))),
            nearest.empty() ? "use a value of the parent"
                            : absl::StrCat("did you mean ", nearest, "?"));
  }
  const auto& range = parent.integer_range();
  for (int64_t value : condition.integer_values()) {
    if (parent.has_integer_range() && value >= range.min() && value <= range.max()) continue;
    missing(absl::StrCat(value), "a value in the parent's range", "use a value of the parent");
  }
  const auto& numbers = parent.numbers().values();
  for (double value : condition.discrete_values()) {
    const auto same = [value](double other) { return SameNumber(value, other); };
    if (std::any_of(numbers.begin(), numbers.end(), same)) continue;
    missing(absl::StrCat(value), "one of the parent's values", "use a value of the parent");
  }
}

}  // namespace trainyard::spec
