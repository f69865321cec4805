// A rank that reduces until something ends it; says "ready" first, and why it ended.
//   endless_rank [COUNT [CALL]]   COUNT: this rank's elements, if not 1000; CALL: what it does
//       instead of reducing them: barrier, broadcast, gather; fork: reduce, with a child that lives
//       on; leave: rank 1 does nothing any more; pending: 8 reductions begun at once; poor: asks
//       for memory, which rank 1 has lost the way to
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "worker/training/communicator.h"

using namespace trainyard::training;

namespace {

absl::Status StartMany(Communicator* gang, std::vector<float>* data) {
  std::vector<std::unique_ptr<Pending>> begun;
  std::vector<std::vector<float>> copies(8, *data);
  for (std::vector<float>& copy : copies) {
    auto one = gang->StartAllReduce(copy.data(), copy.size(), DataType::kFloat32, ReduceOp::kMax);
    if (!one.ok()) return one.status();
    begun.push_back(*std::move(one));
  }
  absl::Status first;
  for (auto& one : begun) first.Update(one->Wait());
  return first;
}

absl::Status DoCall(Communicator* gang, const std::string& call, std::vector<float>* data) {
  if (call == "barrier") return gang->Barrier();
  if (call == "broadcast") {
    return gang->Broadcast(data->data(), data->size(), DataType::kFloat32, 0);
  }
  if (call == "gather") {
    std::vector<float> all(data->size() * static_cast<size_t>(gang->size()));
    return gang->AllGather(data->data(), all.data(), data->size(), DataType::kFloat32);
  }
  if (call == "pending") return StartMany(gang, data);
  return gang->AllReduce(data->data(), data->size(), DataType::kFloat32, ReduceOp::kMax);
}

// Rank 1 cannot get memory any more; the others are told, and the gang goes on.
void TryWithoutMemory(Communicator* gang) {
  for (int file = 3; gang->rank() == 1 && file < 100; ++file) {
    char name[100] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(file);
    if (readlink(link.c_str(), name, sizeof(name) - 1) <= 0) continue;
    if (std::string(name).find("trainyard-gang") != std::string::npos) close(file);
  }
  auto memory = gang->Allocate(1 << 20);
  std::printf("%s\n", memory.ok() ? "memory" : std::string(memory.status().message()).c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  auto context = RankContextFromEnvironment();
  if (!context.ok()) return 2;
  auto gang = CreateCommunicator(*context);
  if (!gang.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(gang.status().message()).c_str());
    return 2;
  }
  std::vector<float> data(count > 1 ? static_cast<size_t>(std::atoi(arguments[1])) : 1000);
  const std::string call = count > 2 ? arguments[2] : "";
  if (call == "fork" && fork() == 0) {
    // As a data loader's worker does: it holds what its parent had open.
    alarm(60);
    while (true) pause();
  }
  for (int64_t i = 0;; ++i) {
    // The first ones are reductions, whatever comes then.
    const absl::Status status = DoCall(gang->get(), i < 5 ? "" : call, &data);
    if (!status.ok()) {
      std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
      std::_Exit(1);  // a broken gang is not left in order
    }
    if (i == 9 && call == "poor") TryWithoutMemory(gang->get());
    if (i == 10) {
      std::printf("ready\n");
      std::fflush(stdout);
    }
    while (i > 10 && call == "leave" && context->rank == 1) pause();
    if (i > 10) usleep(500);
  }
}
