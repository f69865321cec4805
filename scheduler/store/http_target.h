// The target of an HTTP request, taken apart: percent-decoded path parts and query values. Refuses
// what could name something else after another round of decoding or joining. Pure.
#ifndef TRAINYARD_SCHEDULER_STORE_HTTP_TARGET_H_
#define TRAINYARD_SCHEDULER_STORE_HTTP_TARGET_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace trainyard::store {

struct HttpTarget {
  std::vector<std::string> parts;  // decoded, none empty, none "." or "..", no '/' or zero inside
  std::vector<std::pair<std::string, std::string>> query;
  // First value of that name, "" if none.
  std::string Query(absl::string_view name) const;
};

// False when `text` is no absolute path, has a broken escape or a part that is refused.
bool ParseTarget(absl::string_view text, HttpTarget* target);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_HTTP_TARGET_H_
