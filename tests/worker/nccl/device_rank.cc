// One rank that uses a device communicator for a while: "ready" once it has joined, "ok" at the
// end, else "error: ..." and exit 1.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "worker/training/device_communicator.h"

namespace trainyard::training {
namespace {

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  std::_Exit(1);
}

int Main() {
  auto context = RankContextFromEnvironment();
  Must(context.status());
  auto gang = CreateDeviceCommunicator(*context);
  Must(gang.status());
  Communicator& c = **gang;
  auto memory = c.Allocate(1000 * sizeof(float));
  Must(memory.status());
  std::printf("ready\n");
  std::fflush(stdout);
  const float word = 3;
  Must((*gang)->Copy(*memory, &word, sizeof(word)));
  for (int i = 0; i < 20; ++i) {
    Must(c.AllReduce(*memory, 1000, DataType::kFloat32, ReduceOp::kMean));
    auto pending = c.StartAllReduce(*memory, 500, DataType::kBFloat16, ReduceOp::kMax);
    Must(pending.status());
    Must((*pending)->Wait());
    Must(c.Broadcast(*memory, 10, DataType::kInt64, 0));
    Must(c.Barrier());
  }
  float back = 0;
  Must((*gang)->Copy(&back, *memory, sizeof(back)));
  if (back != 3) return 1;
  std::printf("ok %s\n", c.name().c_str());
  return 0;
}

}  // namespace
}  // namespace trainyard::training

int main() { return trainyard::training::Main(); }
