// What a rank knows of itself, read from the environment its launcher made (docs/reference: what a
// program sees). Pure but for FromEnvironment. Immutable.
#ifndef TRAINYARD_WORKER_TRAINING_RANK_CONTEXT_H_
#define TRAINYARD_WORKER_TRAINING_RANK_CONTEXT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace trainyard::training {

struct RankContext {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;
  int local_world_size = 1;
  std::string job;             // TRAINYARD_JOB, empty outside a job
  std::string trial;           // TRAINYARD_TRIAL
  std::string epoch;           // TRAINYARD_EPOCH: private to one attempt
  std::string socket;          // TRAINYARD_SOCKET: the reporter's, empty outside a job
  std::string model_dir;       // AIP_MODEL_DIR without its trailing slash, may be empty
  std::string checkpoint_dir;  // AIP_CHECKPOINT_DIR, likewise
  std::string job_dir;         // TRAINYARD_JOB_DIR, likewise
  std::string gang;            // a name that the ranks of one launch share and no other launch has
  std::optional<int64_t> resume_step;  // TRAINYARD_RESUME_STEP

  bool one_node() const { return local_world_size == world_size; }
};

// RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, else Open MPI's OMPI_COMM_WORLD_*, else one rank
// alone. INVALID_ARGUMENT that names the variable when a number is none or the ranks contradict.
absl::StatusOr<RankContext> RankContextFromEnvironment();

// The same from any source of variables; it returns nullptr for what is unset.
absl::StatusOr<RankContext> RankContextFrom(
    const std::function<const char*(const char* name)>& variable);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_RANK_CONTEXT_H_
