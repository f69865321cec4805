// See mpi_session.h.
#include "worker/training/mpi_session.h"

#include <mpi.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/errors.h"

namespace trainyard::training {
namespace {

absl::StatusOr<bool> InitialiseMpi(bool waits_inside) {
  int begun = 0, provided = MPI_THREAD_SERIALIZED;
  MPI_Initialized(&begun);
  // mpirun counts only its own ranks, so it does not see that several gangs share the cores.
  if (waits_inside) setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
  const int code = begun != 0 ? MPI_Query_thread(&provided)
                              : MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  if (code == MPI_SUCCESS && provided >= MPI_THREAD_SERIALIZED) return begun == 0;
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                   "MPI cannot start, or not for calls from several threads",
                   "start the program with mpirun; begin MPI with MPI_THREAD_SERIALIZED");
}

}  // namespace

absl::Status MpiStatus(int code, absl::string_view what) {
  if (code == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return absl::UnavailableError(absl::StrCat(what, " failed: ", absl::string_view(text, length)));
}

absl::StatusOr<std::unique_ptr<MpiSession>> MpiSession::Begin(const RankContext& context,
                                                              bool waits_inside) {
  auto ours = InitialiseMpi(waits_inside);
  if (!ours.ok()) return ours.status();
  std::unique_ptr<MpiSession> session(new MpiSession(*ours));
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size == context.world_size && rank == context.rank) return session;
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                   absl::StrCat("this process is rank ", context.rank, " of ", context.world_size,
                                " by its environment, but rank ", rank, " of ", size, " for MPI"),
                   absl::StrCat("start the ranks with mpirun -np ", context.world_size));
}

MpiSession::~MpiSession() {
  if (ours_ && !broken_) MPI_Finalize();
}

}  // namespace trainyard::training
