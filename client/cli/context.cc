// See context.h.
#include "client/cli/context.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/sdk/client.h"
#include "common/errors.h"
#include "common/names.h"

namespace trainyard::cli {

Context::Context(Console* console, client::Environment environment)
    : console_(console), environment_(std::move(environment)) {}
Context::~Context() = default;

absl::StatusOr<client::Client*> Context::Connect() {
  if (client_ == nullptr) {
    absl::StatusOr<client::Endpoint> endpoint = client::FindEndpoint(endpoint_flags_, environment_);
    if (!endpoint.ok()) return endpoint.status();
    client_ = std::make_unique<client::Client>(*std::move(endpoint), client::ClientOptions());
  }
  return client_.get();
}

absl::StatusOr<std::string> Context::Project() {
  if (client_ != nullptr) return client_->endpoint().project;
  const absl::StatusOr<client::Client*> client = Connect();
  if (!client.ok()) return client.status();
  return (*client)->endpoint().project;
}

absl::StatusOr<std::string> Context::Parent() {
  const absl::StatusOr<std::string> project = Project();
  if (!project.ok()) return project.status();
  return FormatProject(*project);
}

absl::StatusOr<std::string> Context::JobNameOf(const std::string& word) {
  if (absl::StartsWith(word, "projects/")) {
    const absl::StatusOr<JobName> name = ParseJob(word);
    return name.ok() ? absl::StatusOr<std::string>(word) : name.status();
  }
  if (absl::Status status = CheckId("job", word); !status.ok()) return status;
  const absl::StatusOr<std::string> project = Project();
  if (!project.ok()) return project.status();
  return FormatJob(*project, word);
}

absl::StatusOr<std::string> Context::StudyNameOf(const std::string& word) {
  if (absl::StartsWith(word, "projects/")) {
    const absl::StatusOr<JobName> name = ParseStudy(word);
    return name.ok() ? absl::StatusOr<std::string>(word) : name.status();
  }
  if (absl::Status status = CheckId("study", word); !status.ok()) return status;
  const absl::StatusOr<std::string> project = Project();
  if (!project.ok()) return project.status();
  return FormatStudy(*project, word);
}

}  // namespace trainyard::cli
