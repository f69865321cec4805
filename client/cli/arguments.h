// What was typed for one command, after parsing: flags by name, words, and the words handed on.
// Conversions give one clear USAGE error that names the flag, what was typed and what was expected.
// One thread.
#ifndef TRAINYARD_CLIENT_CLI_ARGUMENTS_H_
#define TRAINYARD_CLIENT_CLI_ARGUMENTS_H_

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard::cli {

// An INVALID_ARGUMENT of reason USAGE: exit code 2. `field`: the flag, with its dashes.
absl::Status UsageError(absl::string_view message, absl::string_view fix,
                        absl::string_view field = "");

// `status` with its faults at `field`.
absl::Status AtField(const absl::Status& status, absl::string_view field);

// `status` with the fields of its faults in the words of the command line: `flags` are pairs of a
// field (or what its name begins with) and the flag that says it.
absl::Status InFlags(const absl::Status& status,
                     std::initializer_list<std::pair<absl::string_view, absl::string_view>> flags);

class Arguments {
 public:
  bool Has(const std::string& flag) const { return flags_.count(flag) > 0; }
  // The last value given, `fallback` when there was none.
  std::string Get(const std::string& flag, const std::string& fallback = "") const;
  std::vector<std::string> All(const std::string& flag) const;
  // All values, each split at commas.
  std::vector<std::string> List(const std::string& flag) const;
  // "k=v,k2=v2", also as several flags.
  absl::StatusOr<std::map<std::string, std::string>> Pairs(const std::string& flag) const;
  absl::StatusOr<int64_t> Int(const std::string& flag, int64_t fallback, int64_t min,
                              int64_t max) const;
  absl::StatusOr<double> Number(const std::string& flag, double fallback) const;
  // "90s", "1.5h", "2d", plain seconds.
  absl::StatusOr<absl::Duration> Duration(const std::string& flag, absl::Duration fallback) const;

  // The word at a place, "" when absent.
  std::string Word(size_t index) const;
  const std::vector<std::string>& words() const { return words_; }
  const std::vector<std::string>& rest() const { return rest_; }
  bool has_dashes() const { return has_dashes_; }

  void Add(const std::string& flag, const std::string& value) { flags_[flag].push_back(value); }
  void AddWord(std::string word) { words_.push_back(std::move(word)); }
  void SetRest(std::vector<std::string> rest, bool has_dashes) {
    rest_ = std::move(rest);
    has_dashes_ = has_dashes;
  }

 private:
  std::map<std::string, std::vector<std::string>> flags_;
  std::vector<std::string> words_;
  std::vector<std::string> rest_;
  bool has_dashes_ = false;
};

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_ARGUMENTS_H_
