// What each HTTP request to the store means, without sockets: route, permission, work, answer.
// Called on the server's threads; thread-safe.
#ifndef TRAINYARD_SCHEDULER_STORE_HTTP_HANDLER_H_
#define TRAINYARD_SCHEDULER_STORE_HTTP_HANDLER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/store/http_route.h"
#include "scheduler/store/store.h"

namespace trainyard::store {

struct HttpCall {
  std::string method;
  std::string target;
  std::string authorization;
  std::string origin;
  std::string range;
  std::string if_generation;
  std::string body;
};

struct HttpAnswer {
  int status = 200;
  std::string content_type = "application/octet-stream";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  // Of a long answer: its length and what gives it piece by piece; `body` is empty then.
  int64_t stream_bytes = -1;
  std::function<absl::StatusOr<std::string>()> next_piece;
};

// The answer that says what `status` says: {"faults":[{reason,message,fix}]}.
HttpAnswer AnswerOf(const absl::Status& status);
HttpAnswer Fault(int http_status, absl::string_view reason, absl::string_view message,
                 absl::string_view fix);

class HttpHandler {
 public:
  HttpHandler(Store* store, HttpServer::Authorizer authorize)
      : store_(store), authorize_(std::move(authorize)) {}

  using Verb = HttpVerb;
  using Route = HttpRoute;
  // From the request's head alone, before any byte of the body is read. On refusal fills `refusal`
  // and returns false.
  bool Admit(const HttpCall& call, Route* route, HttpAnswer* refusal) const;
  // Performs an admitted call.
  HttpAnswer Perform(const HttpCall& call, const Route& route) const;

 private:
  HttpAnswer Missing(const HttpCall& call, bool blobs) const;
  HttpAnswer PutBlob(const HttpCall& call) const;
  HttpAnswer PutSmall(const HttpCall& call) const;
  HttpAnswer FetchSmall(const HttpCall& call) const;
  HttpAnswer GetBlob(const HttpCall& call, const std::string& digest) const;
  HttpAnswer GetObject(const HttpCall& call, const Route& route) const;
  HttpAnswer PutObject(const HttpCall& call, const Route& route) const;
  HttpAnswer DeleteObject(const HttpCall& call, const Route& route) const;
  HttpAnswer ListObjects(const Route& route) const;
  HttpAnswer Publish(const HttpCall& call, const Route& route) const;

  Store* const store_;
  const HttpServer::Authorizer authorize_;
};

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_HTTP_HANDLER_H_
