// See filter.h.
#include "scheduler/api/filter.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errors.h"

namespace trainyard::api {
namespace {

constexpr size_t kTermsMax = 20;

absl::Status BadFilter(absl::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                   absl::StrCat("the filter is not understood at \"", what, "\""),
                   "write terms like state:FAILED, jobId:rnn*, displayName:x, principal:me or "
                   "labels.KEY=VALUE, joined by AND, each perhaps with NOT before it",
                   "filter");
}

// One spelling for each field; "" when unknown.
std::string FieldOf(absl::string_view name) {
  if (name == "state") return "state";
  if (name == "jobId" || name == "job_id" || name == "name") return "job_id";
  if (name == "displayName" || name == "display_name") return "display_name";
  if (name == "principal" || name == "user") return "principal";
  if (absl::StartsWith(name, "labels.") && name.size() > 7) return std::string(name);
  return "";
}

std::string JobIdOf(const v1::Job& job) {
  const std::vector<absl::string_view> parts = absl::StrSplit(job.name(), '/');
  return std::string(parts.back());
}

}  // namespace

bool GlobMatches(absl::string_view pattern, absl::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = absl::string_view::npos;
  size_t mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

absl::StatusOr<JobFilter> JobFilter::Parse(absl::string_view text) {
  JobFilter filter;
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  if (trimmed.empty()) return filter;
  const std::vector<absl::string_view> words =
      absl::StrSplit(trimmed, absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
  bool expect_term = true;
  bool negated = false;
  for (const absl::string_view word : words) {
    if (!expect_term) {
      if (word != "AND") return BadFilter(word);
      expect_term = true;
      continue;
    }
    if (word == "NOT" && !negated) {
      negated = true;
      continue;
    }
    const size_t at = word.find_first_of(":=");
    if (at == absl::string_view::npos || at == 0 || at + 1 == word.size()) return BadFilter(word);
    Term term{negated, FieldOf(word.substr(0, at)), std::string(word.substr(at + 1))};
    if (term.field.empty()) return BadFilter(word);
    term.pattern = std::string(absl::StripPrefix(absl::StripSuffix(term.pattern, "\""), "\""));
    if (term.field == "state") {
      term.pattern = absl::AsciiStrToUpper(term.pattern);
      term.pattern = std::string(absl::StripPrefix(term.pattern, "JOB_STATE_"));
      v1::JobState known;
      if (!absl::StrContains(term.pattern, "*") && !v1::JobState_Parse(term.pattern, &known)) {
        return BadFilter(word);
      }
    }
    filter.terms_.push_back(std::move(term));
    if (filter.terms_.size() > kTermsMax) return BadFilter(word);
    negated = false;
    expect_term = false;
  }
  if (expect_term) return BadFilter(words.back());
  return filter;
}

bool JobFilter::Matches(const v1::Job& job, absl::string_view display_name) const {
  for (const Term& term : terms_) {
    std::string value;
    if (term.field == "state") {
      value = v1::JobState_Name(job.state());
    } else if (term.field == "job_id") {
      value = JobIdOf(job);
    } else if (term.field == "display_name") {
      value = std::string(display_name);
    } else if (term.field == "principal") {
      value = job.principal();
    } else {
      const auto label = job.labels().find(term.field.substr(7));
      if (label == job.labels().end()) {
        if (term.negated) continue;
        return false;
      }
      value = label->second;
    }
    if (GlobMatches(term.pattern, value) == term.negated) return false;
  }
  return true;
}

}  // namespace trainyard::api
