// See folder_place.h.
#include "worker/training/folder_place.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/random.h"

namespace trainyard::training {
namespace {

constexpr absl::string_view kPrefix = ".place-";

// A name that no node has asked for before: a file system over a network may remember for a while
// that a name was not there.
std::string Mark(const std::string& folder, int64_t number, int rank) {
  return JoinPath(folder, absl::StrFormat("%s%016x-%d", kPrefix, number, rank));
}

void RemoveOldMarks(const std::string& folder) {
  auto names = ListFolder(folder);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (absl::StartsWith(name, kPrefix)) RemoveTree(JoinPath(folder, name)).IgnoreError();
  }
}

}  // namespace

absl::StatusOr<FolderPlace> FindFolderPlace(const std::string& folder, bool looks,
                                            Communicator* communicator) {
  const int rank = communicator->rank(), size = communicator->size();
  int64_t number = 0;
  const std::string secret = SecretBytes(sizeof(number));
  std::memcpy(&number, secret.data(), sizeof(number));
  const std::string made = looks && MakeFolders(folder).ok() ? folder : "";
  if (!made.empty()) RemoveOldMarks(made);
  // Behind it no old mark is removed any more.
  absl::Status status = communicator->Broadcast(&number, 1, DataType::kInt64, 0);
  if (status.ok()) status = communicator->Barrier();
  if (!status.ok()) return status;
  const std::string mine = Mark(folder, number, rank);
  if (!made.empty()) WriteFileAtomically(mine, "").IgnoreError();
  const int32_t flag = looks ? 1 : 0;
  std::vector<int32_t> flags(static_cast<size_t>(size));
  status = communicator->AllGather(&flag, flags.data(), 1, DataType::kInt32);
  if (!status.ok()) return status;
  FolderPlace place;
  int32_t all = 1;
  if (looks) place.first = rank;
  for (int other = 0; looks && other < size; ++other) {
    if (flags[static_cast<size_t>(other)] == 0 || other == rank) continue;
    const bool seen = Exists(Mark(folder, number, other));
    if (seen) place.first = std::min(place.first, other);
    if (!seen) all = 0;
  }
  // Nobody removes a mark before all have looked.
  status = communicator->AllReduce(&all, 1, DataType::kInt32, ReduceOp::kMin);
  if (looks) RemoveTree(mine).IgnoreError();
  if (!status.ok()) return status;
  place.everybody = all != 0;
  return place;
}

}  // namespace trainyard::training
