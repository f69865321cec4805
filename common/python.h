// Which Python runs a job's module or script when the spec names none, and what our module loads
// there. Thread-safe.
#ifndef TRAINYARD_COMMON_PYTHON_H_
#define TRAINYARD_COMMON_PYTHON_H_

#include <string>

namespace trainyard {

// "python3", found on PATH, inside an active virtual or conda environment (somebody chose it); else
// the system's /usr/bin/python3, so that a job does not depend on whose shell started the agent;
// "python3" where there is none.
std::string PreferredPython();
// The library that the module trainyard.training loads, beside the programs in `bin_folder`
// (../lib);
// "" where there is none.
std::string TrainingLibrary(const std::string& bin_folder);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_PYTHON_H_
