// Fills a JobSpec from the tier table and the defaults. Pure and thread-safe; internal to
// common/spec, see ResolveJobSpec in spec.h.
#ifndef TRAINYARD_COMMON_SPEC_RESOLVE_H_
#define TRAINYARD_COMMON_SPEC_RESOLVE_H_

#include "absl/strings/string_view.h"
#include "common/spec/spec.h"

namespace trainyard::spec {

// Fields of `over` that are not zero win.
void Overlay(const v1::Resources& over, v1::Resources* resources);
// Adds a note that is not there yet.
void AddNote(absl::string_view note, v1::JobSpec* spec);
// ResolveJobSpec without its checks; faults and notes name paths in the JobSpec.
void FillJobSpec(const TierTable& tiers, v1::JobSpec* spec, v1::Faults* faults);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_RESOLVE_H_
