// See insight.h.
#include "scheduler/api/insight.h"

#include <algorithm>
#include <vector>

#include "scheduler/api/convert.h"
#include "scheduler/tuning/insight.h"

namespace trainyard::api {
namespace {

constexpr int kTrialsMax = 100'000;  // older ones do not count

}  // namespace

absl::StatusOr<v1::StudyInsight> GetStudyInsight(const Context& context,
                                                 const core::Principal& principal,
                                                 const v1::GetStudyInsightRequest& request) {
  const absl::StatusOr<core::StudyPtr> study =
      FindStudy(context, principal, core::Action::kRead, request.name());
  if (!study.ok()) return study.status();
  std::vector<tuning::TrialRecord> records;
  const int32_t before = std::max((*study)->next_trial() - 1 - kTrialsMax, 0);
  for (const core::TrialPtr& trial :
       context.runtime->view().Trials((*study)->uid(), before, kTrialsMax)) {
    tuning::TrialRecord record;
    record.id = trial->id();
    record.state = trial->state();
    record.parameters.assign(trial->parameters().begin(), trial->parameters().end());
    if (trial->has_final_measurement()) record.final_measurement = trial->final_measurement();
    record.stopped_early = trial->stopped_early();
    records.push_back(std::move(record));
  }
  absl::StatusOr<v1::StudyInsight> insight =
      tuning::MakeInsight((*study)->spec(), records, request.metric_id());
  if (insight.ok()) insight->set_name(request.name());
  return insight;
}

}  // namespace trainyard::api
