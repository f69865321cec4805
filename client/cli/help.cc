// See help.h.
#include "client/cli/help.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace trainyard::cli {
namespace {

constexpr size_t kHelpColumns = 80;
constexpr size_t kFlagColumn = 28;

// "a b c ..." broken at spaces to lines of at most kHelpColumns, each after `margin`.
std::string Wrap(const std::string& text, size_t margin, size_t first_used) {
  std::string out;
  size_t used = first_used;
  bool at_start = true;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!at_start && used + 1 + word.size() > kHelpColumns) {
      absl::StrAppend(&out, "\n", std::string(margin, ' '));
      used = margin;
      at_start = true;
    }
    absl::StrAppend(&out, at_start ? "" : " ", word);
    used += word.size() + (at_start ? 0 : 1);
    at_start = false;
  }
  return out;
}

std::string FlagName(const Flag& flag) {
  std::string out = flag.letter != 0 ? absl::StrCat("-", std::string(1, flag.letter), ", ") : "";
  absl::StrAppend(&out, "--", flag.name);
  if (*flag.value != '\0') absl::StrAppend(&out, " ", flag.value);
  return out;
}

std::string FlagLine(const Flag& flag) {
  std::string line = absl::StrCat("  ", FlagName(flag));
  std::string help = flag.help;
  if (*flag.choices != '\0') {
    absl::StrAppend(&help, help.empty() ? "" : ": ",
                    absl::StrReplaceAll(flag.choices, {{"|", ", "}}));
  }
  if (line.size() + 2 > kFlagColumn) {
    absl::StrAppend(&line, "  ");
  } else {
    line.resize(kFlagColumn, ' ');
  }
  const size_t used = line.size();
  absl::StrAppend(&line, Wrap(help, kFlagColumn, used));
  return absl::StrCat(absl::StripTrailingAsciiWhitespace(line), "\n");
}

std::string QuietFlags(const std::vector<Flag>& flags, absl::string_view title) {
  std::vector<std::string> names;
  for (const Flag& flag : flags) {
    if (flag.quiet) names.push_back(absl::StrCat("--", flag.name));
  }
  if (names.empty()) return "";
  return absl::StrCat(title, Wrap(absl::StrJoin(names, " "), 2, title.size()), "\n");
}

bool IsBelow(const Command& command, absl::string_view group) {
  return group.empty() || absl::StartsWith(command.words, absl::StrCat(group, " "));
}

}  // namespace

const Command* FindCommand(absl::string_view words) {
  for (const Command& command : Commands()) {
    if (words == command.words) return &command;
    for (const char* alias : command.aliases) {
      if (words == alias) return &command;
    }
  }
  return nullptr;
}

bool IsGroup(absl::string_view words) {
  return std::any_of(Commands().begin(), Commands().end(), [&](const Command& command) {
    return IsBelow(command, words) ||
           std::any_of(command.aliases.begin(), command.aliases.end(), [&](const char* alias) {
             return absl::StartsWith(alias, absl::StrCat(words, " "));
           });
  });
}

std::vector<std::string> WordsBelow(absl::string_view group) {
  std::vector<std::string> out;
  for (const Command& command : Commands()) {
    if (command.hidden || !IsBelow(command, group)) continue;
    absl::string_view rest = command.words;
    if (!group.empty()) rest.remove_prefix(group.size() + 1);
    const std::string word(rest.substr(0, rest.find(' ')));
    if (std::find(out.begin(), out.end(), word) == out.end()) out.push_back(word);
  }
  return out;
}

std::string UsageOf(const Command& command) {
  std::string out = absl::StrCat("trainyard ", command.words);
  if (command.rest == Rest::kAfterFirstWord) absl::StrAppend(&out, " [FLAGS]");
  for (const Positional& positional : command.positionals) {
    const std::string name = absl::StrCat(positional.name, positional.repeated ? "..." : "");
    absl::StrAppend(&out, " ", positional.required ? name : absl::StrCat("[", name, "]"));
  }
  if (command.rest != Rest::kAfterFirstWord) absl::StrAppend(&out, " [FLAGS]");
  if (command.rest == Rest::kAfterDashes) absl::StrAppend(&out, " [-- ARGS...]");
  if (command.rest == Rest::kAfterFirstWord) absl::StrAppend(&out, " [ARGS...]");
  return out;
}

std::string HelpOf(const Command& command) {
  std::string out = absl::StrCat(command.summary, "\n");
  if (!command.examples.empty()) absl::StrAppend(&out, "\nExamples:\n");
  for (const char* example : command.examples) absl::StrAppend(&out, "  ", example, "\n");
  absl::StrAppend(&out, "\nUsage: ", Wrap(UsageOf(command), 9, 7), "\n");
  const std::vector<Flag> flags = AllFlagsOf(command);
  const size_t own = flags.size() - GlobalFlags().size();
  std::string lines;
  for (size_t i = 0; i < own; ++i) {
    if (!flags[i].quiet && !flags[i].hidden) absl::StrAppend(&lines, FlagLine(flags[i]));
  }
  if (!lines.empty()) absl::StrAppend(&out, "\nFlags:\n", lines);
  absl::StrAppend(&out, QuietFlags({flags.begin(), flags.begin() + static_cast<int64_t>(own)},
                                   "Accepted too, without effect here:\n  "));
  std::vector<std::string> everywhere;
  for (const Flag& flag : GlobalFlags()) {
    if (!flag.quiet) everywhere.push_back(absl::StrReplaceAll(FlagName(flag), {{", ", "/"}}));
  }
  absl::StrAppend(&out, "Everywhere:\n  ", Wrap(absl::StrJoin(everywhere, "  "), 2, 2), "\n");
  if (!command.notes.empty()) {
    absl::StrAppend(&out, "\n", Wrap(absl::StrJoin(command.notes, " "), 0, 0), "\n");
  }
  return out;
}

std::string HelpOfGroup(absl::string_view group) {
  std::string out;
  if (group.empty()) {
    out =
        "trainyard: training jobs and hyperparameter tuning on your own machines.\n"
        "\nExamples:\n"
        "  trainyard up                              start a cluster on this machine\n"
        "  trainyard run train.py --lr 0.1           run a script, follow its log\n"
        "  trainyard hp-tuning-jobs create --display-name digits --config tuning.yaml\n"
        "  trainyard best digits                     the best trial's parameters\n"
        "\nCommands:\n";
  } else {
    out = absl::StrCat("Commands of trainyard ", group, ":\n");
  }
  for (const std::string& word : WordsBelow(group)) {
    const std::string path = group.empty() ? word : absl::StrCat(group, " ", word);
    const Command* command = FindCommand(path);
    std::string line = absl::StrCat("  ", word);
    line.resize(std::max<size_t>(line.size() + 2, 18), ' ');
    if (command != nullptr) {
      absl::StrAppend(&line, command->summary);
    } else {
      absl::StrAppend(&line, absl::StrJoin(WordsBelow(path), ", "));
    }
    absl::StrAppend(&out, Wrap(line, 18, 0).empty() ? "" : line, "\n");
  }
  absl::StrAppend(&out, "\nHelp of one: trainyard ", group, group.empty() ? "" : " ",
                  "COMMAND --help\n");
  return out;
}

}  // namespace trainyard::cli
