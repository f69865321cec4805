// Where the library lies that the Python module trainyard.training loads.
#ifndef TRAINYARD_WORKER_CORE_TRAINING_LIBRARY_H_
#define TRAINYARD_WORKER_CORE_TRAINING_LIBRARY_H_

#include <string>

namespace trainyard::worker {

// The library beside the programs in `bin_folder` (../lib), "" where there is none. Reads the disk.
std::string TrainingLibrary(const std::string& bin_folder);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_TRAINING_LIBRARY_H_
