// Names in the store that a spec mentions: packages that lie there become digests at submit, so
// that every attempt runs the same content, and a place that outputs cannot go to is refused.
#ifndef TRAINYARD_SCHEDULER_API_PLACES_H_
#define TRAINYARD_SCHEDULER_API_PLACES_H_

#include "absl/strings/string_view.h"
#include "common/errors.h"
#include "scheduler/api/context.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::api {

// Fills in digests; every fault at once: BAD_NAME, PERMISSION_DENIED (a bucket of another project),
// PACKAGE_NOT_FOUND.
v1::Faults ResolvePlaces(const Context& context, absl::string_view project, v1::JobSpec* spec);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_PLACES_H_
