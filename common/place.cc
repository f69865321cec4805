// See place.h.
#include "common/place.h"

#include "absl/strings/strip.h"

namespace trainyard {

bool ParsePlace(absl::string_view uri, Place* place) {
  if (!absl::ConsumePrefix(&uri, "gs://") && !absl::ConsumePrefix(&uri, "s3://")) return false;
  const size_t slash = uri.find('/');
  place->bucket = std::string(uri.substr(0, slash));
  absl::string_view name = slash == absl::string_view::npos ? "" : uri.substr(slash + 1);
  while (absl::ConsumeSuffix(&name, "/")) {
  }
  place->name = std::string(name);
  return true;
}

}  // namespace trainyard
