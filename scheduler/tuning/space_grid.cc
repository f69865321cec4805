// Counting and enumerating the points of a finite search space: see space.h. The number of points
// below one value of a parameter is the product over the children active there.
#include <algorithm>
#include <cmath>
#include <limits>

#include "scheduler/tuning/space.h"

namespace trainyard::tuning {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr double kWalkMax = 1e6;  // values of one parent that are looked at one by one

double ValueAt(const Dimension& dim, double i) {
  return dim.kind == Dimension::kInteger || dim.kind == Dimension::kDouble ? dim.low + i : i;
}

}  // namespace

double Space::CountBelow(int d, double value) const {
  double product = 1;
  for (const int child : children_[d]) {
    const auto& when = dimensions_[child].active_when;
    if (std::find(when.begin(), when.end(), value) != when.end()) product *= CountFrom(child);
  }
  return product;
}

double Space::CountFrom(int d) const {
  const double levels = dimensions_[d].Levels();
  if (levels == 0) return kInfinite;
  if (children_[d].empty()) return levels;
  if (levels > kWalkMax) return kInfinite;
  double sum = 0;
  for (double i = 0; i < levels; ++i) sum += CountBelow(d, ValueAt(dimensions_[d], i));
  return sum;
}

Point Space::GridPoint(double index) const {
  Point point(size(), std::numeric_limits<double>::quiet_NaN());
  for (auto root = roots_.rbegin(); root != roots_.rend(); ++root) {
    const double count = CountFrom(*root);
    FillGrid(*root, std::fmod(index, count), &point);
    index = std::floor(index / count);
  }
  return point;
}

void Space::FillGrid(int d, double index, Point* point) const {
  const Dimension& dim = dimensions_[d];
  if (children_[d].empty()) {
    (*point)[d] = ValueAt(dim, index);
    return;
  }
  for (double i = 0; i < dim.Levels(); ++i) {
    const double below = CountBelow(d, ValueAt(dim, i));
    if (index < below) {
      (*point)[d] = ValueAt(dim, i);
      FillChildren(d, index, point);
      return;
    }
    index -= below;
  }
}

void Space::FillChildren(int d, double index, Point* point) const {
  for (auto child = children_[d].rbegin(); child != children_[d].rend(); ++child) {
    if (!Active(*point, *child)) continue;
    const double count = CountFrom(*child);
    FillGrid(*child, std::fmod(index, count), point);
    index = std::floor(index / count);
  }
}

}  // namespace trainyard::tuning
