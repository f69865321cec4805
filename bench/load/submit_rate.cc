// Prints durable submits/s over gRPC with IN_FLIGHT calls outstanding, and the fdatasync/s of the
// same disk in the same minute (4 KiB appends). The jobs are submitted on hold, so that only the
// submit path works.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "bench/load/client.h"
#include "common/file.h"

ABSL_FLAG(std::string, state, "", "State folder of the cluster");
ABSL_FLAG(int, count, 20000, "Jobs");
ABSL_FLAG(int, in_flight, 64, "Calls outstanding");

namespace trainyard::bench {
namespace {

double SyncsPerSecond(const std::string& folder) {
  const std::string path = JoinPath(folder, "sync-probe");
  FileDescriptor file(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const std::string block(4096, 'x');
  const double begin = NowMs();
  int syncs = 0;
  while (NowMs() - begin < 1000) {
    if (!WriteAll(file.get(), block).ok() || fdatasync(file.get()) != 0) return 0;
    ++syncs;
  }
  unlink(path.c_str());
  return syncs / ((NowMs() - begin) / 1e3);
}

// One call after the other from each of the asynchronous slots.
class Pump {
 public:
  Pump(Cluster* cluster, int count, int in_flight)
      : cluster_(cluster), count_(count), slots_(in_flight) {
    request_ = Request({"/bin/true"}, 1);
    request_.mutable_spec()->mutable_scheduling()->set_hold(true);
  }
  double Run() {
    const double begin = NowMs();
    for (Slot& slot : slots_) Next(&slot);
    while (running_ > 0) usleep(200);
    return count_ / ((NowMs() - begin) / 1e3);
  }
  int failed() const { return failed_; }

 private:
  struct Slot {
    std::unique_ptr<grpc::ClientContext> context;
    v1::Job job;
  };
  void Next(Slot* slot) {
    if (started_.fetch_add(1) >= count_) return;
    ++running_;
    slot->context = cluster_->Context();
    cluster_->jobs().async()->SubmitJob(slot->context.get(), &request_, &slot->job,
                                        [this, slot](grpc::Status status) {
                                          if (!status.ok()) ++failed_;
                                          Next(slot);
                                          --running_;
                                        });
  }
  Cluster* const cluster_;
  const int count_;
  std::vector<Slot> slots_;
  v1::SubmitJobRequest request_;
  std::atomic<int> started_{0};
  std::atomic<int> running_{0};
  std::atomic<int> failed_{0};
};

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  using namespace trainyard;
  absl::ParseCommandLine(argc, argv);
  const std::string state = absl::GetFlag(FLAGS_state);
  bench::Cluster cluster(state);
  const double before = bench::SyncsPerSecond(state);
  bench::Pump pump(&cluster, absl::GetFlag(FLAGS_count), absl::GetFlag(FLAGS_in_flight));
  const double rate = pump.Run();
  const double after = bench::SyncsPerSecond(state);
  printf("%.1f %.1f\n", rate, (before + after) / 2);
  if (pump.failed() > 0) fprintf(stderr, "error: %d submits failed\n", pump.failed());
  return pump.failed() == 0 ? 0 : 1;
}
