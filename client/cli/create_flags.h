// Flags that hp-tuning-jobs create and custom-jobs create share, and the way from them to a
// submission. One thread.
#ifndef TRAINYARD_CLIENT_CLI_CREATE_FLAGS_H_
#define TRAINYARD_CLIENT_CLI_CREATE_FLAGS_H_

#include <vector>

#include "client/cli/arguments.h"
#include "client/cli/command.h"
#include "client/cli/context.h"
#include "client/cli/fault_list.h"
#include "client/cli/submit.h"

namespace trainyard::cli {

inline constexpr char kPackageAdvice[] =
    "add --package-path FOLDER or --python-package-uris FILE,..., or packageUris in the config";

std::vector<Flag> CreateFlags();
// Reads --config and the shared flags; the job's id comes from the word, the file or the display
// name, in this order. All that is wrong goes into `faults`; false when the config file is.
bool ReadCreateFlags(Context* context, const Arguments& arguments, Submission* submission,
                     FaultList* faults);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_CREATE_FLAGS_H_
