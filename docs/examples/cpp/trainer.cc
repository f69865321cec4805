// A trainer of one's own: fits a line to noisy points, data-parallel, over worker/training.
//   mpirun -np 2 example_trainer --learning_rate=0.1
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "common/random.h"
#include "worker/training/communicator.h"
#include "worker/training/optimizer.h"
#include "worker/training/reporter.h"
#include "worker/training/sampler.h"

using namespace trainyard::training;  // an example, in one file

int main(int count, char** arguments) {
  const bool given = count > 1 && std::strncmp(arguments[1], "--learning_rate=", 16) == 0;
  const double learning_rate = given ? std::atof(arguments[1] + 16) : 0.05;
  auto context = RankContextFromEnvironment();
  if (!context.ok()) return 2;
  auto gang = CreateCommunicator(*context);
  if (!gang.ok()) return 1;
  Reporter reporter(context->rank == 0 ? context->socket : "", context->rank);

  // The same data on every rank; y = 3 x - 1 and some noise.
  trainyard::Random random(1);
  std::vector<float> x(1000), y(1000), line = {0, 0};
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(random.Normal());
    y[i] = 3 * x[i] - 1 + 0.1F * static_cast<float>(random.Normal());
  }
  auto memory = (*gang)->Allocate(3 * sizeof(float));  // two gradients and the loss
  if (!memory.ok()) return 1;
  float* const sums = static_cast<float*>(*memory);
  const Sampler sampler(x.size(), 100, 7);
  Optimizer optimizer({}, line.size());
  for (uint64_t epoch = 0; epoch < 10 && !reporter.should_stop(); ++epoch) {
    const std::vector<size_t> order = sampler.Order(epoch);
    for (size_t step = 0; step < sampler.steps_per_epoch(); ++step) {
      std::memset(sums, 0, 3 * sizeof(float));
      const Range mine = sampler.Shard(step, (*gang)->rank(), (*gang)->size());
      const float scale = 1.0F / static_cast<float>(sampler.BatchSize(step));
      for (size_t i = mine.begin; i < mine.end; ++i) {
        const float error = line[0] * x[order[i]] + line[1] - y[order[i]];
        sums[0] += scale * error * x[order[i]];
        sums[1] += scale * error;
        sums[2] += scale * error * error / 2;
      }
      if (!(*gang)->AllReduce(sums, 3, DataType::kFloat32, ReduceOp::kSum).ok()) return 1;
      optimizer.Step(learning_rate, sums, line.data());
    }
    reporter.Report(static_cast<int64_t>(epoch) + 1, {{"loss", sums[2]}}).IgnoreError();
  }
  if (context->rank == 0) std::printf("y = %.2f x %+.2f\n", line[0], line[1]);
  return 0;
}
