// See scratch_folders.h.
#include "worker/agent/scratch_folders.h"

#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "glog/logging.h"
#include "worker/core/launch_spec.h"

namespace trainyard::worker {
namespace {

constexpr size_t kRandomLetters = 6;

// Whatever else the file says is nobody's business: the agent may be root.
bool IsScratch(absl::string_view path) {
  for (absl::string_view prefix : kScratchPrefixes) {
    absl::string_view rest = path;
    if (absl::ConsumePrefix(&rest, prefix) && rest.size() == kRandomLetters &&
        std::all_of(rest.begin(), rest.end(),
                    [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); })) {
      struct stat info {};
      return lstat(std::string(path).c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    }
  }
  return false;
}

}  // namespace

void RemoveScratch(const std::string& attempt_folder) {
  const absl::StatusOr<std::string> text = ReadFile(JoinPath(attempt_folder, layout::kScratch));
  if (!text.ok()) return;
  for (const std::string& path :
       std::vector<std::string>(absl::StrSplit(*text, '\n', absl::SkipEmpty()))) {
    if (!IsScratch(path)) continue;
    const absl::Status removed = RemoveTree(path);
    LOG_IF(WARNING, !removed.ok()) << removed;
  }
}

}  // namespace trainyard::worker
