// trainyard run: the shortest way from a program to a job. A script brings its folder, a module its
// package; an executable named by an absolute path, or found on PATH, is used as it lies on the
// node.
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/fault_list.h"
#include "client/cli/follow_job.h"
#include "client/cli/job_view.h"
#include "client/cli/submit.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/names.h"

namespace trainyard::cli {
namespace {

namespace fs = std::filesystem;

// The unpacked package as seen from the program's work folder.
constexpr char kPackageFromWork[] = "../package/0";

bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}
bool IsFolder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// First executable of that name on PATH, "" when there is none.
std::string FindOnPath(const std::string& name, const client::Environment& environment) {
  for (absl::string_view folder : absl::StrSplit(environment("PATH"), ':', absl::SkipEmpty())) {
    const std::string path = JoinPath(folder, name);
    if (absl::StartsWith(folder, "/") && IsFile(path) && access(path.c_str(), X_OK) == 0) {
      return path;
    }
  }
  return "";
}

// A name that a module may have.
bool IsIdentifier(const std::string& name) {
  bool good = !name.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(name[0]));
  for (char c : name) {
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_');
  }
  return good;
}

// A file of ours: its folder goes along.
absl::Status TakeFile(Context* context, const std::string& word, Submission* submission) {
  const fs::path path(word);
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  absl::StatusOr<client::PackagePlan> plan =
      client::PlanFolder(folder, client::StateFolder(context->environment()));
  if (!plan.ok()) return plan.status();
  plan->uri = word;
  submission->packages.push_back(*std::move(plan));
  v1::Program* program = submission->spec.mutable_program();
  if (path.extension() == ".py") {
    if (IsIdentifier(path.stem().string())) {
      program->set_python_module(path.stem().string());
      return absl::OkStatus();
    }
    program->add_command("python3");
  } else if (access(word.c_str(), X_OK) != 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "PACKAGE_INVALID",
                     absl::StrCat("\"", word, "\" is neither a Python script nor executable"),
                     absl::StrCat("make it executable: chmod +x ", word), "program");
  }
  program->add_command(absl::StrCat(kPackageFromWork, "/", path.filename().string()));
  return absl::OkStatus();
}

// A folder with __main__.py, or a dotted name of a module below the current folder.
absl::Status TakeModule(const std::string& module, const std::string& folder,
                        Submission* submission) {
  submission->spec.mutable_program()->set_python_module(module);
  return PlanPackages(folder, {}, submission);
}

absl::Status NoSuchProgram(const std::string& word) {
  std::error_code error;
  std::vector<std::string> names;
  const fs::path path(word);
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  for (const std::string& name : ListFolder(folder).value_or(std::vector<std::string>())) {
    names.push_back(name);
  }
  const std::string nearest = NearestName(path.filename().string(), names);
  return MakeError(
      absl::StatusCode::kInvalidArgument, "PACKAGE_NOT_FOUND",
      absl::StrCat("there is no program \"", word,
                   "\" (looked for a file, a module and on PATH, from ",
                   fs::current_path(error).string(), ")"),
      nearest.empty()
          ? "give a script, a module such as trainer.task, or an executable"
          : absl::StrCat(
                "did you mean \"",
                path.has_parent_path() ? JoinPath(path.parent_path().string(), nearest) : nearest,
                "\"?"),
      "program");
}

absl::Status TakeProgram(Context* context, const std::string& word, Submission* submission) {
  if (IsFile(word) && (absl::EndsWith(word, ".py") || !absl::StartsWith(word, "/"))) {
    // A bare name that is also a file here is the file, as with a script beside us.
    return TakeFile(context, word, submission);
  }
  if (absl::StartsWith(word, "/") && !IsFolder(word)) {
    submission->spec.mutable_program()->add_command(word);  // as it lies on the node
    return absl::OkStatus();
  }
  const std::string slashes = absl::StrReplaceAll(word, {{".", "/"}});
  if (IsFolder(word) && IsFile(fs::path(word) / "__main__.py")) {
    std::error_code error;
    const fs::path real = fs::canonical(word, error);
    return TakeModule(real.filename().string(), word, submission);
  }
  if (!absl::StrContains(word, "/") && IsFile(slashes + ".py") && absl::StrContains(word, ".")) {
    return TakeModule(word, word.substr(0, word.find('.')), submission);
  }
  if (const std::string path = FindOnPath(word, context->environment());
      !path.empty() && !absl::StrContains(word, "/")) {
    submission->spec.mutable_program()->add_command(path);
    return absl::OkStatus();
  }
  if (IsFolder(word)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MODULE_NOT_FOUND",
                     absl::StrCat("folder \"", word, "\" has no __main__.py"),
                     "name the module in it, for example trainer.task, or a script", "program");
  }
  return NoSuchProgram(word);
}

void ApplyFlags(const Arguments& arguments, Submission* submission, FaultList* faults) {
  v1::JobSpec& spec = submission->spec;
  if (arguments.Has("scale-tier")) {
    spec.set_scale_tier(
        absl::AsciiStrToUpper(absl::StrReplaceAll(arguments.Get("scale-tier"), {{"-", "_"}})));
  }
  if (arguments.Has("scale-tier")) submission->flags["scaleTier"] = "--scale-tier";
  if (arguments.Has("job-dir")) submission->flags["jobDir"] = "--job-dir";
  if (arguments.Has("job-dir")) spec.set_job_dir(arguments.Get("job-dir"));
  const auto environment = arguments.Pairs("env");
  if (faults->Add(environment)) {
    for (const auto& [key, value] : *environment) {
      (*spec.mutable_program()->mutable_env())[key] = value;
    }
  }
  const absl::StatusOr<int64_t> priority = arguments.Int("priority", 0, 0, 1000);
  if (faults->Add(priority) && *priority > 0) {
    spec.mutable_scheduling()->set_priority(static_cast<int32_t>(*priority));
  }
  if (spec.scale_tier().empty()) spec.set_scale_tier("BASIC");
  for (const std::string& word : arguments.rest()) spec.mutable_program()->add_args(word);
  const fs::path path(arguments.Word(0));
  submission->job_id = arguments.Get("name", FreshId(path.stem().string()));
  faults->Add(arguments.Has("name") ? AtField(CheckJobId(submission->job_id), "--name")
                                    : CheckId("job", submission->job_id));
}

absl::Status Run(Context* context, const Arguments& arguments) {
  if (arguments.words().empty()) {
    return UsageError("PROGRAM is missing", "usage: trainyard run [FLAGS] PROGRAM [ARGS...]");
  }
  Submission submission;
  FaultList faults;
  ApplyFlags(arguments, &submission, &faults);
  const bool found = faults.Add(TakeProgram(context, arguments.Word(0), &submission));
  if (found) faults.Add(CheckSpec(context, submission));
  if (!faults.ok()) return faults.Take();
  const absl::StatusOr<v1::Job> job = Send(context, std::move(submission));
  if (!job.ok()) return job.status();
  if (arguments.Has("detach")) {
    Announce(context, *job, /*follows=*/false);
    return absl::OkStatus();
  }
  if (!context->quiet) {
    context->console().ErrLine(
        Styled(absl::StrCat("job ", ShortName(job->name()), " (Ctrl-C leaves it running)"),
               Style::kDim, context->console().err_color));
  }
  return FollowToEnd(context, *job, /*split=*/true);
}

}  // namespace

Command RunCommand() {
  Command command;
  command.words = "run";
  command.summary = "Run a program as a job and follow its log.";
  command.examples = {
      "trainyard run train.py --lr 0.1", "trainyard run -d --name nightly ./train 10",
      "trainyard run --scale-tier standard-1 trainer.task --epochs 3", "trainyard run /bin/true"};
  command.positionals = {{.name = "PROGRAM", .complete = Complete::kFile}};
  command.flags = {
      {.name = "name", .value = "NAME", .help = "job id; otherwise made of the program's name"},
      {.name = "scale-tier", .value = "TIER", .help = "default basic", .complete = Complete::kTier},
      {.name = "detach", .help = "do not follow", .letter = 'd'},
      {.name = "env", .value = "K=V,...", .help = "for the program", .repeated = true},
      {.name = "job-dir", .value = "URI", .help = "passed to the program as --job-dir"},
      {.name = "priority", .value = "N", .help = "0 to 1000, higher first"}};
  command.notes = {
      "PROGRAM is a script (its folder goes along, without .git, __pycache__ and the like), a "
      "module such as trainer.task, or an executable. Words after PROGRAM go to it untouched. Exit "
      "code 8 when the job fails."};
  command.run = Run;
  command.rest = Rest::kAfterFirstWord;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
