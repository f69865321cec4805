// YAML (and JSON, which is read by the same path) as a tree that keeps the line and column of every
// key and value, and whether a scalar was quoted. Limits: 4 MiB, depth 64, 100,000 values after
// aliases are followed. Duplicate keys, tabs and anything that is not text are faults. Thread-safe.
#ifndef TRAINYARD_COMMON_SPEC_YAML_NODE_H_
#define TRAINYARD_COMMON_SPEC_YAML_NODE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "trainyard/v1/error.pb.h"

namespace trainyard::spec {

inline constexpr int64_t kNodesMax = 100'000;

struct Node;
using NodePtr = std::shared_ptr<const Node>;

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };
  struct Entry {
    std::string key;
    int line = 0;
    int column = 0;
    NodePtr value;
  };

  Kind kind = Kind::kNull;
  std::string text;     // of a scalar
  bool quoted = false;  // of a scalar
  int line = 0;         // from 1
  int column = 0;
  int64_t weight = 1;  // values in the subtree, aliases followed
  std::vector<NodePtr> items;
  std::vector<Entry> entries;
};

// The first document of `text`, null when there were faults that leave no tree.
NodePtr ParseYaml(absl::string_view text, absl::string_view file_name, v1::Faults* faults);

// "text", "an integer", "a list" and so on: what a fault says was found.
std::string Describe(const Node& node);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_YAML_NODE_H_
