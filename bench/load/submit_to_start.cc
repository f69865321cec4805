// Prints, a line each, the milliseconds from the beginning of a submit call to the program's first
// instruction, for single-rank jobs at random intervals on an idle cluster.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "bench/load/client.h"
#include "common/file.h"
#include "common/random.h"

ABSL_FLAG(std::string, state, "", "State folder of the cluster");
ABSL_FLAG(std::string, stamp, "", "The program that writes the time");
ABSL_FLAG(std::string, folder, "", "Where it writes");
ABSL_FLAG(int, count, 50, "Jobs");

int main(int argc, char** argv) {
  using namespace trainyard;
  absl::ParseCommandLine(argc, argv);
  bench::Cluster cluster(absl::GetFlag(FLAGS_state));
  Random random(1);
  for (int i = -3; i < absl::GetFlag(FLAGS_count); ++i) {  // three to warm up
    usleep(static_cast<useconds_t>(50000 + random.Below(300000)));
    const std::string id = absl::StrCat("j", i + 3);
    const auto request =
        bench::Request({absl::GetFlag(FLAGS_stamp), absl::GetFlag(FLAGS_folder), id}, 1);
    v1::Job job;
    const double begin = bench::NowMs();
    bench::Must(cluster.jobs().SubmitJob(cluster.Context().get(), request, &job), "SubmitJob");
    if (cluster.WaitForEnd(job.name()) != v1::SUCCEEDED) {
      fprintf(stderr, "error: %s did not succeed\n", job.name().c_str());
      return 1;
    }
    const auto stamp = ReadFile(absl::StrCat(absl::GetFlag(FLAGS_folder), "/", id, ".stamp"));
    if (!stamp.ok()) return 1;
    if (i >= 0) printf("%.3f\n", std::strtod(stamp->c_str(), nullptr) * 1e3 - begin);
  }
  return 0;
}
