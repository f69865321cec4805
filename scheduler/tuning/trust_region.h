// How far round the best point a local ask looks: a box that doubles after successes in a row and
// halves after failures in it (Eriksson and others, "Scalable global optimization via local
// Bayesian optimization", 2019). Trials elsewhere count only when they move the centre. Pure.
#ifndef TRAINYARD_SCHEDULER_TUNING_TRUST_REGION_H_
#define TRAINYARD_SCHEDULER_TUNING_TRUST_REGION_H_

#include <vector>

#include "scheduler/tuning/gp_model.h"

namespace trainyard::tuning {

// Half the side of the box, in features; `skip`: trials of the start that were not searched for.
// `noisy`: a lucky best hides progress, so every trial counts and the box goes through all sizes.
double TrustRadius(const std::vector<Observation>& all, const Space& space, size_t skip,
                   bool noisy);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_TRUST_REGION_H_
