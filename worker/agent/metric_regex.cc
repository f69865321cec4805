// See metric_regex.h.
#include "worker/agent/metric_regex.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"

namespace trainyard::worker {
namespace {

constexpr size_t kLineMax = 8 << 10;
constexpr int kMatchesMax = 100;  // of one line, with or without a value
constexpr size_t kNamesMax = 1000;

}  // namespace

absl::StatusOr<std::unique_ptr<MetricRegex>> MetricRegex::Make(const std::string& pattern,
                                                               const std::string& default_name) {
  absl::StatusOr<spec::MetricPattern> compiled =
      spec::CompileMetricPattern(pattern, !default_name.empty());
  if (!compiled.ok()) return compiled.status();
  return std::unique_ptr<MetricRegex>(new MetricRegex(*std::move(compiled), default_name));
}

MetricRegex::MetricRegex(spec::MetricPattern pattern, std::string default_name)
    : pattern_(std::move(pattern)), default_name_(std::move(default_name)) {}

std::vector<MetricRegex::Match> MetricRegex::Matches(const std::string& line) {
  std::vector<Match> matches;
  const re2::StringPiece text(line.data(), std::min(line.size(), kLineMax));
  const int groups = pattern_.expression->NumberOfCapturingGroups() + 1;
  std::vector<re2::StringPiece> found(static_cast<size_t>(groups));
  const auto text_of = [&found](int group) {
    const re2::StringPiece& piece = found[static_cast<size_t>(group)];
    return std::string(piece.data() == nullptr ? "" : piece.data(), piece.size());
  };
  int tries = 0;
  for (size_t at = 0;
       at < text.size() && tries++ < kMatchesMax &&
       pattern_.expression->Match(text, at, text.size(), RE2::UNANCHORED, found.data(), groups);) {
    at = static_cast<size_t>(found[0].data() - text.data()) + std::max<size_t>(1, found[0].size());
    Match match;
    match.name = pattern_.name > 0 ? text_of(pattern_.name) : default_name_;
    const bool room = counts_.size() < kNamesMax || counts_.count(match.name) > 0;
    if (match.name.empty() || !room || !absl::SimpleAtod(text_of(pattern_.value), &match.value)) {
      continue;
    }
    match.step = counts_[match.name]++;
    if (pattern_.step > 0 && !absl::SimpleAtoi(text_of(pattern_.step), &match.step)) continue;
    matches.push_back(std::move(match));
  }
  return matches;
}

}  // namespace trainyard::worker
