// A program whose first instruction that we control writes the time: stamp FOLDER writes
// FOLDER/<id>.stamp, where id is the value of SLURM_JOB_ID (whose scripts put their own path into
// argv[2]) or argv[2]. Linked statically: what is measured is the scheduler and not the loader.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char** argv) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const char* id = getenv("SLURM_JOB_ID");
  if (id == nullptr && argc > 2) id = argv[2];
  if (argc < 2 || id == nullptr) return 2;
  char path[4096];
  snprintf(path, sizeof path, "%s/%s.stamp", argv[1], id);
  FILE* file = fopen(path, "w");
  if (file == nullptr) return 1;
  fprintf(file, "%lld.%09ld\n", static_cast<long long>(now.tv_sec), now.tv_nsec);
  return fclose(file) == 0 ? 0 : 1;
}
