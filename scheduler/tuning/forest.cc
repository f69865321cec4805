// See forest.h.
#include "scheduler/tuning/forest.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace trainyard::tuning {
namespace {

constexpr int kBinsMax = 32;
constexpr int kTrees = 32;
constexpr int kRowsMax = 1000;  // drawn for a tree
constexpr size_t kLeavesMax = 64;
constexpr size_t kLeafRows = 4;  // fewer are not split

double Part(uint32_t mask, int bins) {
  return static_cast<double>(__builtin_popcount(mask)) / bins;
}

}  // namespace

Forest::Forest(const Space& space, const std::vector<const Point*>& points,
               const std::vector<double>& values, uint64_t seed)
    : dimensions_(space.size()), rows_(static_cast<int>(points.size())) {
  binned_.resize(static_cast<size_t>(dimensions_) * points.size());
  for (int d = 0; d < dimensions_; ++d) {
    const Dimension& dimension = space.dimension(d);
    const double levels = dimension.Levels();
    const int bins = levels > 0 && levels < kBinsMax ? static_cast<int>(levels) : kBinsMax;
    bins_.push_back(bins);
    categorical_.push_back(dimension.is_categorical() ? 1 : 0);
    for (size_t i = 0; i < points.size(); ++i) {
      const double value = (*points[i])[static_cast<size_t>(d)];
      const double feature = std::isnan(value) ? 0.5 : dimension.ToFeature(value);
      binned_[static_cast<size_t>(d) * points.size() + i] =
          static_cast<uint8_t>(std::clamp(static_cast<int>(feature * bins), 0, bins - 1));
    }
  }
  Random random(seed);
  for (int t = 0; t < kTrees; ++t) trees_.push_back(Grow(values, &random));
}

// The best cut of the rows over one dimension. Categories stand in order of their mean.
Forest::Split Forest::SplitOf(const std::vector<double>& values, const std::vector<int>& rows,
                              int dimension, uint32_t mask) const {
  std::array<double, kBinsMax> sums{};
  std::array<int, kBinsMax> counts{};
  const uint8_t* const column = binned_.data() + static_cast<size_t>(dimension) * rows_;
  double total = 0;
  for (const int row : rows) {
    sums[column[row]] += values[static_cast<size_t>(row)];
    ++counts[column[row]];
    total += values[static_cast<size_t>(row)];
  }
  std::array<int, kBinsMax> order{};
  const auto end = order.begin() + bins_[static_cast<size_t>(dimension)];
  std::iota(order.begin(), end, 0);
  if (categorical_[static_cast<size_t>(dimension)]) {
    std::stable_sort(order.begin(), end, [&](int a, int b) {
      return (counts[a] ? sums[a] / counts[a] : 0) < (counts[b] ? sums[b] / counts[b] : 0);
    });
  }
  const double count = static_cast<double>(rows.size());
  const double base = total * total / count;
  Split best;
  double left_sum = 0;
  double left_count = 0;
  uint32_t left = 0;
  for (auto it = order.begin(); it != end; ++it) {
    left |= mask & (1u << *it);
    left_sum += sums[*it];
    left_count += counts[*it];
    if (left_count == 0) continue;
    if (left_count == count) break;
    const double right_sum = total - left_sum;
    const double gain =
        left_sum * left_sum / left_count + right_sum * right_sum / (count - left_count) - base;
    if (gain > best.gain) best = {gain, dimension, left};
  }
  return best;
}

// Over a random third of the dimensions, at least five.
Forest::Split Forest::BestSplit(const std::vector<double>& values, const std::vector<int>& rows,
                                const std::vector<uint32_t>& masks, Random* random) const {
  std::vector<int> dimensions(static_cast<size_t>(dimensions_));
  std::iota(dimensions.begin(), dimensions.end(), 0);
  const size_t looked = std::min(dimensions.size(), std::max<size_t>(5, dimensions.size() / 3));
  Split best;
  for (size_t i = 0; i < looked; ++i) {
    std::swap(dimensions[i], dimensions[i + random->Below(dimensions.size() - i)]);
    const int d = dimensions[i];
    const Split split = SplitOf(values, rows, d, masks[static_cast<size_t>(d)]);
    if (split.gain > best.gain) best = split;
  }
  return best;
}

Forest::Tree Forest::Grow(const std::vector<double>& values, Random* random) const {
  struct Node {
    std::vector<int> rows;
    std::vector<uint32_t> masks;
    Split split;
  };
  Node root;
  for (int i = 0; i < std::min(rows_, kRowsMax); ++i) {
    root.rows.push_back(static_cast<int>(random->Below(static_cast<uint64_t>(rows_))));
  }
  for (const int bins : bins_) root.masks.push_back(~uint32_t{0} >> (32 - bins));
  root.split = BestSplit(values, root.rows, root.masks, random);
  std::vector<Node> nodes;
  nodes.push_back(std::move(root));
  while (nodes.size() < kLeavesMax) {  // the cut that explains most comes first
    const auto best =
        std::max_element(nodes.begin(), nodes.end(),
                         [](const Node& a, const Node& b) { return a.split.gain < b.split.gain; });
    if (best->split.gain <= 0) break;
    const Split split = best->split;
    const auto d = static_cast<size_t>(split.dimension);
    Node left{{}, best->masks, {}};
    Node right{{}, best->masks, {}};
    left.masks[d] = split.left;
    right.masks[d] &= ~split.left;
    for (const int row : best->rows) {
      const uint32_t bit = 1u << binned_[d * static_cast<size_t>(rows_) + static_cast<size_t>(row)];
      ((split.left & bit) != 0 ? left : right).rows.push_back(row);
    }
    for (Node* node : {&left, &right}) {
      if (node->rows.size() >= kLeafRows) {
        node->split = BestSplit(values, node->rows, node->masks, random);
      }
    }
    *best = std::move(left);
    nodes.push_back(std::move(right));
  }
  Tree tree;
  for (Node& node : nodes) {
    Leaf leaf{0, 1, std::move(node.masks)};
    for (const int row : node.rows) leaf.value += values[static_cast<size_t>(row)];
    leaf.value /= static_cast<double>(node.rows.size());
    for (size_t d = 0; d < leaf.masks.size(); ++d) leaf.volume *= Part(leaf.masks[d], bins_[d]);
    tree.push_back(std::move(leaf));
  }
  return tree;
}

// Each parameter's share of one tree's variance; empty when the tree is flat.
void Forest::SharesOf(const Tree& tree, std::vector<double>* alone) const {
  double mean = 0;
  for (const Leaf& leaf : tree) mean += leaf.volume * leaf.value;
  double variance = 0;
  for (const Leaf& leaf : tree) variance += leaf.volume * (leaf.value - mean) * (leaf.value - mean);
  alone->clear();
  if (!(variance > 0)) return;
  for (size_t d = 0; d < bins_.size(); ++d) {
    std::array<double, kBinsMax> marginal{};
    for (const Leaf& leaf : tree) {
      const double weight = leaf.volume / Part(leaf.masks[d], bins_[d]) * (leaf.value - mean);
      for (uint32_t left = leaf.masks[d]; left != 0; left &= left - 1) {
        marginal[static_cast<size_t>(__builtin_ctz(left))] += weight;
      }
    }
    double own = 0;
    for (int b = 0; b < bins_[d]; ++b)
      own += marginal[static_cast<size_t>(b)] * marginal[static_cast<size_t>(b)];
    alone->push_back(own / bins_[d] / variance);
  }
}

VarianceShares Forest::Shares() const {
  VarianceShares shares;
  shares.alone.assign(bins_.size(), 0);
  shares.deviation.assign(bins_.size(), 0);
  std::vector<std::vector<double>> all;
  std::vector<double> one;
  for (const Tree& tree : trees_) {
    SharesOf(tree, &one);
    if (!one.empty()) all.push_back(one);
  }
  if (all.empty()) return shares;
  const double count = static_cast<double>(all.size());
  shares.together = 1;
  for (size_t d = 0; d < bins_.size(); ++d) {
    for (const auto& tree : all) shares.alone[d] += tree[d] / count;
    double squares = 0;
    for (const auto& tree : all)
      squares += (tree[d] - shares.alone[d]) * (tree[d] - shares.alone[d]);
    shares.deviation[d] = std::sqrt(squares / count);
    shares.together -= shares.alone[d];
  }
  shares.together = std::max(0.0, shares.together);
  return shares;
}

}  // namespace trainyard::tuning
