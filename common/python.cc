// See python.h.
#include "common/python.h"

#include <unistd.h>

#include <cstdlib>

namespace trainyard {

std::string PreferredPython() {
  constexpr char kSystemPython[] = "/usr/bin/python3";
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return "python3";
  }
  return access(kSystemPython, X_OK) == 0 ? kSystemPython : "python3";
}

std::string TrainingLibrary(const std::string& bin_folder) {
  std::string path = bin_folder + "/../lib/libtrainyard_training.so";
  return access(path.c_str(), R_OK) == 0 ? path : "";
}

}  // namespace trainyard
