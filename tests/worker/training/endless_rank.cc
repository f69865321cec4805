// A rank that reduces until something ends it; says "ready" first, and why it ended.
//   endless_rank [COUNT]      COUNT: this rank's elements, if not 1000
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "worker/training/communicator.h"

using namespace trainyard::training;

int main(int count, char** arguments) {
  auto context = RankContextFromEnvironment();
  if (!context.ok()) return 2;
  auto gang = CreateCommunicator(*context);
  if (!gang.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(gang.status().message()).c_str());
    return 2;
  }
  std::vector<float> data(count > 1 ? static_cast<size_t>(std::atoi(arguments[1])) : 1000);
  for (int64_t i = 0;; ++i) {
    const absl::Status status =
        (*gang)->AllReduce(data.data(), data.size(), DataType::kFloat32, ReduceOp::kMax);
    if (!status.ok()) {
      std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
      std::_Exit(1);  // a broken gang is not left in order
    }
    if (i == 10) {
      std::printf("ready\n");
      std::fflush(stdout);
    }
    if (i > 10) usleep(500);
  }
}
