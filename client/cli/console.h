// Where output goes. Data goes to Out, everything for people's eyes (progress, notes, errors, next
// commands) to Err, so that a pipe carries data alone.
//
// Invariants: no ANSI sequence unless the stream is a terminal and NO_COLOR is unset and TERM is
// not "dumb". One thread.
#ifndef TRAINYARD_CLIENT_CLI_CONSOLE_H_
#define TRAINYARD_CLIENT_CLI_CONSOLE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "client/sdk/endpoint.h"

namespace trainyard::cli {

enum class Style { kPlain, kBold, kDim, kGreen, kRed, kYellow, kCyan };

class Console {
 public:
  virtual ~Console() = default;
  virtual void Out(absl::string_view text) = 0;
  virtual void Err(absl::string_view text) = 0;
  // Bytes of standard input: one line without its end; false at the end.
  virtual bool ReadLine(std::string* line) = 0;
  virtual void Flush() = 0;

  void OutLine(absl::string_view text);
  void ErrLine(absl::string_view text);
  // "note: ..." on Err.
  void Note(absl::string_view text);

  bool out_is_terminal = false;
  bool err_is_terminal = false;
  bool out_color = false;
  bool err_color = false;
  int columns = 80;
};

// `text` in `style` when `color`, as it is otherwise.
std::string Styled(absl::string_view text, Style style, bool color);

// The process's own streams, buffered; line by line on terminals.
class ProcessConsole : public Console {
 public:
  explicit ProcessConsole(const client::Environment& environment);
  ~ProcessConsole() override;
  void Out(absl::string_view text) override;
  void Err(absl::string_view text) override;
  bool ReadLine(std::string* line) override;
  void Flush() override;

 private:
  std::string pending_;  // bytes for Out not yet written
  std::string input_;    // bytes read and not yet returned
  bool input_ended_ = false;
};

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_CONSOLE_H_
