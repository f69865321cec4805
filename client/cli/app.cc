// See app.h.
#include "client/cli/app.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/help.h"
#include "client/cli/parser.h"
#include "client/cli/waiting.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

int ExitCodeOfReason(const std::string& reason) {
  if (reason == "USAGE") return 2;
  if (reason == "NOT_RUNNING" || reason == "SCHEDULER_UNREACHABLE") return 6;
  if (reason == "JOB_FAILED" || reason == "PROGRAM_FAILED") return 8;
  if (reason == "SPEC_FILE") return 4;
  if (reason == "VERSION_MISMATCH") return 6;
  if (IsNever(reason) || reason == "EXPIRED") return 9;
  return 0;
}

// The error as text, or as JSON where the data would have been JSON.
void PrintError(const absl::Status& status, bool as_json, Console* console) {
  const v1::Faults faults = FaultsOf(status);
  if (as_json) {
    console->ErrLine(JsonOf(faults, /*indented=*/true));
    return;
  }
  for (const v1::Fault& fault : faults.faults()) {
    v1::Faults one;
    *one.add_faults() = fault;
    const std::string mark =
        fault.is_note() ? "" : Styled("error:", Style::kRed, console->err_color) + " ";
    console->ErrLine(absl::StrCat(mark, FormatFaults(one)));
  }
}

void ApplyGlobalFlags(const Arguments& arguments, Context* context) {
  client::EndpointFlags& flags = context->endpoint_flags();
  flags.endpoint = arguments.Get("endpoint");
  flags.token = arguments.Get("token");
  flags.project = arguments.Get("project");
  flags.ca_file = arguments.Get("ca-file");
  context->quiet = arguments.Has("quiet");
  context->request_id = arguments.Get("request-id");
  const std::string format = arguments.Get("output", arguments.Get("format"));
  context->format_given = !format.empty();
  context->format = FormatOf(format);
}

bool WantsJson(const Parsed& parsed) {
  const std::string format = parsed.arguments.Get("output", parsed.arguments.Get("format"));
  return format == "json" || format == "jsonl";
}

// The same of words that could not be parsed.
bool AsksJson(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    absl::string_view word = words[i];
    bool flag = false;
    for (absl::string_view name : {"--output", "--format", "-o"}) {
      if (!flag && absl::ConsumePrefix(&word, name)) flag = true;
    }
    if (!flag) continue;
    absl::ConsumePrefix(&word, "=");
    if (word.empty() && i + 1 < words.size()) word = words[i + 1];
    if (word == "json" || word == "jsonl") return true;
  }
  return false;
}

void NoteQuietFlags(const Parsed& parsed, Console* console) {
  std::string names;
  for (const Flag& flag : parsed.command->flags) {
    if (flag.quiet && parsed.arguments.Has(flag.name)) {
      absl::StrAppend(&names, names.empty() ? "" : ", ", "--", flag.name);
    }
  }
  if (!names.empty()) console->Note(absl::StrCat("without effect here: ", names));
}

}  // namespace

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return 0;
  const std::string reason = ReasonOf(status);
  if (absl::IsAborted(status)) {  // the verdict on a job; a lost race has reasons of its own
    return reason == "ETAG_MISMATCH" || reason == "ABORTED" ? 1 : 8;
  }
  if (const int code = ExitCodeOfReason(reason); code != 0) return code;
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return 3;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
      return 4;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return 5;
    case absl::StatusCode::kUnavailable:
      return 6;
    case absl::StatusCode::kDeadlineExceeded:
      return 7;
    case absl::StatusCode::kResourceExhausted:
      return 9;
    default:
      return 1;
  }
}

int RunCli(const std::vector<std::string>& words, Console* console,
           const client::Environment& environment, const std::string& binary_folder) {
  const absl::StatusOr<Parsed> parsed = Parse(words);
  if (!parsed.ok()) {
    PrintError(parsed.status(), AsksJson(words), console);
    return ExitCodeOf(parsed.status());
  }
  if (parsed->help) {
    console->Out(parsed->command == nullptr ? HelpOfGroup(parsed->group)
                                            : HelpOf(*parsed->command));
    console->Flush();
    return 0;
  }
  Context context(console, environment);
  context.binary_folder = binary_folder;
  ApplyGlobalFlags(parsed->arguments, &context);
  NoteQuietFlags(*parsed, console);
  const absl::Status status = parsed->command->run(&context, parsed->arguments);
  console->Flush();
  if (status.ok()) return 0;
  PrintError(status, WantsJson(*parsed), console);
  return ExitCodeOf(status);
}

}  // namespace trainyard::cli
