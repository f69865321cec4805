// Limits of quotas as the core sees them: what is held now, by the places of the quota tree. A plan
// was made from an earlier state; what would break a limit by now is refused. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_LIMITS_H_
#define TRAINYARD_SCHEDULER_CORE_LIMITS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/core/draft.h"
#include "scheduler/core/ledger.h"

namespace trainyard::core {

// As of a draft, which must outlive it. Costs O(active runs) when any quota has a limit, and
// nothing otherwise.
class Limits {
 public:
  explicit Limits(const Draft& draft);

  // RESOURCE_EXHAUSTED says which limit `members` of the job would break.
  absl::Status Check(const records::JobRow& job, const std::vector<records::MemberRow>& members);
  // They hold it from now on.
  void Add(const records::JobRow& job, const std::vector<records::MemberRow>& members);

 private:
  Holding HoldingOf(const std::vector<records::MemberRow>& members) const;
  // The quotas over the job that are set, the innermost first.
  std::vector<std::string> KeysOf(const records::JobRow& job) const;

  const Draft& draft_;
  bool any_ = false;  // limit
  std::map<std::string, Holding> used_;
};

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_LIMITS_H_
