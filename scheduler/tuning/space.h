// A study's search space as flat coordinates. Every parameter of the tree is one dimension, parents
// before children. A point holds one number a dimension: the value itself for doubles and integers,
// the place in the list for discrete, ordinal and categorical ones, NaN where the parameter is not
// active. A feature is the same place on [0, 1] after the scale's warp; snapping a feature gives
// the nearest value, and a uniform feature gives a uniform sample. Immutable; thread-safe.
#ifndef TRAINYARD_SCHEDULER_TUNING_SPACE_H_
#define TRAINYARD_SCHEDULER_TUNING_SPACE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainyard/v1/spec.pb.h"

namespace trainyard::tuning {

using Point = std::vector<double>;
using ParameterValues = std::vector<v1::ParameterValue>;

struct Dimension {
  enum Kind { kDouble, kInteger, kDiscrete, kOrdinal, kCategorical };
  std::string id;
  Kind kind = kDouble;
  v1::StudySpec::Scale scale = v1::StudySpec::LINEAR;
  double low = 0;  // doubles and integers
  double high = 1;
  std::vector<double> numbers;     // discrete
  std::vector<std::string> texts;  // ordinal and categorical
  std::optional<double> default_value;
  int parent = -1;
  std::vector<double> active_when;  // values of the parent, as in a point

  // Number of distinct values, 0 for a continuum.
  double Levels() const;
  bool is_categorical() const { return kind == kCategorical; }
  double ToFeature(double value) const;
  double Snap(double feature) const;
};

class Space {
 public:
  // The spec must pass CheckStudySpec.
  explicit Space(const v1::StudySpec& spec);

  int size() const { return static_cast<int>(dimensions_.size()); }
  const Dimension& dimension(int d) const { return dimensions_[d]; }
  const std::vector<Dimension>& dimensions() const { return dimensions_; }
  bool conditional() const { return conditional_; }

  // Whether dimension d is active given the values of the dimensions before it.
  bool Active(const Point& point, int d) const;
  // Features in [0, 1] to a point; those of parameters that come out inactive are not used.
  Point FromFeatures(const std::vector<double>& features) const;
  // Inactive ones are 0.5.
  std::vector<double> ToFeatures(const Point& point) const;
  // Values outside their domain are moved to the nearest inside; unknown parameters are dropped;
  // absent ones take their default, else the middle.
  Point FromParameters(const ParameterValues& parameters) const;
  ParameterValues ToParameters(const Point& point) const;

  // Number of different points, infinity when there is a continuum.
  double Count() const { return count_; }
  // The index-th point in order of the parameters; 0 <= index < Count(), which must be finite.
  Point GridPoint(double index) const;

 private:
  void Add(const v1::StudySpec::Parameter& parameter, int parent,
           const v1::StudySpec::Condition* condition);
  double CountFrom(int d) const;  // points of d's subtree
  double CountBelow(int d, double value) const;
  void FillGrid(int d, double index, Point* point) const;
  void FillChildren(int d, double index, Point* point) const;

  std::vector<Dimension> dimensions_;
  std::vector<std::vector<int>> children_;
  std::vector<int> roots_;
  bool conditional_ = false;
  double count_ = 1;
};

// A hash of a point's values, the same on every machine; equal points have equal keys.
uint64_t KeyOf(const Point& point);

// The value of a parameter as a point holds it, nothing when it is outside the domain or of
// another type.
std::optional<double> ValueOf(const Dimension& dimension, const v1::ParameterValue& value);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_SPACE_H_
