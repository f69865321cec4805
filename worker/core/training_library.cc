// See training_library.h.
#include "worker/core/training_library.h"

#include "common/file.h"

namespace trainyard::worker {

std::string TrainingLibrary(const std::string& bin_folder) {
  std::string path = JoinPath(bin_folder, "../lib/libtrainyard_training.so");
  return Exists(path) ? path : "";
}

}  // namespace trainyard::worker
