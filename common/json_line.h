// One line of JSON from a user, in which a name that an object has twice is told: readers of JSON
// keep one of the two without a word.
#ifndef TRAINYARD_COMMON_JSON_LINE_H_
#define TRAINYARD_COMMON_JSON_LINE_H_

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace trainyard {

// The value of `line`, discarded when it is no JSON. `twice` becomes the first name that one object
// has twice, with its quotes; empty: none.
inline nlohmann::ordered_json ParseJsonLine(absl::string_view line, std::string* twice) {
  using Json = nlohmann::ordered_json;
  twice->clear();
  std::vector<std::set<std::string>> open;
  const Json::parser_callback_t look = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) {
      open.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      open.pop_back();
    } else if (event == Json::parse_event_t::key && twice->empty()) {
      const auto name = parsed.get<std::string>();
      if (open.back().insert(name).second) return true;
      *twice = parsed.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    return true;
  };
  return Json::parse(line.begin(), line.end(), look, /*allow_exceptions=*/false);
}

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_JSON_LINE_H_
