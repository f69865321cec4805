// Answers of the store's HTTP as JSON; inside scheduler/store only. Pure.
#ifndef TRAINYARD_SCHEDULER_STORE_HTTP_ANSWER_H_
#define TRAINYARD_SCHEDULER_STORE_HTTP_ANSWER_H_

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "scheduler/store/http_handler.h"

namespace trainyard::store {

// Bytes of `value` that are no UTF-8 become replacement characters.
HttpAnswer JsonAnswer(int status, const nlohmann::json& value);
absl::Status BadRequest(absl::string_view message, absl::string_view fix);
// The digest of a body {"digest": "hex"}; "" when it is not that.
std::string DigestInBody(const std::string& body);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_HTTP_ANSWER_H_
