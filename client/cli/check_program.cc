// See check_program.h.
#include "client/cli/check_program.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/sdk/client.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::cli {
namespace {

namespace fs = std::filesystem;

bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

std::string BaseName(absl::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));  // npos + 1 is 0
}

// Whether the tree of `plan`, which becomes the program's folder, has the file.
bool Has(const client::PackagePlan& plan, const std::string& path) {
  std::string clean = fs::path(path).lexically_normal().string();
  const std::string top = clean.substr(0, clean.find('/'));
  const bool goes_along =
      plan.only.empty() || std::find(plan.only.begin(), plan.only.end(), top) != plan.only.end();
  return goes_along && IsFile(fs::path(plan.folder) / clean);
}

// Whether what the packages hold is known here: folders that are only unpacked.
bool AllPlain(const Submission& submission) {
  return submission.spec.program().packages().empty() &&
         std::all_of(submission.packages.begin(), submission.packages.end(),
                     [](const client::PackagePlan& plan) {
                       return plan.file.empty() && plan.build_file.empty();
                     });
}

absl::Status NotBrought(const Submission& submission, const std::string& path) {
  std::string fix = absl::StrCat("bring it along: trainyard run ", path,
                                 ", or packagePath in the spec; or name what lies on the nodes by "
                                 "its absolute path");
  if (!submission.packages.empty()) {
    fix = absl::StrCat("paths begin at the top of the package ", submission.packages[0].uri,
                       "; what lies on the nodes is named by its absolute path");
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "PACKAGE_NOT_FOUND",
                   submission.packages.empty()
                       ? absl::StrCat("\"", path, "\" comes in no package, so no node will have it")
                       : absl::StrCat("\"", path, "\" is in no package of the job"),
                   fix, "program.command");
}

// Whether the cluster is the embedded one and has no node but this machine.
bool IsThisMachine(Context* context) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok() || !absl::EndsWith((*client)->endpoint().address_source, "endpoint.json")) {
    return false;
  }
  const absl::StatusOr<v1::ListNodesResponse> nodes = (*client)->ListNodes({});
  return nodes.ok() && nodes->nodes_size() == 1;
}

absl::Status CheckHere(Context* context, const std::string& program) {
  const bool absolute = absl::StartsWith(program, "/");
  // Our own programs are on the path of every job.
  if (absl::StartsWith(program, "trainyard-")) return absl::OkStatus();
  const bool there = absolute ? access(program.c_str(), X_OK) == 0 && IsFile(program)
                              : !FindOnPath(program, context->environment()).empty();
  if (there || !IsThisMachine(context)) return absl::OkStatus();
  const bool is_file = absolute && IsFile(program);
  return MakeError(
      absl::StatusCode::kInvalidArgument, is_file ? "PACKAGE_INVALID" : "PACKAGE_NOT_FOUND",
      is_file ? absl::StrCat("\"", program, "\" is not executable")
              : absl::StrCat("there is no program \"", program,
                             absolute ? "\" on this machine" : "\" on PATH"),
      is_file ? absl::StrCat("make it executable: chmod +x ", program) : "check the path",
      "program.command");
}

absl::Status CheckModulePackaged(const Submission& submission, absl::string_view advice) {
  const v1::Program& program = submission.spec.program();
  if (program.python_module().empty() || !submission.packages.empty() ||
      program.packages_size() > 0) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "MISSING_FIELD",
                   absl::StrCat("module \"", program.python_module(), "\" comes in no package"),
                   advice, "program.pythonModule");
}

}  // namespace

bool IsInterpreter(absl::string_view program) {
  const std::string name = BaseName(program);
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, "python") || absl::ConsumePrefix(&rest, "pypy")) {
    return std::all_of(rest.begin(), rest.end(),
                       [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
  }
  for (const char* known :
       {"bash", "sh", "dash", "zsh", "perl", "ruby", "node", "Rscript", "julia"}) {
    if (name == known) return true;
  }
  return false;
}

std::string InterpreterOf(absl::string_view file) {
  constexpr std::pair<const char*, const char*> kKnown[] = {
      {".py", "python3"}, {".sh", "bash"},   {".bash", "bash"}, {".pl", "perl"}, {".rb", "ruby"},
      {".js", "node"},    {".R", "Rscript"}, {".r", "Rscript"}, {".jl", "julia"}};
  for (const auto& [end, interpreter] : kKnown) {
    if (absl::EndsWith(file, end)) return interpreter;
  }
  return "";
}

size_t ScriptAmong(absl::string_view interpreter, const std::vector<std::string>& arguments) {
  const bool shell = absl::EndsWith(interpreter, "sh");
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (!absl::StartsWith(word, "-")) return i;
    if (word == "-" || word == "--") return kNoScript;
    if (shell) {  // -c takes its command from the next word, also as -lc; -s from standard input
      if (word[1] != '-' && (absl::StrContains(word, "c") || word == "-s")) return kNoScript;
      continue;
    }
    if (word == "-c" || word == "-m" || word == "-e") return kNoScript;
    if (word == "-W" || word == "-X") ++i;  // with a value of their own
  }
  return kNoScript;
}

std::string FindOnPath(const std::string& name, const client::Environment& environment) {
  for (absl::string_view folder : absl::StrSplit(environment("PATH"), ':', absl::SkipEmpty())) {
    const std::string path = JoinPath(folder, name);
    if (absl::StartsWith(folder, "/") && IsFile(path) && access(path.c_str(), X_OK) == 0) {
      return path;
    }
  }
  return "";
}

absl::Status CheckBrought(const Submission& submission, absl::string_view package_advice) {
  if (absl::Status status = CheckModulePackaged(submission, package_advice); !status.ok()) {
    return status;
  }
  const v1::Program& program = submission.spec.program();
  if (program.command().empty() || program.command(0).empty()) return absl::OkStatus();
  // A file among the words that must lie in the program's folder.
  std::vector<std::string> words(program.command().begin(), program.command().end());
  words.insert(words.end(), program.args().begin(), program.args().end());
  std::string needed = absl::StrContains(words[0], "/") ? words[0] : "";
  const std::vector<std::string> arguments(words.begin() + 1, words.end());
  if (const size_t at = IsInterpreter(words[0]) ? ScriptAmong(words[0], arguments) : kNoScript;
      at != kNoScript && !InterpreterOf(arguments[at]).empty()) {
    needed = arguments[at];
  }
  const bool relative =
      !needed.empty() && !absl::StartsWith(needed, "/") && !absl::StartsWith(needed, "../package/");
  const bool there =
      std::any_of(submission.packages.begin(), submission.packages.end(),
                  [&needed](const client::PackagePlan& plan) { return Has(plan, needed); });
  return relative && AllPlain(submission) && !there ? NotBrought(submission, needed)
                                                    : absl::OkStatus();
}

absl::Status CheckRunnable(Context* context, const Submission& submission,
                           absl::string_view package_advice) {
  if (absl::Status status = CheckBrought(submission, package_advice); !status.ok()) return status;
  const v1::Program& program = submission.spec.program();
  if (program.command().empty() || program.command(0).empty()) return absl::OkStatus();
  const std::string& first = program.command(0);
  const bool relative = absl::StrContains(first, "/") && !absl::StartsWith(first, "/");
  return relative ? absl::OkStatus() : CheckHere(context, first);
}

}  // namespace trainyard::cli
