// Which nodes of a gang see one and the same folder: found by files that they make there and look
// for, because paths and kinds of file systems do not tell.
#ifndef TRAINYARD_WORKER_TRAINING_FOLDER_PLACE_H_
#define TRAINYARD_WORKER_TRAINING_FOLDER_PLACE_H_

#include <string>

#include "absl/status/statusor.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

struct FolderPlace {
  // Of those that see this rank's folder, the lowest that looks: it commits for all of them.
  int first = 0;
  bool everybody = false;  // the whole gang sees one folder
};

// All ranks call it; one rank of each node `looks`, and makes the folder if it is not there. A rank
// that does not look has `first` 0. A node that cannot write there counts as one by itself. What a
// killed gang left, names with ".place-", is removed by the next.
absl::StatusOr<FolderPlace> FindFolderPlace(const std::string& folder, bool looks,
                                            Communicator* communicator);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_FOLDER_PLACE_H_
