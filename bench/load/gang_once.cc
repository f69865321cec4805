// Prints the milliseconds from submitting a gang of 2 ranks of /bin/true (mpirun) to its durable
// end.
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "bench/load/client.h"

ABSL_FLAG(std::string, state, "", "State folder of the cluster");

int main(int argc, char** argv) {
  using namespace trainyard;
  absl::ParseCommandLine(argc, argv);
  bench::Cluster cluster(absl::GetFlag(FLAGS_state));
  v1::Job job;
  v1::ListJobsRequest warm;  // the channel's set-up is not what is measured
  warm.set_parent("projects/default");
  warm.set_page_size(1);
  v1::ListJobsResponse listed;
  bench::Must(cluster.jobs().ListJobs(cluster.Context().get(), warm, &listed), "ListJobs");
  const double begin = bench::NowMs();
  bench::Must(
      cluster.jobs().SubmitJob(cluster.Context().get(), bench::Request({"/bin/true"}, 2), &job),
      "SubmitJob");
  const bool good = cluster.WaitForEnd(job.name()) == v1::SUCCEEDED;
  printf("%.3f\n", bench::NowMs() - begin);
  return good ? 0 : 1;
}
