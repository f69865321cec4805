// See places.h.
#include "scheduler/api/places.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/place.h"

namespace trainyard::api {
namespace {

void Add(const absl::Status& status, absl::string_view field, v1::Faults* faults) {
  if (status.ok()) return;
  const v1::Faults found = FaultsOf(status);
  for (v1::Fault fault : found.faults()) {
    fault.set_field(std::string(field));
    *faults->add_faults() = std::move(fault);
  }
}

void CheckOutputs(const Context& context, absl::string_view project, const std::string& uri,
                  absl::string_view field, v1::Faults* faults) {
  Place place;
  if (!ParsePlace(uri, &place)) return;
  Add(context.store->objects().CheckBucket(place.bucket, project, false), field, faults);
}

absl::Status Resolve(const Context& context, absl::string_view project, const Place& place,
                     v1::PackageRef* package) {
  absl::Status status = context.store->objects().CheckBucket(place.bucket, project, false);
  if (!status.ok()) return status;
  const absl::StatusOr<v1::ObjectInfo> object =
      context.store->objects().Get(place.bucket, place.name);
  if (absl::IsNotFound(object.status())) {
    return MakeError(absl::StatusCode::kInvalidArgument, "PACKAGE_NOT_FOUND",
                     absl::StrCat("the store has no object ", package->uri()),
                     "put it there first, or name a file or folder of this machine");
  }
  if (!object.ok()) return object.status();
  package->set_digest(object->digest());
  return absl::OkStatus();
}

}  // namespace

v1::Faults ResolvePlaces(const Context& context, absl::string_view project, v1::JobSpec* spec) {
  v1::Faults faults;
  CheckOutputs(context, project, spec->job_dir(), "jobDir", &faults);
  CheckOutputs(context, project, spec->base_output_directory(), "baseOutputDirectory", &faults);
  for (int i = 0; i < spec->program().packages_size(); ++i) {
    v1::PackageRef* const package = spec->mutable_program()->mutable_packages(i);
    Place place;
    if (!package->digest().empty() || !ParsePlace(package->uri(), &place)) continue;
    Add(Resolve(context, project, place, package), absl::StrCat("program.packages[", i, "]"),
        &faults);
  }
  return faults;
}

}  // namespace trainyard::api
