// See console.h.
#include "client/cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace trainyard::cli {
namespace {

constexpr size_t kBufferBytes = 1 << 16;
constexpr size_t kLineBytesMax = 16 << 20;

int ColumnsOf(const client::Environment& environment) {
  int columns = 0;
  if (absl::SimpleAtoi(environment("COLUMNS"), &columns) && columns >= 20) return columns;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
  return 80;
}

const char* CodeOf(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "\x1b[1m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kGreen:
      return "\x1b[32m";
    case Style::kRed:
      return "\x1b[31m";
    case Style::kYellow:
      return "\x1b[33m";
    case Style::kCyan:
      return "\x1b[36m";
  }
  return "";
}

}  // namespace

void Console::OutLine(absl::string_view text) { Out(absl::StrCat(text, "\n")); }
void Console::ErrLine(absl::string_view text) { Err(absl::StrCat(text, "\n")); }
void Console::Note(absl::string_view text) { ErrLine(absl::StrCat("note: ", text)); }

std::string Styled(absl::string_view text, Style style, bool color) {
  if (!color || text.empty() || style == Style::kPlain) return std::string(text);
  return absl::StrCat(CodeOf(style), text, "\x1b[0m");
}

ProcessConsole::ProcessConsole(const client::Environment& environment) {
  const bool plain = !environment("NO_COLOR").empty() || environment("TERM") == "dumb" ||
                     environment("TERM").empty();
  out_is_terminal = isatty(STDOUT_FILENO) == 1;
  err_is_terminal = isatty(STDERR_FILENO) == 1;
  out_color = out_is_terminal && !plain;
  err_color = err_is_terminal && !plain;
  columns = ColumnsOf(environment);
}

ProcessConsole::~ProcessConsole() { Flush(); }

void ProcessConsole::Flush() {
  // A reader that went away is no error of ours; SIGPIPE ends the process as everywhere.
  (void)WriteAll(STDOUT_FILENO, pending_);
  pending_.clear();
}

void ProcessConsole::Out(absl::string_view text) {
  absl::StrAppend(&pending_, text);
  if (out_is_terminal || pending_.size() >= kBufferBytes) Flush();
}

void ProcessConsole::Err(absl::string_view text) {
  Flush();
  (void)WriteAll(STDERR_FILENO, text);
}

bool ProcessConsole::ReadLine(std::string* line) {
  while (true) {
    const size_t end = input_.find('\n');
    if (end != std::string::npos) {
      *line = input_.substr(0, end);
      input_.erase(0, end + 1);
      return true;
    }
    if (input_ended_ || input_.size() > kLineBytesMax) {
      *line = std::move(input_);
      input_.clear();
      return !line->empty();
    }
    char buffer[1 << 14];
    const ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
    if (n > 0) input_.append(buffer, static_cast<size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) input_ended_ = true;
  }
}

}  // namespace trainyard::cli
