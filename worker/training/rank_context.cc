// See rank_context.h.
#include "worker/training/rank_context.h"

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/errors.h"

namespace trainyard::training {
namespace {

using Variables = std::function<const char*(const char*)>;

absl::Status BadVariable(absl::string_view name, absl::string_view value,
                         absl::string_view expected) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                   absl::StrCat("environment variable ", name, "=", value, " is not ", expected),
                   absl::StrCat("start the program with a launcher that sets ", name,
                                ", or unset it to run one rank alone"));
}

// Puts the number of `name`, or of `other` when that is unset, into `out`; leaves it without both.
absl::Status ReadNumber(const Variables& variables, const char* name, const char* other, int* out) {
  const char* used = name;
  const char* value = variables(name);
  if (value == nullptr) {
    used = other;
    value = variables(other);
  }
  if (value == nullptr) return absl::OkStatus();
  int number = 0;
  if (!absl::SimpleAtoi(value, &number) || number < 0) {
    return BadVariable(used, value, "a number from 0 up");
  }
  *out = number;
  return absl::OkStatus();
}

std::string Text(const Variables& variables, const char* name) {
  const char* value = variables(name);
  return value == nullptr ? "" : value;
}

std::string Folder(const Variables& variables, const char* name) {
  std::string path = Text(variables, name);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// Open MPI names each mpirun of a host; a job's attempt has its epoch. MASTER_PORT comes last: it
// is all that a hand-made gang has.
std::string GangName(const Variables& variables, const RankContext& context) {
  const std::string job = absl::StrCat(context.job, "-", context.trial, "-", context.epoch);
  for (const char* name : {"OMPI_MCA_ess_base_jobid", "PMIX_NAMESPACE"}) {
    const std::string value = Text(variables, name);
    if (!value.empty()) return absl::StrCat(job, "-", value);
  }
  return absl::StrCat(job, "-", Text(variables, "MASTER_PORT"));
}

absl::Status CheckRanks(const RankContext& context) {
  if (context.world_size < 1) return BadVariable("WORLD_SIZE", "0", "at least 1");
  if (context.rank >= context.world_size) {
    return BadVariable("RANK", absl::StrCat(context.rank),
                       absl::StrCat("below WORLD_SIZE=", context.world_size));
  }
  if (context.local_world_size < 1 || context.local_world_size > context.world_size) {
    return BadVariable("LOCAL_WORLD_SIZE", absl::StrCat(context.local_world_size),
                       absl::StrCat("from 1 to WORLD_SIZE=", context.world_size));
  }
  if (context.local_rank >= context.local_world_size) {
    return BadVariable("LOCAL_RANK", absl::StrCat(context.local_rank),
                       absl::StrCat("below LOCAL_WORLD_SIZE=", context.local_world_size));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RankContext> RankContextFrom(const Variables& variables) {
  RankContext context;
  struct Number {
    const char* name;
    const char* other;
    int* out;
  };
  for (const Number& number :
       {Number{"RANK", "OMPI_COMM_WORLD_RANK", &context.rank},
        Number{"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", &context.world_size},
        Number{"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", &context.local_rank},
        Number{"LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", &context.local_world_size}}) {
    if (absl::Status status = ReadNumber(variables, number.name, number.other, number.out);
        !status.ok()) {
      return status;
    }
  }
  if (absl::Status status = CheckRanks(context); !status.ok()) return status;
  context.job = Text(variables, "TRAINYARD_JOB");
  context.trial = Text(variables, "TRAINYARD_TRIAL");
  context.epoch = Text(variables, "TRAINYARD_EPOCH");
  context.socket = Text(variables, "TRAINYARD_SOCKET");
  context.model_dir = Folder(variables, "AIP_MODEL_DIR");
  context.checkpoint_dir = Folder(variables, "AIP_CHECKPOINT_DIR");
  context.job_dir = Folder(variables, "TRAINYARD_JOB_DIR");
  context.gang = GangName(variables, context);
  const std::string resume = Text(variables, "TRAINYARD_RESUME_STEP");
  int64_t step = 0;
  if (!resume.empty()) {
    if (!absl::SimpleAtoi(resume, &step)) {
      return BadVariable("TRAINYARD_RESUME_STEP", resume, "a number");
    }
    context.resume_step = step;
  }
  return context;
}

absl::StatusOr<RankContext> RankContextFromEnvironment() {
  return RankContextFrom([](const char* name) { return std::getenv(name); });
}

}  // namespace trainyard::training
