// See shared_output.h.
#include "client/cli/shared_output.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"

namespace trainyard::cli {
namespace {

constexpr int kJobsLookedAt = 200;

// "gs://team/iris/" and "s3://team/iris" -> "team/iris"; "" for what is no bucket's.
std::string PathOf(absl::string_view uri) {
  if (!absl::ConsumePrefix(&uri, "gs://") && !absl::ConsumePrefix(&uri, "s3://")) return "";
  while (absl::ConsumeSuffix(&uri, "/")) {
  }
  return std::string(uri);
}

// The name of one object there, "" for none.
std::string ObjectIn(client::Client* client, const std::string& path) {
  v1::ListObjectsRequest request;
  const size_t slash = path.find('/');
  request.set_bucket(path.substr(0, slash));
  if (slash != std::string::npos) request.set_prefix(absl::StrCat(path.substr(slash + 1), "/"));
  request.set_page_size(1);
  const absl::StatusOr<v1::ListObjectsResponse> found = client->ListObjects(request);
  if (!found.ok() || found->objects().empty()) return "";
  return absl::StrCat("gs://", found->objects(0).bucket(), "/", found->objects(0).name());
}

}  // namespace

void SaySharedOutput(Context* context, const v1::JobSpec& spec) {
  const std::string path = PathOf(spec.job_dir());
  if (path.empty()) return;
  const absl::StatusOr<std::string> parent = context->Parent();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!parent.ok() || !client.ok()) return;
  if (const std::string object = ObjectIn(*client, path); !object.empty()) {
    context->console().Note(absl::StrCat("gs://", path, " is not empty (", object,
                                         "): what this job publishes replaces what has the same "
                                         "name; another --job-dir keeps both"));
  }
  v1::ListJobsRequest request;
  request.set_parent(*parent);
  request.set_page_size(kJobsLookedAt);
  request.set_view(v1::BASIC_VIEW);
  const absl::StatusOr<v1::ListJobsResponse> jobs = (*client)->ListJobs(request);
  if (!jobs.ok()) return;
  for (const v1::Job& job : jobs->jobs()) {
    if (client::IsTerminal(job.state()) || PathOf(job.output_uri()) != path) continue;
    context->console().Note(
        absl::StrCat("job ", ShortName(job.name()), " (", v1::JobState_Name(job.state()),
                     ") publishes into gs://", path,
                     " too: who ends last replaces the other's files; give each its own job dir"));
    return;
  }
}

}  // namespace trainyard::cli
