// How many points a grid over a search space has, conditions counted: the product over parameters
// of the sum over their values of the product of the children active there. Linear in the spec.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

#include "common/spec/search_space.h"
#include "common/spec/spec.h"

namespace trainyard::spec {
namespace {

using Parameter = v1::StudySpec::Parameter;
using Condition = v1::StudySpec::Condition;

constexpr int64_t kMany = std::numeric_limits<int64_t>::max();

int64_t Product(int64_t a, int64_t b) {
  int64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? kMany : result;
}
int64_t Sum(int64_t a, int64_t b) {
  int64_t result = 0;
  return __builtin_add_overflow(a, b, &result) ? kMany : result;
}

int64_t PointsOf(const Parameter& parameter);

// Points of each child, counted once.
class Children {
 public:
  explicit Children(const Parameter& parameter) : parameter_(parameter) {
    for (const auto& child : parameter.conditional_parameters()) {
      points_.push_back(PointsOf(child.parameter()));
    }
  }
  // Product over the children for whose condition `active` is true.
  template <typename Active>
  int64_t PointsWhere(Active active) const {
    int64_t points = 1;
    for (size_t i = 0; i < points_.size(); ++i) {
      if (active(parameter_.conditional_parameters(static_cast<int>(i)).condition())) {
        points = Product(points, points_[i]);
      }
    }
    return points;
  }

 private:
  const Parameter& parameter_;
  std::vector<int64_t> points_;
};

template <typename Values, typename Value>
bool Holds(const Values& values, const Value& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

int64_t IntegerPoints(const Parameter& parameter, const Children& children) {
  const auto& range = parameter.integer_range();
  int64_t width = 0;
  if (range.max() < range.min()) return 0;
  if (__builtin_sub_overflow(range.max(), range.min(), &width)) return kMany;
  // Values that a condition names are counted on their own, all others at once.
  std::set<int64_t> named;
  for (const auto& child : parameter.conditional_parameters()) {
    for (int64_t value : child.condition().integer_values()) {
      if (value >= range.min() && value <= range.max()) named.insert(value);
    }
  }
  int64_t points = Sum(width, 1 - static_cast<int64_t>(named.size()));
  for (int64_t value : named) {
    points = Sum(points, children.PointsWhere([value](const Condition& condition) {
      return Holds(condition.integer_values(), value);
    }));
  }
  return points;
}

int64_t PointsOf(const Parameter& parameter) {
  const Children children(parameter);
  int64_t points = 0;
  switch (parameter.domain_case()) {
    case Parameter::kIntegerRange:
      return IntegerPoints(parameter, children);
    case Parameter::kCategories:
      for (const std::string& value : parameter.categories().values()) {
        points = Sum(points, children.PointsWhere([&value](const Condition& condition) {
          return Holds(condition.categorical_values(), value);
        }));
      }
      return points;
    case Parameter::kNumbers:
      for (double value : parameter.numbers().values()) {
        points = Sum(points, children.PointsWhere([value](const Condition& condition) {
          const auto& values = condition.discrete_values();
          return std::any_of(values.begin(), values.end(),
                             [value](double other) { return SameNumber(value, other); });
        }));
      }
      return points;
    case Parameter::kDoubleRange:
      return parameter.double_range().min() == parameter.double_range().max() ? 1 : kMany;
    case Parameter::DOMAIN_NOT_SET:
      break;
  }
  return kMany;
}

}  // namespace

int64_t GridPoints(const v1::StudySpec& spec) {
  int64_t points = 1;
  for (const Parameter& parameter : spec.parameters()) {
    points = Product(points, PointsOf(parameter));
  }
  return points;
}

}  // namespace trainyard::spec
