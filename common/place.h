// Names in the cluster's own store, as specs and commands write them. Pure.
#ifndef TRAINYARD_COMMON_PLACE_H_
#define TRAINYARD_COMMON_PLACE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace trainyard {

struct Place {
  std::string bucket;
  std::string name;  // "" : the bucket itself; no slash at either end
};
// Of gs://bucket/name and s3://bucket/name, which mean the same here; false when it is neither.
// Whether the names are good ones is the store's to say.
bool ParsePlace(absl::string_view uri, Place* place);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_PLACE_H_
