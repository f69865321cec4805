// A console that keeps what was written, and gives lines to read.
#ifndef TRAINYARD_TESTS_CLIENT_CLI_TEST_CONSOLE_H_
#define TRAINYARD_TESTS_CLIENT_CLI_TEST_CONSOLE_H_

#include <deque>
#include <string>

#include "client/cli/app.h"
#include "client/cli/console.h"
#include "tests/client/fake/fake_server.h"

namespace trainyard::cli {

class TestConsole : public Console {
 public:
  void Out(absl::string_view text) override { out += std::string(text); }
  void Err(absl::string_view text) override { err += std::string(text); }
  bool ReadLine(std::string* line) override {
    if (input.empty()) return false;
    *line = input.front();
    input.pop_front();
    return true;
  }
  void Flush() override {}

  std::string out;
  std::string err;
  std::deque<std::string> input;
};

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

// One command line against the fake scheduler.
inline Result RunAgainst(const client::FakeServer& server, const std::vector<std::string>& words,
                         std::deque<std::string> input = {}) {
  TestConsole console;
  console.input = std::move(input);
  const int code = RunCli(words, &console, server.environment(), "/nowhere");
  return {code, console.out, console.err};
}

}  // namespace trainyard::cli

#endif  // TRAINYARD_TESTS_CLIENT_CLI_TEST_CONSOLE_H_
