// See http_text.h.
#include "common/blob/http_text.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"

namespace trainyard::blob {
namespace {

absl::StatusCode CodeOfHttp(int status) {
  switch (status) {
    case 400:
    case 405:
    case 413:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kFailedPrecondition;
    case 412:
      return absl::StatusCode::kAborted;
    case 429:
    case 507:
      return absl::StatusCode::kResourceExhausted;
    case 503:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status ErrorOfReply(const HttpReply& reply) {
  const auto body = nlohmann::json::parse(reply.body, nullptr, false);
  v1::Faults faults;
  if (body.is_object() && body.contains("faults") && body["faults"].is_array()) {
    for (const auto& from : body["faults"]) {
      if (!from.is_object()) continue;
      v1::Fault* fault = faults.add_faults();
      const auto text = [&from](const char* key) {
        const auto it = from.find(key);
        return it != from.end() && it->is_string() ? it->get<std::string>() : std::string();
      };
      fault->set_reason(text("reason"));
      fault->set_message(text("message"));
      fault->set_fix(text("fix"));
    }
  }
  const absl::StatusCode code = CodeOfHttp(reply.status);
  if (faults.faults().empty()) {
    return absl::Status(code, absl::StrCat("the store answered HTTP ", reply.status));
  }
  return MakeError(code, faults);
}

std::string EscapedPath(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ||
                       c == '.' || c == '~' || c == '/';
    if (plain) {
      out += c;
    } else {
      absl::StrAppend(&out, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return out;
}

int64_t TotalOfRange(absl::string_view content_range) {
  const size_t slash = content_range.find('/');
  int64_t total = -1;
  if (slash == absl::string_view::npos ||
      !absl::SimpleAtoi(content_range.substr(slash + 1), &total)) {
    return -1;
  }
  return total;
}

}  // namespace trainyard::blob
