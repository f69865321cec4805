// Filters of job lists: "state:FAILED AND jobId:rnn* AND labels.team=vision". Terms joined by AND,
// each may be preceded by NOT; '*' stands for any text. Pure.
#ifndef TRAINYARD_SCHEDULER_API_FILTER_H_
#define TRAINYARD_SCHEDULER_API_FILTER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::api {

class JobFilter {
 public:
  // INVALID_ARGUMENT with what was not understood and what is accepted. At most 20 terms.
  static absl::StatusOr<JobFilter> Parse(absl::string_view text);
  // `display_name` of its spec.
  bool Matches(const v1::Job& job, absl::string_view display_name) const;
  bool empty() const { return terms_.empty(); }

 private:
  struct Term {
    bool negated = false;
    std::string field;
    std::string pattern;
  };
  std::vector<Term> terms_;
};

// Whether `text` fits `pattern`, in which '*' stands for any text; no case is folded.
bool GlobMatches(absl::string_view pattern, absl::string_view text);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_FILTER_H_
