// The search space of a study: each parameter's domain, scale, default and conditions. Used by
// check_study.cc. Pure; one object for one check.
#ifndef TRAINYARD_COMMON_SPEC_SEARCH_SPACE_H_
#define TRAINYARD_COMMON_SPEC_SEARCH_SPACE_H_

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "common/spec/check.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::spec {

// Two discrete values closer than this are the same, as in the peers' public API.
bool SameNumber(double a, double b);

// "base.name[index]" and "base.name"; `base` may be empty.
std::string At(absl::string_view base, absl::string_view name, int index);
std::string Under(absl::string_view base, absl::string_view name);

class SpaceChecker {
 public:
  using Parameter = v1::StudySpec::Parameter;
  explicit SpaceChecker(Checker* checker) : checker_(checker) {}

  // Checks `parameter` and those that hang on it. `depth` begins at 1.
  void Check(const Parameter& parameter, const std::string& path, int depth);
  // All parameters checked so far, by id. They must outlive this object.
  const std::map<std::string, const Parameter*>& by_id() const { return by_id_; }

 private:
  void Bad(const std::string& path, absl::string_view message, absl::string_view expected,
           absl::string_view fix);
  void CheckId(const Parameter& parameter, const std::string& path);
  template <typename Range>
  void CheckRange(const Range& range, const Parameter& parameter, const std::string& path);
  void CheckLog(const Parameter& parameter, const std::string& path, double min);
  void CheckCategories(const Parameter& parameter, const std::string& path);
  void CheckNumbers(const Parameter& parameter, const std::string& path);
  void CheckChildren(const Parameter& parameter, const std::string& path, int depth);
  void CheckCondition(const Parameter& parent, const v1::StudySpec::Condition& condition,
                      const std::string& path);
  void CheckParentValues(const Parameter& parent, const v1::StudySpec::Condition& condition,
                         const std::string& path);

  Checker* checker_;
  std::map<std::string, const Parameter*> by_id_;
};

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_SEARCH_SPACE_H_
