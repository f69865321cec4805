// trainyard run: the shortest way from a program to a job. A script brings its folder, a module its
// package; an executable named by an absolute path, or found on PATH, is used as it lies on the
// node.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/check_program.h"
#include "client/cli/context.h"
#include "client/cli/fault_list.h"
#include "client/cli/follow_job.h"
#include "client/cli/job_view.h"
#include "client/cli/submit.h"
#include "client/cli/waiting.h"
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

// A name that a module may have.
bool IsIdentifier(const std::string& name) {
  bool good = !name.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(name[0]));
  for (char c : name) {
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_');
  }
  return good;
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

// The folder of a file goes along with it.
absl::Status TakeFolderOf(Context* context, const std::string& word, Submission* submission) {
  const fs::path path(word);
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  absl::StatusOr<client::PackagePlan> plan =
      client::PlanFolder(folder, client::StateFolder(context->environment()));
  if (!plan.ok()) return plan.status();
  plan->uri = word;
  submission->packages.push_back(*std::move(plan));
  return absl::OkStatus();
}

// "trainer/task.py" -> "trainer.task" when the current folder is above it, else "".
std::string ModuleOf(const std::string& word) {
  const fs::path path = fs::path(word).lexically_normal();
  std::string module;
  for (const fs::path& part : path.parent_path() / path.stem()) {
    if (!IsIdentifier(part.string())) return "";
    absl::StrAppend(&module, module.empty() ? "" : ".", part.string());
  }
  return absl::StrContains(module, ".") ? module : "";
}

// A script that imports by dots is part of a package and does not run by itself.
absl::Status CheckImports(const std::string& word) {
  const absl::StatusOr<std::string> text = ReadFile(word);
  if (!text.ok()) return absl::OkStatus();  // said when it is packed
  int number = 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    ++number;
    if (!absl::StartsWith(line, "from .")) continue;
    const std::string module = ModuleOf(word);
    return MakeError(
        absl::StatusCode::kInvalidArgument, "PACKAGE_INVALID",
        absl::StrCat("\"", word, "\" imports from its own package (line ", number, ": ",
                     absl::StripAsciiWhitespace(line), "), which a script alone cannot"),
        module.empty() ? "run it as a module from the folder above its package: trainyard run "
                         "trainer.task"
                       : absl::StrCat("run it as a module: trainyard run ", module),
        "program");
  }
  return absl::OkStatus();
}

// Whether the system can start the file: a program, or a script that says by what.
absl::Status CheckExecutable(const std::string& word) {
  std::string head(4, '\0');
  std::ifstream(word, std::ios::binary).read(head.data(), 4);
  const bool starts = absl::StartsWith(head, "#!") || absl::StartsWith(head,
                                                                       "\x7f"
                                                                       "ELF");
  if (starts && access(word.c_str(), X_OK) == 0) return absl::OkStatus();
  const std::string interpreter = InterpreterOf(word);
  std::string fix = absl::StrCat("make it executable: chmod +x ", word);
  if (!starts) {
    fix = absl::StrCat("name what runs it: trainyard run ",
                       interpreter.empty() ? "INTERPRETER" : interpreter, " ", word,
                       "; or begin it with #!/usr/bin/env ",
                       interpreter.empty() ? "INTERPRETER" : interpreter, " and chmod +x ", word);
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "PACKAGE_INVALID",
                   starts ? absl::StrCat("\"", word, "\" is not executable")
                          : absl::StrCat("\"", word,
                                         "\" is no Python script, no program, and no "
                                         "script that names its interpreter"),
                   fix, "program");
}

// A file of ours.
absl::Status TakeFile(Context* context, const std::string& word, Submission* submission) {
  const fs::path path(word);
  const bool python = path.extension() == ".py";
  absl::Status status = python ? CheckImports(word) : CheckExecutable(word);
  if (status.ok()) status = TakeFolderOf(context, word, submission);
  if (!status.ok()) return status;
  v1::Program* program = submission->spec.mutable_program();
  if (python && IsIdentifier(path.stem().string())) {
    program->set_python_module(path.stem().string());
    return absl::OkStatus();
  }
  if (python) program->add_command("python3");
  program->add_command(absl::StrCat(kPackageFromWork, "/", path.filename().string()));
  return absl::OkStatus();
}

// A folder with __main__.py, or a dotted name of a module below the current folder.
absl::Status TakeModule(const std::string& module, const std::string& folder,
                        Submission* submission) {
  submission->spec.mutable_program()->set_python_module(module);
  return PlanPackages(folder, {}, submission);
}

// "python3 -m trainer.task": the module brings its package, when it is one of ours. False when not.
absl::StatusOr<bool> TakeModuleOption(Context* context, const std::string& interpreter,
                                      const std::vector<std::string>& arguments,
                                      Submission* submission) {
  if (arguments.size() < 2 || arguments[0] != "-m") return false;
  const std::string& module = arguments[1];
  const std::string path = absl::StrReplaceAll(module, {{".", "/"}});
  if (!IsFile(path + ".py") && !IsFile(path + "/__main__.py")) return false;
  v1::Program* program = submission->spec.mutable_program();
  program->mutable_args()->DeleteSubrange(0, 2);
  if (interpreter != "python3") program->set_interpreter(interpreter);
  const std::string top = module.substr(0, module.find('.'));
  absl::Status status;
  if (IsFolder(top)) {
    status = TakeModule(module, top, submission);
  } else {
    program->set_python_module(module);
    status = TakeFolderOf(context, path + ".py", submission);
  }
  if (!status.ok()) return status;
  return true;
}

// "python3 -u dir/train.py ...": the script brings its folder; what the interpreter is told
// otherwise (-c, a module that is not here, an absolute path) it gets as it stands.
absl::Status TakeInterpreter(Context* context, const std::string& word, Submission* submission) {
  const bool bare = !absl::StrContains(word, "/");
  const std::string path = bare ? FindOnPath(word, context->environment()) : word;
  if (path.empty()) return NoSuchProgram(word);
  // The node's own python3 may have another path.
  const std::string interpreter = word == "python3" ? word : path;
  v1::Program* program = submission->spec.mutable_program();
  const std::vector<std::string> arguments(program->args().begin(), program->args().end());
  const absl::StatusOr<bool> taken = TakeModuleOption(context, interpreter, arguments, submission);
  if (!taken.ok() || *taken) return taken.status();
  const size_t at = ScriptAmong(word, arguments);
  if (at != kNoScript && !absl::StartsWith(arguments[at], "/")) {
    const std::string& script = arguments[at];
    if (!IsFile(script)) return NoSuchProgram(script);
    absl::Status status = absl::EndsWith(script, ".py") ? CheckImports(script) : absl::OkStatus();
    if (status.ok()) status = TakeFolderOf(context, script, submission);
    if (!status.ok()) return status;
    program->set_args(static_cast<int>(at),
                      absl::StrCat(kPackageFromWork, "/", fs::path(script).filename().string()));
  }
  program->add_command(interpreter);
  return absl::OkStatus();
}

absl::Status TakeProgram(Context* context, const std::string& word, Submission* submission) {
  if (IsInterpreter(word) && !IsFolder(word) && (absl::StartsWith(word, "/") || !IsFile(word))) {
    return TakeInterpreter(context, word, submission);
  }
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
  submission->flags["program.command"] = "program";
  for (const auto& [flag, field] :
       {std::pair("scale-tier", "scaleTier"), std::pair("job-dir", "jobDir"),
        std::pair("env", "program.env"), std::pair("priority", "scheduling.priority")}) {
    if (arguments.Has(flag)) submission->flags[field] = absl::StrCat("--", flag);
  }
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
  const size_t script = IsInterpreter(arguments.Word(0))
                            ? ScriptAmong(arguments.Word(0), arguments.rest())
                            : kNoScript;
  const fs::path path(script == kNoScript ? arguments.Word(0) : arguments.rest()[script]);
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
  if (found) {
    faults.Add(NamedFaults(submission, CheckRunnable(context, submission, "name a module here")));
    faults.Add(CheckSpec(context, submission));
  }
  if (!faults.ok()) return faults.Take();
  SayNotes(context, submission);
  const bool patient = arguments.Has("patient");
  const Never never = patient ? Never() : WhyNever(context, submission.spec);
  const absl::StatusOr<v1::Job> job = Send(context, std::move(submission));
  if (!job.ok()) return job.status();
  if (arguments.Has("detach")) Announce(context, *job, /*follows=*/false);
  if (!never.reason.empty()) return NeverError(ShortName(job->name()), never);
  if (arguments.Has("detach")) return absl::OkStatus();
  if (!context->quiet) {
    context->console().ErrLine(
        Styled(absl::StrCat("job ", ShortName(job->name()), " (Ctrl-C leaves it running)"),
               Style::kDim, context->console().err_color));
  }
  return FollowToEnd(context, *job, /*split=*/true, patient);
}

}  // namespace

Command RunCommand() {
  Command command;
  command.words = "run";
  command.summary = "Run a program as a job and follow its log.";
  command.examples = {"trainyard run train.py --lr 0.1",
                      "trainyard run -d --name nightly ./train 10",
                      "trainyard run --scale-tier standard-1 trainer.task --epochs 3",
                      "trainyard run bash steps/prepare.sh"};
  command.positionals = {{.name = "PROGRAM", .complete = Complete::kFile}};
  command.flags = {
      {.name = "name", .value = "NAME", .help = "job id; otherwise made of the program's name"},
      {.name = "scale-tier", .value = "TIER", .help = "default basic", .complete = Complete::kTier},
      {.name = "detach", .help = "do not follow", .letter = 'd'},
      {.name = "env", .value = "K=V,...", .help = "for the program", .repeated = true},
      {.name = "job-dir", .value = "URI", .help = "passed to the program as --job-dir"},
      {.name = "priority", .value = "N", .help = "0 to 1000, higher first"},
      {.name = "patient", .help = "queue it also when no node could run it yet"}};
  command.notes = {
      "PROGRAM is a script (its folder goes along, without .git, __pycache__ and the like), a "
      "module such as trainer.task, an executable, or an interpreter with its script. Words after "
      "PROGRAM go to it untouched. Exit code 8 when the job fails."};
  command.run = Run;
  command.rest = Rest::kAfterFirstWord;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
