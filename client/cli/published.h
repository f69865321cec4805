// What a job has published, for `pull` and `outputs`: the newest tree of each kind, and a way to
// read them. One thread.
#ifndef TRAINYARD_CLIENT_CLI_PUBLISHED_H_
#define TRAINYARD_CLIENT_CLI_PUBLISHED_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "common/blob/blob.h"
#include "trainyard/v1/artifact.pb.h"

namespace trainyard::cli {

struct Published {
  std::string job;    // full name
  int32_t trial = 0;  // whose outputs they are; 0: a plain job's
  // By kind; kinds are safe as names of folders. A gang over several nodes has one of each member:
  // together they are the folder, and of a file that several have the last one's counts.
  std::map<std::string, std::vector<v1::OutputTree>> trees;
  std::unique_ptr<blob::Client> store;
};

// The outputs of the job that the first word names, of its best trial or of --trial. NOT_FOUND when
// it has published nothing, with what a program has to do for it.
absl::StatusOr<Published> FindPublished(Context* context, const Arguments& arguments);

// The files that trees make together, by path; at most 64 MiB of list each.
absl::StatusOr<std::map<std::string, v1::TreeEntry>> FilesOf(
    blob::Client* store, const std::vector<v1::OutputTree>& trees);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_PUBLISHED_H_
