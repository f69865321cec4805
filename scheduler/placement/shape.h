// A run's needs in the form the planner works with: names are numbers, equal needs are one shape.
// Many waiting runs share few shapes: what is found out about one holds for all of the shape.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_SHAPE_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_SHAPE_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "scheduler/placement/placement.h"

namespace trainyard::placement {

// Strings as numbers from 1, in the order they were first seen; 0 is the empty string.
class Names {
 public:
  int32_t Id(absl::string_view name);
  int32_t Find(absl::string_view name) const;  // -1: never seen
  const std::string& Name(int32_t id) const { return names_[static_cast<size_t>(id)]; }

 private:
  absl::flat_hash_map<std::string, int32_t> ids_;
  std::deque<std::string> names_ = {""};
};

// Needs of ranks that are interchangeable.
struct Needs {
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  int32_t gpu_count = 0;
  int32_t gpu_milli = 0;
  int64_t gpu_memory_bytes = 0;
  int32_t profile = 0;
  std::vector<int32_t> models;  // best first; empty: any
  bool wants_device() const { return gpu_count > 0 || gpu_milli > 0; }
  bool operator==(const Needs&) const = default;
};
struct Shape {
  struct Group {
    Needs needs;
    std::vector<int32_t> ranks;  // rising
  };
  std::vector<Group> groups;  // largest needs first
  int32_t rank_count = 0;
  bool spread = false;
  Topology topology;
  std::vector<std::pair<int32_t, int32_t>> labels;       // all must match
  std::vector<std::pair<int32_t, int32_t>> tolerations;  // (key, value); 0: any
  std::vector<int32_t> avoid;                            // node names
  int32_t calendar = 0;                                  // reservation it belongs to
  int32_t alternatives = 1;                              // lengths of the models lists
  int64_t charge_milli = 0;
  int64_t cores_milli = 0;
  double devices = 0;       // charge_milli / 1000
  int32_t elastic_min = 0;  // ranks it can go on with; 0: not elastic
  int32_t whole = 0;        // elastic: the shape with all ranks it can use
  int32_t least = 0;        // the shape with the fewest ranks it can start with; of most itself
  bool gang = false;        // more devices than policy.gang_devices
};

class Shapes {
 public:
  explicit Shapes(const Policy& policy) : policy_(policy) {}
  int32_t Of(const WaitingRun& run);
  // The shape of a running run: as it would wait again.
  int32_t Of(const RunningRun& run);
  // An elastic shape with so many ranks.
  int32_t Fewer(int32_t id, int32_t ranks);
  // The shape on these models alone, in the order of the shape's own list where it has one. kNone
  // where a rank accepts none of them. Only to look for room by: what is placed keeps its own
  // shape.
  static constexpr int32_t kNone = -1;
  int32_t Only(int32_t id, const std::vector<int32_t>& models);
  const Shape& at(int32_t id) const { return shapes_[static_cast<size_t>(id)]; }
  Shape& at(int32_t id) { return shapes_[static_cast<size_t>(id)]; }
  size_t size() const { return shapes_.size(); }
  Names& names() { return names_; }
  const Names& names() const { return names_; }

 private:
  int32_t Intern(const WaitingRun& run);
  Shape Build(const WaitingRun& run);

  const Policy policy_;
  Names names_;
  absl::flat_hash_map<std::string, int32_t> ids_;
  std::deque<Shape> shapes_;
  absl::flat_hash_map<std::pair<int32_t, int32_t>, int32_t> fewer_;
  absl::flat_hash_map<std::pair<int32_t, std::vector<int32_t>>, int32_t> only_;
};

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_SHAPE_H_
