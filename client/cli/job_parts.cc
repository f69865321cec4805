// See job_parts.h.
#include "client/cli/job_parts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/cli/job_view.h"
#include "client/cli/trial_view.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"
#include "common/errors.h"

namespace trainyard::cli {

absl::Status CheckTuning(const v1::Job& job) {
  if (IsTuning(job)) return absl::OkStatus();
  const std::string id = ShortName(job.name());
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat(id, " is no tuning job: it has no trials"),
                   absl::StrCat("what it is and does: trainyard jobs describe ", id,
                                "; what it measured: trainyard metrics ", id));
}

absl::Status CheckTrial(client::Client* client, const v1::Job& job, int64_t trial) {
  if (trial <= 0) return absl::OkStatus();
  if (absl::Status status = CheckTuning(job); !status.ok()) return status;
  v1::GetTrialRequest request;
  request.set_name(absl::StrCat(StudyOf(job), "/trials/", trial));
  const absl::Status status = client->GetTrial(request).status();
  if (!absl::IsNotFound(status)) return status;
  const std::string id = ShortName(job.name());
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat(id, " has no trial ", trial),
                   absl::StrCat("see which there are: trainyard trials ", id), "--trial");
}

absl::Status CheckRank(const v1::Job& job, int64_t rank) {
  const int64_t ranks = RanksOf(job.spec());
  if (rank < ranks) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kNotFound, "NOT_FOUND",
      absl::StrCat(ShortName(job.name()), " has no rank ", rank),
      ranks == 1 ? "it has one rank, 0" : absl::StrCat("it has ranks 0 to ", ranks - 1), "--rank");
}

absl::Status NoBest(const v1::Job& job) {
  const std::string id = ShortName(job.name());
  if (!client::IsTerminal(job.state())) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat(id, " has no trial that succeeded yet"),
                     absl::StrCat("see how far it is: trainyard trials ", id));
  }
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat(id, " ended as ", v1::JobState_Name(job.state()),
                                " and no trial of it succeeded"),
                   absl::StrCat("what became of them: trainyard trials ", id,
                                "; why it ended: trainyard jobs describe ", id));
}

int64_t RanksOf(const v1::JobSpec& spec) {
  int64_t ranks = 0;
  for (const v1::WorkerPool& pool : spec.worker_pools()) ranks += std::max(1, pool.replica_count());
  return std::max<int64_t>(1, ranks) * std::max(1, spec.launch().processes_per_replica());
}

}  // namespace trainyard::cli
