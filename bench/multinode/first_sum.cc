// A rank of the multinode benchmark: adds up one number over all ranks and says when that was done.
//   first_sum FILE      rank 0 writes the wall clock in microseconds there
#include <mpi.h>
#include <time.h>

#include <cstdio>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  double mine = 1;
  double sum = 0;
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (rank == 0 && argc > 1 && sum == size) {
    if (FILE* const file = fopen(argv[1], "w")) {
      fprintf(file, "%ld\n", now.tv_sec * 1000000L + now.tv_nsec / 1000);
      fclose(file);
    }
  }
  MPI_Finalize();
  return 0;
}
