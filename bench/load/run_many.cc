// Submits COUNT jobs of /bin/true and prints jobs/s from the first call until all have ended
// durably.
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "bench/load/client.h"

ABSL_FLAG(std::string, state, "", "State folder of the cluster");
ABSL_FLAG(int, count, 1000, "Jobs");

int main(int argc, char** argv) {
  using namespace trainyard;
  absl::ParseCommandLine(argc, argv);
  bench::Cluster cluster(absl::GetFlag(FLAGS_state));
  const double begin = bench::NowMs();
  std::vector<std::string> names;
  const int count = absl::GetFlag(FLAGS_count);
  for (int left = count; left > 0; left -= 500) {
    v1::SubmitJobsRequest batch;
    for (int i = 0; i < std::min(left, 500); ++i) {
      *batch.add_requests() = bench::Request({"/bin/true"}, 1);
    }
    v1::SubmitJobsResponse response;
    bench::Must(cluster.jobs().SubmitJobs(cluster.Context().get(), batch, &response), "SubmitJobs");
    for (const v1::Job& job : response.jobs()) names.push_back(job.name());
  }
  int succeeded = 0;
  for (const std::string& name : names) succeeded += cluster.WaitForEnd(name) == v1::SUCCEEDED;
  const double seconds = (bench::NowMs() - begin) / 1e3;
  if (succeeded != count) {
    fprintf(stderr, "error: %d of %d succeeded\n", succeeded, count);
    return 1;
  }
  printf("%.2f jobs/s (%d in %.2f s)\n", count / seconds, count, seconds);
  return 0;
}
