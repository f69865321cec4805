// trainyard completion: the script that teaches a shell our words. The script asks the hidden
// command __complete, one candidate a line.
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/complete_words.h"
#include "client/cli/context.h"

namespace trainyard::cli {
namespace {

constexpr char kBash[] = R"(# bash completion of trainyard
_trainyard() {
  local IFS=$'\n'
  COMPREPLY=($(trainyard __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o bashdefault -o default -F _trainyard trainyard
)";

constexpr char kZsh[] = R"(#compdef trainyard
_trainyard() {
  local -a found
  found=("${(@f)$(trainyard __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${found[*]}" ]]; then compadd -a found; else _files; fi
}
if [[ "$funcstack[1]" == _trainyard ]]; then _trainyard "$@"; else compdef _trainyard trainyard; fi
)";

constexpr char kFish[] = R"(# fish completion of trainyard
function __trainyard_complete
  set -l typed (commandline -opc) (commandline -ct)
  trainyard __complete -- $typed[2..-1] 2>/dev/null
end
complete -c trainyard -a '(__trainyard_complete)'
)";

absl::Status Completion(Context* context, const Arguments& arguments) {
  const std::string shell = arguments.Word(0);
  if (shell == "bash") {
    context->console().Out(kBash);
  } else if (shell == "zsh") {
    context->console().Out(kZsh);
  } else if (shell == "fish") {
    context->console().Out(kFish);
  } else {
    return UsageError("no completion for \"" + shell + "\"", "one of: bash, zsh, fish");
  }
  return absl::OkStatus();
}

absl::Status CompleteCommand(Context* context, const Arguments& arguments) {
  for (const std::string& word : CompleteWords(context, arguments.rest())) {
    context->console().OutLine(word);
  }
  return absl::OkStatus();
}

}  // namespace

Command CompletionCommand() {
  Command command;
  command.words = "completion";
  command.summary = "Print the completion script of a shell.";
  command.examples = {"source <(trainyard completion bash)",
                      "trainyard completion zsh > ~/.zfunc/_trainyard",
                      "trainyard completion fish > ~/.config/fish/completions/trainyard.fish"};
  command.positionals = {{.name = "SHELL"}};
  command.run = Completion;
  return command;
}

Command CompleteWordsCommand() {
  Command command;
  command.words = "__complete";
  command.summary = "Candidates for the last of the words, one a line.";
  command.run = CompleteCommand;
  command.rest = Rest::kAfterDashes;
  command.hidden = true;
  return command;
}

}  // namespace trainyard::cli
