// libFuzzer on search spaces: what the checks let through, the optimisers can draw from, and every
// drawn point is the same point after a trip through its parameters. tests/fuzz/run.py builds and
// runs it.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/spec/spec.h"
#include "scheduler/tuning/space.h"

namespace {

void CheckPoint(const trainyard::tuning::Space& space, const trainyard::tuning::Point& point) {
  const trainyard::tuning::ParameterValues parameters = space.ToParameters(point);
  const trainyard::tuning::Point again = space.FromParameters(parameters);
  if (space.ToParameters(again).size() != parameters.size()) abort();
  for (const double feature : space.ToFeatures(point)) {
    if (!(feature >= 0 && feature <= 1)) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace spec = trainyard::spec;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const spec::StudyParseResult study = spec::ParseStudySpec(text, "f");
  if (!study.ok() || !spec::CheckStudySpec(study.spec).ok()) return 0;
  const trainyard::tuning::Space space(study.spec);
  for (const double at : {0.0, 0.25, 0.5, 1.0}) {
    CheckPoint(space, space.FromFeatures(std::vector<double>(space.size(), at)));
  }
  if (space.Count() >= 1 && std::isfinite(space.Count())) {
    CheckPoint(space, space.GridPoint(0));
    CheckPoint(space, space.GridPoint(space.Count() - 1));
  }
  return 0;
}
