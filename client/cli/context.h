// What a command works with: console, environment, what the global flags said, and the client,
// which is made at the first use. One thread.
#ifndef TRAINYARD_CLIENT_CLI_CONTEXT_H_
#define TRAINYARD_CLIENT_CLI_CONTEXT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/console.h"
#include "client/cli/output.h"
#include "client/sdk/endpoint.h"

namespace trainyard::client {
class Client;
}

namespace trainyard::cli {

class Context {
 public:
  Context(Console* console, client::Environment environment);
  ~Context();

  Console& console() { return *console_; }
  const client::Environment& environment() const { return environment_; }
  client::EndpointFlags& endpoint_flags() { return endpoint_flags_; }
  Format format = Format::kTable;
  bool format_given = false;
  bool quiet = false;
  std::string request_id;
  std::string binary_folder;  // where the daemons lie

  // Finds the endpoint and makes the client at the first call; connects nothing.
  absl::StatusOr<client::Client*> Connect();
  // The project that names are completed with; needs no scheduler.
  absl::StatusOr<std::string> Project();
  // "j" -> "projects/{project}/jobs/j"; full names stay. Likewise studies and nodes.
  absl::StatusOr<std::string> JobNameOf(const std::string& word);
  absl::StatusOr<std::string> StudyNameOf(const std::string& word);
  // "projects/{project}"
  absl::StatusOr<std::string> Parent();

 private:
  Console* console_;
  client::Environment environment_;
  client::EndpointFlags endpoint_flags_;
  std::unique_ptr<client::Client> client_;
};

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_CONTEXT_H_
