// Trials and ranks that a command line names: whether the job has them, and what to say when it has
// not. One thread.
#ifndef TRAINYARD_CLIENT_CLI_JOB_PARTS_H_
#define TRAINYARD_CLIENT_CLI_JOB_PARTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::client {
class Client;
}

namespace trainyard::cli {

// NOT_FOUND for a job that is no tuning job: it has no trials.
absl::Status CheckTuning(const v1::Job& job);

// NOT_FOUND when the job has no trial of that number; 0 is none and always there.
absl::Status CheckTrial(client::Client* client, const v1::Job& job, int64_t trial);

// NOT_FOUND when the job has no such rank; -1 is none and always there.
absl::Status CheckRank(const v1::Job& job, int64_t rank);

// NOT_FOUND for a tuning job of which no trial has succeeded, in other words when none can any
// more.
absl::Status NoBest(const v1::Job& job);

// Ranks of the job, or of each of its trials.
int64_t RanksOf(const v1::JobSpec& spec);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_JOB_PARTS_H_
