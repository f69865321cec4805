// See publisher.h.
#include "worker/agent/publisher.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/file.h"
#include "common/place.h"
#include "worker/core/launch_spec.h"

namespace trainyard::worker {
namespace {

struct OutputFolder {
  const char* folder;
  const char* kind;
  bool head_only;
  const char* below;  // the place that the spec names
};
constexpr OutputFolder kOutputs[] = {
    {layout::kModel, "model", true, "model"},
    {layout::kCheckpoints, "checkpoint", false, "checkpoints"},
    {layout::kJobDir, "job_dir", true, ""},
    {layout::kTensorboard, "logs", true, "logs"},
};

bool IsEmpty(const std::string& folder) {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder);
  return !names.ok() || names->empty();
}

// What the training runtime keeps beside its checkpoints while it writes or removes one; a rank
// that was killed leaves it.
bool IsRest(absl::string_view name) {
  return absl::StartsWith(name, ".step_") &&
         (absl::EndsWith(name, ".partial") || absl::EndsWith(name, ".old"));
}

// Which names of an output folder are published; `options` says so to the upload.
bool Choose(const std::string& folder, blob::TreeOptions* options) {
  absl::StatusOr<std::vector<std::string>> names = ListFolder(folder);
  if (!names.ok()) return false;
  const size_t found = names->size();
  names->erase(std::remove_if(names->begin(), names->end(), IsRest), names->end());
  const bool any = !names->empty();
  if (names->size() < found) options->only = *std::move(names);
  return any;
}

bool MayRepeat(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

absl::StatusOr<v1::Tree> TreeOfFile(const std::string& file) {
  struct stat info {};
  if (lstat(file.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::NotFoundError(absl::StrCat(file, " is neither a file nor a folder"));
  }
  v1::Tree tree;
  v1::TreeEntry* const entry = tree.add_entries();
  entry->set_mode(info.st_mode & 0777);
  entry->set_size(info.st_size);
  return tree;
}

// Gives an uploaded tree its names in the store.
absl::Status PublishTree(blob::Client* client, const Place& place, const OutputFolder& out,
                         const std::string& digest) {
  std::string prefix = place.name;
  if (*out.below != '\0') {
    absl::StrAppend(&prefix, prefix.empty() ? "" : "/", out.below);
  }
  return client->PublishTree(place.bucket, prefix, digest);
}

}  // namespace

absl::StatusOr<std::string> UploadCheckpoint(blob::Client* client, const std::string& checkpoints,
                                             const std::string& path) {
  if (absl::Status safe = CheckRelativePath(path); !safe.ok()) return safe;
  const std::string source = JoinPath(checkpoints, path);
  struct stat info {};
  const bool is_folder = lstat(source.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  absl::StatusOr<v1::Tree> tree =
      is_folder ? blob::TreeOfFolder(source, blob::TreeOptions()) : TreeOfFile(source);
  if (!tree.ok()) return tree.status();
  for (v1::TreeEntry& entry : *tree->mutable_entries()) {
    if (entry.link_target().empty()) {
      const std::string file = is_folder ? JoinPath(source, entry.path()) : source;
      absl::StatusOr<std::string> digest = client->UploadFile(file);
      if (!digest.ok()) return digest.status();
      entry.set_digest(*std::move(digest));
    }
    entry.set_path(is_folder ? JoinPath(path, entry.path()) : path);
  }
  return client->UploadBytes(tree->SerializeAsString());
}

bool HasOutputs(const std::string& folder) {
  return std::any_of(std::begin(kOutputs), std::end(kOutputs), [&folder](const OutputFolder& out) {
    return !IsEmpty(JoinPath(folder, out.folder));
  });
}

absl::StatusOr<std::vector<v1::OutputTree>> UploadOutputs(blob::Client* client,
                                                          const std::string& folder,
                                                          const agent::v1::Assignment& assignment,
                                                          int64_t step) {
  std::vector<v1::OutputTree> outputs;
  Place place;
  const bool named = ParsePlace(assignment.job_dir(), &place);
  if (named && assignment.trial() > 0) {
    absl::StrAppend(&place.name, place.name.empty() ? "" : "/", assignment.trial());
  }
  for (const OutputFolder& out : kOutputs) {
    const std::string source = JoinPath(folder, out.folder);
    blob::TreeOptions options;
    if ((out.head_only && assignment.key().member() != 0) || !Choose(source, &options)) continue;
    absl::StatusOr<blob::Client::UploadStats> stats = client->UploadFolder(source, options);
    if (!stats.ok()) {
      return absl::Status(stats.status().code(),
                          absl::StrCat(out.folder, ": ", std::string(stats.status().message())));
    }
    v1::OutputTree& tree = outputs.emplace_back();
    tree.set_kind(out.kind);
    tree.set_digest(stats->digest);
    tree.set_epoch(assignment.key().epoch());
    tree.set_member(assignment.key().member());
    tree.set_trial(assignment.trial());
    if (tree.kind() == "checkpoint") tree.set_step(std::max(step, assignment.checkpoint_step()));
    if (!named) continue;
    if (absl::Status published = PublishTree(client, place, out, stats->digest); !published.ok()) {
      return absl::Status(published.code(),
                          absl::StrCat(out.folder, " cannot go to ", assignment.job_dir(), ": ",
                                       std::string(published.message())));
    }
  }
  return outputs;
}

absl::Status Retry(const std::function<absl::Status()>& work,
                   const std::function<bool()>& give_up) {
  absl::Duration pause = absl::Milliseconds(100);
  for (;;) {
    const absl::Status status = work();
    if (status.ok() || !MayRepeat(status) || give_up()) return status;
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Seconds(1));
    if (give_up()) return status;
  }
}

}  // namespace trainyard::worker
