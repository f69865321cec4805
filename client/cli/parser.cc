// See parser.h.
#include "client/cli/parser.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/fault_list.h"
#include "client/cli/help.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

// Words of other tools that stand before ours, and short forms of ours.
bool IsForeignPrefix(const std::string& word) {
  return word == "ml-engine" || word == "ai-platform" || word == "ai" || word == "beta" ||
         word == "alpha";
}
std::string LongForm(const std::string& word) {
  static const auto* const forms = new std::map<std::string, std::string>{
      {"job", "jobs"},      {"j", "jobs"},     {"trial", "trials"}, {"t", "trials"},
      {"studies", "study"}, {"node", "nodes"}, {"tokens", "token"}, {"hp", "hp-tuning-jobs"}};
  const auto found = forms->find(word);
  return found == forms->end() ? word : found->second;
}

const Flag* FindFlag(const std::vector<Flag>& flags, absl::string_view word) {
  for (const Flag& flag : flags) {
    if (word == absl::StrCat("--", flag.name)) return &flag;
    if (flag.letter != 0 && word == absl::StrCat("-", std::string(1, flag.letter))) return &flag;
  }
  return nullptr;
}

absl::Status UnknownCommand(const std::string& group, const std::string& word) {
  const std::vector<std::string> names = WordsBelow(group);
  const std::string nearest = NearestName(word, names);
  const std::string path = group.empty() ? "trainyard" : absl::StrCat("trainyard ", group);
  const bool of_jobs = group == "jobs" || group == "hp-tuning-jobs" || group == "custom-jobs";
  if (of_jobs && (word == "delete" || word == "remove" || word == "rm")) {
    return UsageError(
        absl::StrCat("there is no \"", path, " ", word, "\": jobs that ended are kept"),
        "one that has not is ended by: trainyard jobs cancel JOB");
  }
  const std::vector<std::string> of_job = group.empty() ? WordsBelow("jobs") : names;
  if (group.empty() && std::find(of_job.begin(), of_job.end(), word) != of_job.end()) {
    return UsageError(
        absl::StrCat("unknown command \"", path, " ", word, "\""),
        absl::StrCat("did you mean \"trainyard jobs ", word, "\"? All: trainyard --help"));
  }
  return UsageError(absl::StrCat("unknown command \"", path, " ", word, "\""),
                    nearest.empty() ? absl::StrCat("one of: ", absl::StrJoin(names, ", "))
                                    : absl::StrCat("did you mean \"", path, " ", nearest,
                                                   "\"? All: ", path, " --help"));
}

absl::Status UnknownFlag(const Command& command, const std::string& word) {
  for (const Positional& positional : command.positionals) {
    const std::string plain = absl::AsciiStrToLower(positional.name);
    if (word.substr(0, word.find('=')) != absl::StrCat("--", plain)) continue;
    return UsageError(absl::StrCat("the ", plain, " is a plain word, not a flag"),
                      absl::StrCat("usage: ", UsageOf(command)));
  }
  std::vector<std::string> names;
  for (const Flag& flag : AllFlagsOf(command)) names.push_back(absl::StrCat("--", flag.name));
  const std::string typed = word.substr(0, word.find('='));
  const std::string nearest = NearestName(typed, names);
  std::string fix = absl::StrCat("did you mean ", nearest, "?");
  if (nearest.empty()) fix = absl::StrCat("all flags: trainyard ", command.words, " --help");
  if (nearest.empty() && command.rest == Rest::kAfterDashes) {
    fix = absl::StrCat("a flag of the program goes after \"--\": ... -- ", typed, "; ", fix);
  }
  return UsageError(
      absl::StrCat("unknown flag \"", typed, "\" for \"trainyard ", command.words, "\""), fix);
}

absl::Status UnexpectedWord(const Command& command, const std::string& word) {
  std::string fix = absl::StrCat("usage: ", UsageOf(command));
  if (command.rest == Rest::kAfterDashes) {
    fix = absl::StrCat("words for the program go after \"--\"; ", fix);
  }
  return UsageError(absl::StrCat("unexpected word \"", word, "\""), fix);
}

void CheckWords(const Command& command, const std::vector<std::string>& words, FaultList* faults) {
  size_t required = 0;
  bool open = false;
  for (const Positional& positional : command.positionals) {
    required += positional.required ? 1 : 0;
    open = open || positional.repeated;
  }
  if (words.size() < required) {
    faults->Add(UsageError(absl::StrCat(command.positionals[words.size()].name, " is missing"),
                           absl::StrCat("usage: ", UsageOf(command))));
  }
  for (size_t i = command.positionals.size(); !open && i < words.size(); ++i) {
    faults->Add(UnexpectedWord(command, words[i]));
  }
}

// Numbers are judged by the command, which knows their limits and says all that is wrong at once;
// only a command line that will not come so far is told here.
absl::Status CheckNumber(const Flag& flag, const std::string& value) {
  int64_t number = 0;
  if (absl::string_view(flag.value) != "N" || flag.quiet || absl::SimpleAtoi(value, &number)) {
    return absl::OkStatus();
  }
  return UsageError(absl::StrCat("\"", value, "\" is not a whole number"), "give a whole number",
                    absl::StrCat("--", flag.name));
}

// The choice that `value` means, in any case; the value itself where the flag has no choices.
absl::StatusOr<std::string> ReadChoice(const Flag& flag, const std::string& value) {
  if (*flag.choices == '\0') return value;
  const std::vector<std::string> choices = absl::StrSplit(flag.choices, '|');
  for (const std::string& choice : choices) {
    if (absl::EqualsIgnoreCase(choice, value)) return choice;
  }
  const std::string nearest = NearestName(value, choices);
  const std::string all = absl::StrCat("one of: ", absl::StrJoin(choices, ", "));
  return UsageError(absl::StrCat("\"", value, "\" is not a choice"),
                    nearest.empty() ? all : absl::StrCat("did you mean \"", nearest, "\"? ", all),
                    absl::StrCat("--", flag.name));
}

// CLI11's own view of a command.
struct Machine {
  CLI::App app;
  std::vector<Flag> flags;
  std::vector<CLI::Option*> options;
  std::vector<std::vector<std::string>> values;
};

void Build(const Command& command, Machine* machine) {
  CLI::App& app = machine->app;
  app.set_help_flag("");
  app.allow_extras();
  app.prefix_command(command.rest == Rest::kAfterFirstWord);
  machine->flags = AllFlagsOf(command);
  machine->values.resize(machine->flags.size());
  for (size_t i = 0; i < machine->flags.size(); ++i) {
    const Flag& flag = machine->flags[i];
    std::string names = absl::StrCat("--", flag.name);
    if (flag.letter != 0) absl::StrAppend(&names, ",-", std::string(1, flag.letter));
    if (*flag.value == '\0') {
      absl::StrAppend(&names, ",!--no-", flag.name);
      machine->options.push_back(app.add_flag(names));
    } else {
      CLI::Option* option = app.add_option(names, machine->values[i]);
      if (flag.optional_value) option->expected(0, 1);
      machine->options.push_back(option->allow_extra_args(false));
    }
  }
}

// Everything typed into `arguments`; all that is wrong with it into `faults`.
void Collect(const Command& command, const Machine& machine, Arguments* arguments,
             FaultList* faults) {
  for (size_t i = 0; i < machine.flags.size(); ++i) {
    const Flag& flag = machine.flags[i];
    if (machine.options[i]->count() == 0) continue;
    if (*flag.value == '\0') {
      const std::string last = machine.options[i]->results().back();
      if (last != "false" && last != "-1") arguments->Add(flag.name, "true");
      continue;
    }
    if (machine.values[i].empty()) arguments->Add(flag.name, "");
    for (const std::string& value : machine.values[i]) {
      const absl::StatusOr<std::string> choice = ReadChoice(flag, value);
      if (faults->Add(choice)) arguments->Add(flag.name, *choice);
    }
  }
  std::vector<std::string> remaining = machine.app.remaining();
  const bool hands_on = command.rest == Rest::kAfterFirstWord;
  if (hands_on && !remaining.empty() && remaining[0] == "--") remaining.erase(remaining.begin());
  if (hands_on && !remaining.empty() && !absl::StartsWith(remaining[0], "-")) {
    arguments->AddWord(remaining[0]);
    arguments->SetRest({remaining.begin() + 1, remaining.end()}, false);
    return;
  }
  bool unknown_flags = false;
  for (const std::string& word : remaining) {
    if (word.size() > 1 && word[0] == '-') {
      faults->Add(UnknownFlag(command, word));
      unknown_flags = true;
      if (hands_on) break;  // what follows may be the program's
    } else {
      arguments->AddWord(word);
    }
  }
  // A word after a flag that is not known may be its value.
  if (!unknown_flags) CheckWords(command, arguments->words(), faults);
}

absl::Status ParseWords(const Command& command, std::vector<std::string> words,
                        Arguments* arguments) {
  Machine machine;
  Build(command, &machine);
  std::reverse(words.begin(), words.end());  // CLI11 takes from the back
  try {
    machine.app.parse(words);
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string text = error.what();
    return UsageError(absl::StrCat(text.substr(0, text.find(':')), " needs a value"),
                      absl::StrCat("usage: ", UsageOf(command)));
  } catch (const CLI::Error& error) {
    return UsageError(absl::StrCat("cannot read the command line: ", error.what()),
                      absl::StrCat("usage: ", UsageOf(command)));
  }
  FaultList faults;
  Collect(command, machine, arguments, &faults);
  for (size_t i = 0; !faults.ok() && i < machine.flags.size(); ++i) {
    for (const std::string& value : machine.values[i]) {
      faults.Add(CheckNumber(machine.flags[i], value));
    }
  }
  return faults.Take();
}

// Whether the words, up to where the program's begin, ask for help.
bool AsksHelp(const Command& command, const std::vector<std::string>& words) {
  const std::vector<Flag> flags = AllFlagsOf(command);
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--help" || words[i] == "-h") return true;
    const Flag* flag = FindFlag(flags, words[i]);
    if (flag != nullptr && *flag->value != '\0') ++i;
    if (command.rest == Rest::kAfterFirstWord && !absl::StartsWith(words[i], "-") &&
        flag == nullptr) {
      return false;
    }
  }
  return false;
}

absl::StatusOr<Parsed> ParseCommand(const Command& command, std::vector<std::string> words) {
  Parsed parsed;
  parsed.command = &command;
  std::vector<std::string> rest;
  const auto dashes = std::find(words.begin(), words.end(), "--");
  const bool has_dashes = dashes != words.end();
  if (has_dashes && command.rest != Rest::kAfterFirstWord) {
    rest.assign(dashes + 1, words.end());
    words.erase(dashes, words.end());
    if (command.rest == Rest::kNone && !rest.empty()) return UnexpectedWord(command, rest[0]);
    parsed.arguments.SetRest(std::move(rest), true);
  }
  if (AsksHelp(command, words)) {
    parsed.help = true;
    return parsed;
  }
  absl::Status status = ParseWords(command, std::move(words), &parsed.arguments);
  if (!status.ok()) return status;
  return parsed;
}

// Moves flags that stand before the command behind it.
absl::Status TakeLeadingFlags(const std::vector<std::string>& words, size_t* at,
                              std::vector<std::string>* flags) {
  while (*at < words.size() && absl::StartsWith(words[*at], "-")) {
    const std::string& word = words[*at];
    const Flag* flag = FindFlag(GlobalFlags(), word.substr(0, word.find('=')));
    if (flag == nullptr) {
      return UsageError(absl::StrCat("unknown flag \"", word, "\" before the command"),
                        "write the command first: trainyard COMMAND FLAGS; all commands: "
                        "trainyard --help");
    }
    flags->push_back(word);
    ++*at;
    if (*flag->value != '\0' && !absl::StrContains(word, "=") && *at < words.size()) {
      flags->push_back(words[(*at)++]);
    }
  }
  return absl::OkStatus();
}

// A word such as "tiers" is a command by itself and a group as well: whether the word after it
// means the group.
bool MeansGroup(const std::string& path, const std::vector<std::string>& words, size_t next) {
  if (!IsGroup(path) || next >= words.size()) return false;
  const std::string& word = words[next];
  if (word == "--help" || word == "-h") return true;
  return !absl::StartsWith(word, "-");
}

}  // namespace

absl::StatusOr<Parsed> Parse(const std::vector<std::string>& words) {
  Parsed help;
  help.help = true;
  std::vector<std::string> flags;
  size_t at = 0;
  if (!words.empty() && words[0] == "--version") return Parse({"version"});
  if (absl::Status status = TakeLeadingFlags(words, &at, &flags); !status.ok()) return status;
  bool wants_help = std::find(flags.begin(), flags.end(), "--help") != flags.end() ||
                    std::find(flags.begin(), flags.end(), "-h") != flags.end();
  if (at < words.size() && words[at] == "help") {
    wants_help = true;
    ++at;
  }
  while (at < words.size() && IsForeignPrefix(words[at])) ++at;
  for (; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word == "--help" || word == "-h") return help;
    if (absl::StartsWith(word, "-")) {
      return UsageError(absl::StrCat("a command is missing before \"", word, "\""),
                        absl::StrCat("one of: ", absl::StrJoin(WordsBelow(help.group), ", ")));
    }
    const std::string next = help.group.empty() ? LongForm(word) : word;
    const std::string path = help.group.empty() ? next : absl::StrCat(help.group, " ", next);
    const Command* command = FindCommand(path);
    if (command != nullptr && !MeansGroup(path, words, at + 1)) {
      flags.insert(flags.end(), words.begin() + static_cast<int64_t>(at) + 1, words.end());
      if (wants_help) flags = {"--help"};
      return ParseCommand(*command, std::move(flags));
    }
    if (!IsGroup(path)) return UnknownCommand(help.group, word);
    help.group = path;
  }
  return help;
}

}  // namespace trainyard::cli
