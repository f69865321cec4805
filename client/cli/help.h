// Help texts, made from the tables of commands: examples first, at most 60 lines. Also the look-ups
// over those tables. Pure; one thread.
#ifndef TRAINYARD_CLIENT_CLI_HELP_H_
#define TRAINYARD_CLIENT_CLI_HELP_H_

#include <string>
#include <vector>

#include "client/cli/command.h"

namespace trainyard::cli {

// Null when no command (or alias) has exactly these words.
const Command* FindCommand(absl::string_view words);
// Whether some command's words begin with these and go on.
bool IsGroup(absl::string_view words);
// The next words of the visible commands below a group ("": the top), each once, in order.
std::vector<std::string> WordsBelow(absl::string_view group);

// "trainyard jobs cancel JOB... [FLAGS]"
std::string UsageOf(const Command& command);
std::string HelpOf(const Command& command);
// `group`: "" for the whole program.
std::string HelpOfGroup(absl::string_view group);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_HELP_H_
