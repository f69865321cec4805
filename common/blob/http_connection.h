// One kept-alive HTTP/1.1 connection to the store. Every step has a deadline; a connection that
// broke is made anew by the next Exchange. One thread at a time.
#ifndef TRAINYARD_COMMON_BLOB_HTTP_CONNECTION_H_
#define TRAINYARD_COMMON_BLOB_HTTP_CONNECTION_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard::blob {

struct HttpRequest {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  absl::string_view body;
};
struct HttpReply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  // First header of that (lower case) name, "" if none.
  absl::string_view Header(absl::string_view name) const;
};

class HttpConnection {
 public:
  struct Options {
    std::string address;  // host:port, or https://host:port
    std::string token;    // bearer; empty: none is sent
    std::string ca_file;  // for https; empty: the system's
    absl::Duration connect_timeout = absl::Seconds(10);
    absl::Duration exchange_timeout = absl::Seconds(120);
  };
  static std::unique_ptr<HttpConnection> Make(Options options);
  virtual ~HttpConnection() = default;
  // One request, one reply, whatever its status. UNAVAILABLE when the server cannot be reached or
  // hangs up; `sent` (may be null) then tells whether the request may have been acted upon.
  // Replies of more than 16 MiB are refused.
  virtual absl::StatusOr<HttpReply> Exchange(const HttpRequest& request, bool* sent) = 0;
  // What later requests bear.
  virtual void SetToken(std::string token) = 0;
};

}  // namespace trainyard::blob

#endif  // TRAINYARD_COMMON_BLOB_HTTP_CONNECTION_H_
