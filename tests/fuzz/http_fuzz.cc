// libFuzzer on the store's HTTP: requests as they come from the wire, targets, routes, ranges and
// bodies of many small contents. No part of a target leaves its folder. tests/fuzz/run.py builds
// and runs it.
#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/blob/blob.h"
#include "common/blob/http_text.h"
#include "scheduler/store/http_route.h"
#include "scheduler/store/http_target.h"

namespace trainyard {
namespace {

void CheckTarget(const std::string& method, absl::string_view text) {
  store::HttpTarget target;
  if (!store::ParseTarget(text, &target)) return;
  for (const std::string& part : target.parts) {
    const bool leaves = part.empty() || part == "." || part == ".." ||
                        part.find('/') != std::string::npos || part.find('\0') != std::string::npos;
    if (leaves) abort();
  }
  store::HttpRoute route;
  const int refusal = store::FindRoute(method, target, &route);
  if (refusal != 0 && (refusal < 400 || refusal > 599)) abort();
  if (refusal == 0) store::NeedsWrite(route.verb);
}

void ReadRequest(const char* data, size_t size) {
  namespace http = boost::beast::http;
  http::request_parser<http::string_body> parser;
  parser.body_limit(1 << 16);
  parser.header_limit(8192);
  parser.eager(true);
  boost::beast::error_code error;
  parser.put(boost::asio::buffer(data, size), error);
  if (!parser.is_header_done()) return;
  const auto& request = parser.get();
  CheckTarget(std::string(request.method_string()), std::string(request.target()));
  const auto range = request[http::field::content_range];
  blob::TotalOfRange(absl::string_view(range.data(), range.size()));
  std::vector<absl::string_view> contents;
  size_t total = 0;
  if (blob::CutSmall(request.body(), &contents)) {
    for (const absl::string_view content : contents) total += content.size();
  }
  if (total > request.body().size()) abort();
}

}  // namespace
}  // namespace trainyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  trainyard::ReadRequest(text.data(), text.size());
  trainyard::CheckTarget("GET", text);
  trainyard::CheckTarget("PUT", text);
  trainyard::store::DigestOfHex(text);
  trainyard::blob::EscapedPath(text);
  return 0;
}
