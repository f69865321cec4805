// What the shell offers next: commands, flags, choices, and names of jobs, studies and nodes from
// the server when one answers at once. Never an error: nothing known is nothing offered.
// One thread.
#ifndef TRAINYARD_CLIENT_CLI_COMPLETE_WORDS_H_
#define TRAINYARD_CLIENT_CLI_COMPLETE_WORDS_H_

#include <string>
#include <vector>

#include "client/cli/command.h"
#include "client/cli/context.h"

namespace trainyard::cli {

struct Wanted {
  std::vector<std::string> words;   // fixed candidates
  Complete kind = Complete::kNone;  // and what else belongs there
};
// `typed`: the words after "trainyard", the last one unfinished (maybe empty). Pure.
Wanted WantedFor(const std::vector<std::string>& typed);

// All candidates that begin with the last word. Files are left to the shell.
std::vector<std::string> CompleteWords(Context* context, const std::vector<std::string>& typed);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_COMPLETE_WORDS_H_
