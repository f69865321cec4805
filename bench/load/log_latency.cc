// Prints, a line each, the milliseconds from a program's printing of a line to its arrival at a
// follower of the log. The program is a shell-free loop: python3 prints its own clock every 20 ms.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "bench/load/client.h"

ABSL_FLAG(std::string, state, "", "State folder of the cluster");
ABSL_FLAG(int, count, 200, "Lines");

int main(int argc, char** argv) {
  using namespace trainyard;
  absl::ParseCommandLine(argc, argv);
  bench::Cluster cluster(absl::GetFlag(FLAGS_state));
  const std::string program =
      "import sys,time\nfor i in range(int(sys.argv[1])):\n  time.sleep(0.02)\n  "
      "print(time.time(), flush=True)\n";
  v1::Job job;
  bench::Must(cluster.jobs().SubmitJob(cluster.Context().get(),
                                       bench::Request({"/usr/bin/python3", "-c", program,
                                                       std::to_string(absl::GetFlag(FLAGS_count))},
                                                      1),
                                       &job),
              "SubmitJob");
  v1::TailLogsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  request.set_all_ranks(true);
  auto context = cluster.Context();
  auto reader = cluster.jobs().TailLogs(context.get(), request);
  v1::TailLogsResponse response;
  while (reader->Read(&response)) {
    const double now = bench::NowMs();
    for (const v1::LogLine& line : response.lines()) {
      const double printed = std::strtod(line.text().c_str(), nullptr);
      if (printed > 0) printf("%.3f\n", now - printed * 1e3);
    }
  }
  bench::Must(reader->Finish(), "TailLogs");
  return 0;
}
