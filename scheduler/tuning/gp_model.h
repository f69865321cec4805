// From a study's history to Gaussian processes: which trials are modelled, with what parameters,
// and whether the model foretells anything. Fits are kept and found again by what they were made
// of, so that an answer depends on the trials alone. Thread-compatible.
#ifndef TRAINYARD_SCHEDULER_TUNING_GP_MODEL_H_
#define TRAINYARD_SCHEDULER_TUNING_GP_MODEL_H_

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "scheduler/tuning/acquisition.h"
#include "scheduler/tuning/gp.h"
#include "scheduler/tuning/space.h"
#include "scheduler/tuning/transfer.h"

namespace trainyard::tuning {

struct Observation {
  int32_t id;
  double value;  // less is better; infinity: failed
  Features features;
  double deviation = 0;  // of a value that is foretold, in its own units
};

// Parameters fitted to trials, and what they are worth.
struct GpModel {
  GpFitted fit;
  double skill = 0;                    // see GpPosterior::Skill
  std::unique_ptr<MeanFunction> mean;  // of earlier studies; none when they do not help
};

class GpModels {
 public:
  // `lessons` may be null; both must outlive it.
  GpModels(const Space& space, const Lessons* lessons);

  // Fitted to a prefix of `all` (in order of id) that grows in steps, so that most asks find it
  // here. With `transfer`, earlier studies are asked too.
  std::shared_ptr<const GpModel> FittedTo(const std::vector<Observation>& all, bool transfer);
  GpData ToData(const std::vector<Observation>& observations) const;

 private:
  GpModel Make(const std::vector<Observation>& used, bool transfer) const;

  const Space& space_;
  const Lessons* const lessons_;
  std::vector<char> categorical_;
  std::list<std::pair<uint64_t, std::shared_ptr<const GpModel>>> kept_;  // newest first
};

// At most `most`: the better half by value, the rest evenly over the ids.
std::vector<Observation> Thinned(const std::vector<Observation>& all, int most);

// Ids by posterior mean, least first: where measurements are noisy, a lucky one does not win.
std::vector<int32_t> ByPosterior(const std::vector<Observation>& all, const Space& space);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_GP_MODEL_H_
