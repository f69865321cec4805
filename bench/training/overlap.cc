// How much of the reduction of gradients a backward pass hides when a core is free for it: the pass
// is asleep for as long as a device would compute, then says that a layer's gradients are ready.
// Once with all reduced at the end, once in buckets meanwhile, in turn. Prints JSON: seconds that
// the step waited for gradients, of rank 0.
//   mpirun -np 2 bench_overlap LAYERS FLOATS_A_LAYER MILLISECONDS_A_LAYER ROUNDS
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "worker/training/gradient_buckets.h"
#include "worker/training/rank_context.h"

namespace trainyard::training {
namespace {

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

std::unique_ptr<GradientBuckets> Make(Communicator* gang, const std::vector<size_t>& sizes,
                                      bool overlap) {
  BucketOptions options;
  options.overlap = overlap;
  auto made = GradientBuckets::Create(gang, sizes, 0, options);
  Must(made.status());
  return *std::move(made);
}

// Seconds waited in one step.
double Step(Communicator* gang, GradientBuckets* gradients, size_t layers, int milliseconds) {
  gradients->Begin();
  std::fill(gradients->data(), gradients->data() + gradients->count(), 1.0F);
  Must(gang->Barrier());
  gradients->BeginLastPass();
  for (size_t layer = layers; layer-- > 0;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    gradients->MarkReady(layer);
  }
  Must(gradients->Finish());
  const float sum = static_cast<float>(gang->size());
  if (gradients->data()[0] != sum || gradients->data()[gradients->count() - 1] != sum) {
    Must(absl::InternalError("wrong sum"));
  }
  return gradients->waited_seconds();
}

int Main(const std::vector<int>& numbers) {
  auto context = RankContextFromEnvironment();
  Must(context.status());
  auto gang = CreateCommunicator(*context);
  Must(gang.status());
  const size_t layers = static_cast<size_t>(numbers[0]);
  const std::vector<size_t> sizes(layers, static_cast<size_t>(numbers[1]));
  const auto late = Make(gang->get(), sizes, false), beside = Make(gang->get(), sizes, true);
  nlohmann::json at_end, exposed;
  for (int round = 0; round <= numbers[3]; ++round) {
    const double end = Step(gang->get(), late.get(), layers, numbers[2]);
    const double rest = Step(gang->get(), beside.get(), layers, numbers[2]);
    if (round == 0) continue;  // pays for page faults
    at_end.push_back(end);
    exposed.push_back(rest);
  }
  if ((*gang)->rank() == 0) {
    std::printf("%s\n",
                nlohmann::json{{"at_end_s", at_end}, {"exposed_s", exposed}}.dump().c_str());
  }
  return 0;
}

}  // namespace
}  // namespace trainyard::training

int main(int count, char** arguments) {
  std::vector<int> numbers(4);
  bool good = count == 5;
  for (size_t i = 0; good && i < numbers.size(); ++i) {
    good = absl::SimpleAtoi(arguments[i + 1], &numbers[i]) && numbers[i] > 0;
  }
  if (!good) {
    std::fprintf(stderr, "usage: bench_overlap LAYERS FLOATS MILLISECONDS ROUNDS\n");
    return 2;
  }
  return trainyard::training::Main(numbers);
}
