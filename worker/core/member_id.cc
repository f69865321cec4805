// See member_id.h.
#include "worker/core/member_id.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace trainyard::worker {

std::string FolderName(const MemberId& id) {
  return absl::StrCat(id.run_uid, "-", id.epoch, "-", id.member);
}

bool ParseFolderName(const std::string& name, MemberId* id) {
  const std::vector<std::string> parts = absl::StrSplit(name, '-');
  return parts.size() == 3 && absl::SimpleAtoi(parts[0], &id->run_uid) &&
         absl::SimpleAtoi(parts[1], &id->epoch) && absl::SimpleAtoi(parts[2], &id->member) &&
         FolderName(*id) == name;
}

}  // namespace trainyard::worker
