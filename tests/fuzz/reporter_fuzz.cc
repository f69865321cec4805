// libFuzzer on the JSON lines of a supervisor's two sockets, and on the files between it and the
// agent: any bytes are a request or a reason why not. tests/fuzz/run.py builds and runs it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "worker/core/launch_spec.h"
#include "worker/supervisor/requests.h"

namespace trainyard::worker {
namespace {

void Check(const Request& request) {
  const bool is_valid = request.kind != Request::Kind::kInvalid;
  if (is_valid != request.error.empty()) abort();
  if (!is_valid) ErrorReply(request.error);
}

void CheckFiles(const std::string& text) {
  std::string error;
  LaunchSpec spec;
  if (!LaunchSpecFromJson(text, &spec, &error)) {
    if (error.empty()) abort();
  } else {
    LaunchSpec again;
    if (!LaunchSpecFromJson(LaunchSpecToJson(spec), &again, &error)) abort();
  }
  ExitReport report;
  error.clear();
  if (!ExitReportFromJson(text, &report, &error) && error.empty()) abort();
}

}  // namespace
}  // namespace trainyard::worker

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  trainyard::worker::Check(trainyard::worker::ParseReporterRequest(text));
  trainyard::worker::Check(trainyard::worker::ParseControlRequest(text));
  trainyard::worker::CheckFiles(text);
  return 0;
}
