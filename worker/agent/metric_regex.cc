// See metric_regex.h.
#include "worker/agent/metric_regex.h"

#include <re2/re2.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"

namespace trainyard::worker {
namespace {

constexpr size_t kLineMax = 8 << 10;
constexpr int kMatchesMax = 100;  // of one line, with or without a value
constexpr size_t kNamesMax = 1000;

// Python, PCRE and Go write (?<name>...) too; RE2 of Debian 12 knows (?P<name>...) only.
std::string WithNamedGroups(const std::string& pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    out += pattern[i];
    const bool escaped = i > 0 && pattern[i - 1] == '\\';
    if (escaped || pattern.compare(i, 3, "(?<") != 0 || i + 3 >= pattern.size()) continue;
    if (pattern[i + 3] == '=' || pattern[i + 3] == '!') continue;
    out += "?P";
    ++i;
  }
  return out;
}

absl::Status Bad(const std::string& pattern, absl::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                   absl::StrCat("metric regex \"", pattern, "\" ", why),
                   "write one group for the value, or groups (?P<name>...) and (?P<value>...)",
                   "metrics.regex");
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricRegex>> MetricRegex::Make(const std::string& pattern,
                                                               const std::string& default_name) {
  RE2::Options options;
  options.set_log_errors(false);
  auto expression = std::make_unique<RE2>(WithNamedGroups(pattern), options);
  if (!expression->ok()) return Bad(pattern, absl::StrCat("is wrong: ", expression->error()));
  const auto& groups = expression->NamedCapturingGroups();
  if (expression->NumberOfCapturingGroups() < 1) return Bad(pattern, "has no group");
  if (groups.count("name") == 0 && default_name.empty()) {
    return Bad(pattern, "has no group \"name\" and there is no study metric to name it by");
  }
  return std::unique_ptr<MetricRegex>(new MetricRegex(std::move(expression), default_name));
}

MetricRegex::MetricRegex(std::unique_ptr<re2::RE2> expression, std::string default_name)
    : expression_(std::move(expression)), default_name_(std::move(default_name)) {
  const auto& groups = expression_->NamedCapturingGroups();
  const auto group = [&groups](const char* name, int otherwise) {
    const auto found = groups.find(name);
    return found == groups.end() ? otherwise : found->second;
  };
  name_group_ = group("name", 0);
  step_group_ = group("step", 0);
  value_group_ = group("value", 1);
}

MetricRegex::~MetricRegex() = default;

std::vector<MetricRegex::Match> MetricRegex::Matches(const std::string& line) {
  std::vector<Match> matches;
  const re2::StringPiece text(line.data(), std::min(line.size(), kLineMax));
  const int groups = expression_->NumberOfCapturingGroups() + 1;
  std::vector<re2::StringPiece> found(static_cast<size_t>(groups));
  const auto text_of = [&found](int group) {
    const re2::StringPiece& piece = found[static_cast<size_t>(group)];
    return std::string(piece.data() == nullptr ? "" : piece.data(), piece.size());
  };
  int tries = 0;
  for (size_t at = 0;
       at < text.size() && tries++ < kMatchesMax &&
       expression_->Match(text, at, text.size(), RE2::UNANCHORED, found.data(), groups);) {
    at = static_cast<size_t>(found[0].data() - text.data()) + std::max<size_t>(1, found[0].size());
    Match match;
    match.name = name_group_ > 0 ? text_of(name_group_) : default_name_;
    const bool room = counts_.size() < kNamesMax || counts_.count(match.name) > 0;
    if (match.name.empty() || !room || !absl::SimpleAtod(text_of(value_group_), &match.value)) {
      continue;
    }
    match.step = counts_[match.name]++;
    if (step_group_ > 0 && !absl::SimpleAtoi(text_of(step_group_), &match.step)) continue;
    matches.push_back(std::move(match));
  }
  return matches;
}

}  // namespace trainyard::worker
