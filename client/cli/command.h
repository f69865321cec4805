// A command as data: its words, flags, examples and the function that does it. Parsing, help, shell
// completion, "did you mean" and docs/cli.md all come from these tables.
//
// Invariants: texts have static lifetime; a command is one file and one entry in commands.cc.
// One thread.
#ifndef TRAINYARD_CLIENT_CLI_COMMAND_H_
#define TRAINYARD_CLIENT_CLI_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace trainyard::cli {

class Arguments;
class Context;

// What the shell offers for a value.
enum class Complete { kNone, kFile, kFolder, kJob, kStudy, kNode, kTier, kToken, kCommand };

struct Flag {
  const char* name;        // without the dashes
  const char* value = "";  // what help calls it, for example "N"; "": a switch
  const char* help = "";
  char letter = 0;
  const char* choices = "";  // "a|b|c": help shows them; others are refused
  Complete complete = Complete::kNone;
  bool repeated = false;
  bool quiet = false;   // accepted as other tools' users write it; listed in one line of help
  bool hidden = false;  // another name of a listed flag
  bool optional_value = false;  // the value may be left out
};

struct Positional {
  const char* name;
  bool required = true;
  bool repeated = false;
  Complete complete = Complete::kNone;
};

// Where words stop being ours and are handed on untouched.
enum class Rest { kNone, kAfterDashes, kAfterFirstWord };

struct Command {
  const char* words;    // "jobs submit training"
  const char* summary;  // one line
  std::vector<const char*> examples;
  std::vector<Positional> positionals;
  std::vector<Flag> flags;
  absl::Status (*run)(Context* context, const Arguments& arguments) = nullptr;
  std::vector<const char*> notes;  // lines below the flags
  Rest rest = Rest::kNone;
  bool prints = false;               // has -o
  bool writes = false;               // has --request-id
  std::vector<const char*> aliases;  // other words for it; not listed in help
  bool hidden = false;
};

// Every command, in the order of the help. Built once.
const std::vector<Command>& Commands();

// Flags of every command (-h, --endpoint, ...), and those that `prints` and `writes` add.
const std::vector<Flag>& GlobalFlags();
std::vector<Flag> AllFlagsOf(const Command& command);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_COMMAND_H_
