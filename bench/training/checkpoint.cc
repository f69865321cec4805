// A checkpoint of so many bytes, several times: how long the training stands still while it is
// taken, how long until it is durable and the processor time of that; then reading it back
// verified, beside reading its bytes alone. Prints JSON.
//   bench_checkpoint FOLDER BYTES ROUNDS
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "worker/training/checkpoint_writer.h"

namespace trainyard::training {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double ProcessorSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

int Main(const std::string& folder, size_t bytes, int rounds) {
  // As a trainer has them: parameters and two moments.
  const size_t count = bytes / sizeof(float) / 3;
  std::vector<std::vector<float>> values(3, std::vector<float>(count));
  for (size_t i = 0; i < count; ++i) {
    for (size_t k = 0; k < 3; ++k) values[k][i] = static_cast<float>(i * 2654435761U % 1000003 + k);
  }
  const std::vector<int64_t> shape = {static_cast<int64_t>(count)};
  const std::vector<TensorView> tensors = {
      {"parameters", DataType::kFloat32, shape, values[0].data()},
      {"first_moment", DataType::kFloat32, shape, values[1].data()},
      {"second_moment", DataType::kFloat32, shape, values[2].data()}};
  nlohmann::json stalls, durable, processor, reads, resumes;
  CheckpointWriter writer(folder, 1);
  for (int round = 0; round <= rounds; ++round) {
    const double start = Now(), busy = ProcessorSeconds();
    writer.Start(round + 1, 1, tensors, {{"epoch", "1"}});
    const double stalled = Now() - start;
    writer.Wait();
    for (const auto& written : writer.Take()) Must(written.status);
    if (round == 0) continue;  // the first one gets its memory
    stalls.push_back(stalled);
    durable.push_back(Now() - start);
    processor.push_back(ProcessorSeconds() - busy);
  }
  const std::string shard =
      absl::StrCat(folder, "/", CheckpointName(rounds + 1), "/shard-0.safetensors");
  for (int round = 0; round < rounds; ++round) {
    double start = Now();
    auto raw = ReadFile(shard);
    Must(raw.status());
    reads.push_back(Now() - start);
    start = Now();
    auto checkpoint = ReadNewestCheckpoint(folder);
    Must(checkpoint.status());
    resumes.push_back(Now() - start);
    if (checkpoint->step != rounds + 1) return 1;
  }
  std::printf("%s\n", nlohmann::json{{"stall_s", stalls},
                                     {"durable_s", durable},
                                     {"processor_s", processor},
                                     {"read_s", reads},
                                     {"resume_s", resumes}}
                          .dump()
                          .c_str());
  return 0;
}

}  // namespace
}  // namespace trainyard::training

int main(int count, char** arguments) {
  size_t bytes = 0;
  int rounds = 0;
  if (count != 4 || !absl::SimpleAtoi(arguments[2], &bytes) ||
      !absl::SimpleAtoi(arguments[3], &rounds) || bytes < 12 || rounds < 1) {
    std::fprintf(stderr, "usage: bench_checkpoint FOLDER BYTES ROUNDS\n");
    return 2;
  }
  return trainyard::training::Main(arguments[1], bytes, rounds);
}
