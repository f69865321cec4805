// From argv to a command and its Arguments. CLI11 splits the words into flags and values; every
// message is ours, with the nearest known word.
//
// Invariants: words after "--" (and, for commands that hand words on, after their first word) reach
// the program untouched; nothing here opens a file or a connection. One thread.
#ifndef TRAINYARD_CLIENT_CLI_PARSER_H_
#define TRAINYARD_CLIENT_CLI_PARSER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/cli/command.h"

namespace trainyard::cli {

struct Parsed {
  const Command* command = nullptr;  // null: help of `group`
  std::string group;                 // "", "jobs", "study", ...: words that begin commands
  bool help = false;
  Arguments arguments;
};

// `words` is argv without the program's name. USAGE (exit code 2) with a suggestion otherwise.
absl::StatusOr<Parsed> Parse(const std::vector<std::string>& words);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_PARSER_H_
