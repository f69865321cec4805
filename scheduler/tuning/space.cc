// See space.h.
#include "scheduler/tuning/space.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/random.h"
#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Place of v in [low, high] on the warped axis, 0 to 1; the ends may be as far apart as doubles go.
double WarpTo(v1::StudySpec::Scale scale, double low, double high, double v) {
  if (!(high > low)) return 0.5;
  if (scale == v1::StudySpec::LOG) return (Log(v) - Log(low)) / (Log(high) - Log(low));
  if (scale == v1::StudySpec::REVERSE_LOG) {
    return 1 - WarpTo(v1::StudySpec::LOG, low, high, low + (high - v));
  }
  return (v / 2 - low / 2) / (high / 2 - low / 2);
}

double WarpFrom(v1::StudySpec::Scale scale, double low, double high, double u) {
  if (scale == v1::StudySpec::LOG) return Exp(Log(low) + u * (Log(high) - Log(low)));
  if (scale == v1::StudySpec::REVERSE_LOG) {
    return low + (high - WarpFrom(v1::StudySpec::LOG, low, high, 1 - u));
  }
  return low * (1 - u) + high * u;
}

size_t IndexOf(const std::vector<double>& list, double value) {
  return std::find(list.begin(), list.end(), value) - list.begin();
}
size_t IndexOf(const std::vector<std::string>& list, const std::string& value) {
  return std::find(list.begin(), list.end(), value) - list.begin();
}

}  // namespace

double Dimension::Levels() const {
  switch (kind) {
    case kDouble:
      return low == high ? 1 : 0;
    case kInteger:
      return high - low + 1;
    case kDiscrete:
      return static_cast<double>(numbers.size());
    case kOrdinal:
    case kCategorical:
      return static_cast<double>(texts.size());
  }
  return 0;
}

double Dimension::ToFeature(double value) const {
  if (std::isnan(value)) return 0.5;
  double feature;
  if (kind == kDouble) {
    feature = WarpTo(scale, low, high, value);
  } else if (kind == kInteger) {
    feature = WarpTo(scale, low - 0.5, high + 0.5, value);
  } else {
    feature = (value + 0.5) / Levels();
  }
  return std::clamp(feature, 0.0, 1.0);
}

double Dimension::Snap(double feature) const {
  const double u = std::clamp(feature, 0.0, 1.0);
  if (kind == kDouble) return std::clamp(WarpFrom(scale, low, high, u), low, high);
  if (kind == kInteger) {
    return std::clamp(std::round(WarpFrom(scale, low - 0.5, high + 0.5, u)), low, high);
  }
  return std::min(std::floor(u * Levels()), Levels() - 1);
}

Space::Space(const v1::StudySpec& spec) {
  for (const auto& parameter : spec.parameters()) Add(parameter, -1, nullptr);
  children_.resize(dimensions_.size());
  for (int d = 0; d < size(); ++d) {
    if (dimensions_[d].parent >= 0) children_[dimensions_[d].parent].push_back(d);
    if (dimensions_[d].parent < 0) roots_.push_back(d);
  }
  for (const int d : roots_) count_ *= CountFrom(d);
}

void Space::Add(const v1::StudySpec::Parameter& parameter, int parent,
                const v1::StudySpec::Condition* condition) {
  Dimension dim;
  dim.id = parameter.parameter_id();
  if (parameter.scale() != v1::StudySpec::SCALE_UNSPECIFIED) dim.scale = parameter.scale();
  if (parameter.has_integer_range()) {
    const auto& range = parameter.integer_range();
    dim.kind = Dimension::kInteger;
    dim.low = static_cast<double>(range.min());
    dim.high = static_cast<double>(range.max());
    if (range.has_default_value()) dim.default_value = static_cast<double>(range.default_value());
  } else if (parameter.has_numbers()) {
    const auto& numbers = parameter.numbers();
    dim.kind = Dimension::kDiscrete;
    dim.numbers.assign(numbers.values().begin(), numbers.values().end());
    std::sort(dim.numbers.begin(), dim.numbers.end());
    if (numbers.has_default_value()) {
      dim.default_value = static_cast<double>(IndexOf(dim.numbers, numbers.default_value()));
    }
  } else if (parameter.has_categories()) {
    const auto& categories = parameter.categories();
    dim.kind = categories.ordinal() ? Dimension::kOrdinal : Dimension::kCategorical;
    dim.texts.assign(categories.values().begin(), categories.values().end());
    if (categories.has_default_value()) {
      dim.default_value = static_cast<double>(IndexOf(dim.texts, categories.default_value()));
    }
  } else {
    const auto& range = parameter.double_range();
    dim.low = range.min();
    dim.high = range.max();
    if (range.has_default_value()) dim.default_value = range.default_value();
  }
  dim.parent = parent;
  if (condition != nullptr) {
    conditional_ = true;
    const Dimension& above = dimensions_[parent];
    for (double v : condition->discrete_values()) {
      dim.active_when.push_back(static_cast<double>(IndexOf(above.numbers, v)));
    }
    for (int64_t v : condition->integer_values()) {
      dim.active_when.push_back(static_cast<double>(v));
    }
    for (const auto& v : condition->categorical_values()) {
      dim.active_when.push_back(static_cast<double>(IndexOf(above.texts, v)));
    }
  }
  dimensions_.push_back(std::move(dim));
  const int self = size() - 1;
  for (const auto& child : parameter.conditional_parameters()) {
    Add(child.parameter(), self, &child.condition());
  }
}

bool Space::Active(const Point& point, int d) const {
  const Dimension& dim = dimensions_[d];
  if (dim.parent < 0) return true;
  const double above = point[dim.parent];
  return std::find(dim.active_when.begin(), dim.active_when.end(), above) != dim.active_when.end();
}

Point Space::FromFeatures(const std::vector<double>& features) const {
  Point point(size(), kNone);
  for (int d = 0; d < size(); ++d) {
    if (Active(point, d)) point[d] = dimensions_[d].Snap(features[d]);
  }
  return point;
}

std::vector<double> Space::ToFeatures(const Point& point) const {
  std::vector<double> features(size());
  for (int d = 0; d < size(); ++d) features[d] = dimensions_[d].ToFeature(point[d]);
  return features;
}

std::optional<double> ValueOf(const Dimension& dimension, const v1::ParameterValue& value) {
  double v;
  if (value.value_case() == v1::ParameterValue::kText) {
    const size_t i = IndexOf(dimension.texts, value.text());
    if (i >= dimension.texts.size()) return std::nullopt;
    return static_cast<double>(i);
  }
  if (value.value_case() == v1::ParameterValue::kInteger) {
    v = static_cast<double>(value.integer());
  } else if (value.value_case() == v1::ParameterValue::kNumber) {
    v = value.number();
  } else {
    return std::nullopt;
  }
  switch (dimension.kind) {
    case Dimension::kDiscrete: {
      const size_t i = IndexOf(dimension.numbers, v);
      if (i >= dimension.numbers.size()) return std::nullopt;
      return static_cast<double>(i);
    }
    case Dimension::kInteger:
      if (v != std::round(v)) return std::nullopt;
      [[fallthrough]];
    case Dimension::kDouble:
      if (!(v >= dimension.low && v <= dimension.high)) return std::nullopt;
      return v;
    case Dimension::kOrdinal:
    case Dimension::kCategorical:
      return std::nullopt;
  }
  return std::nullopt;
}

Point Space::FromParameters(const ParameterValues& parameters) const {
  Point point(size(), kNone);
  for (int d = 0; d < size(); ++d) {
    if (!Active(point, d)) continue;
    const Dimension& dim = dimensions_[d];
    const auto it = std::find_if(parameters.begin(), parameters.end(),
                                 [&](const auto& p) { return p.parameter_id() == dim.id; });
    const bool is_given = it != parameters.end();
    const auto value = is_given ? ValueOf(dim, *it) : std::nullopt;
    point[d] = value.has_value()               ? *value
               : dim.default_value.has_value() ? *dim.default_value
                                               : dim.Snap(0.5);
    if (!is_given || value.has_value()) continue;
    if (it->value_case() != v1::ParameterValue::kText && dim.texts.empty()) {
      const double v = it->value_case() == v1::ParameterValue::kInteger
                           ? static_cast<double>(it->integer())
                           : it->number();
      if (dim.kind == Dimension::kDiscrete && !std::isnan(v)) {
        const auto nearest =
            std::min_element(dim.numbers.begin(), dim.numbers.end(),
                             [v](double a, double b) { return std::abs(a - v) < std::abs(b - v); });
        point[d] = static_cast<double>(nearest - dim.numbers.begin());
      } else if (!std::isnan(v)) {
        point[d] =
            std::clamp(dim.kind == Dimension::kInteger ? std::round(v) : v, dim.low, dim.high);
      }
    }
  }
  return point;
}

ParameterValues Space::ToParameters(const Point& point) const {
  ParameterValues out;
  for (int d = 0; d < size(); ++d) {
    if (std::isnan(point[d])) continue;
    const Dimension& dim = dimensions_[d];
    v1::ParameterValue value;
    value.set_parameter_id(dim.id);
    switch (dim.kind) {
      case Dimension::kDouble:
        value.set_number(point[d]);
        break;
      case Dimension::kInteger:
        value.set_integer(point[d] >= 0x1.0p63 ? std::numeric_limits<int64_t>::max()
                                               : static_cast<int64_t>(point[d]));
        break;
      case Dimension::kDiscrete:
        value.set_number(dim.numbers[static_cast<size_t>(point[d])]);
        break;
      case Dimension::kOrdinal:
      case Dimension::kCategorical:
        value.set_text(dim.texts[static_cast<size_t>(point[d])]);
        break;
    }
    out.push_back(std::move(value));
  }
  return out;
}

uint64_t KeyOf(const Point& point) {
  uint64_t key = 0x7261696c;
  for (const double value : point) {
    uint64_t bits = 0;
    if (std::isnan(value)) {
      bits = 1;
    } else if (value != 0) {  // both zeros are the same value
      std::memcpy(&bits, &value, sizeof(bits));
    }
    key = MixSeed(key, bits);
  }
  return key;
}

}  // namespace trainyard::tuning
