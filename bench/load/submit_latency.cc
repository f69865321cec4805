// Prints the milliseconds of each of COUNT durable submits, one call after the other with a random
// pause between them. The jobs are submitted on hold, so that only the submit path works.
#include <unistd.h>

#include <cstdio>
#include <random>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "bench/load/client.h"

ABSL_FLAG(std::string, state, "", "State folder of the cluster");
ABSL_FLAG(int, count, 1000, "Jobs");
ABSL_FLAG(int, pause_us_max, 10000, "Longest pause between two calls");

int main(int argc, char** argv) {
  using namespace trainyard;
  absl::ParseCommandLine(argc, argv);
  bench::Cluster cluster(absl::GetFlag(FLAGS_state));
  v1::SubmitJobRequest request = bench::Request({"/bin/true"}, 1);
  request.mutable_spec()->mutable_scheduling()->set_hold(true);
  std::mt19937 random{std::random_device{}()};
  for (int i = 0; i < absl::GetFlag(FLAGS_count); ++i) {
    usleep(random() % absl::GetFlag(FLAGS_pause_us_max));
    v1::Job job;
    const double begin = bench::NowMs();
    bench::Must(cluster.jobs().SubmitJob(cluster.Context().get(), request, &job), "submit");
    printf("%.3f\n", bench::NowMs() - begin);
  }
  return 0;
}
