// See step_times.h.
#include "worker/training/step_times.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "worker/training/hang.h"

namespace trainyard::training {
namespace {

constexpr size_t kNameWords = 8;
constexpr double kSlow = 1.5;
constexpr double kSecondsMin = 0.1;

}  // namespace

absl::StatusOr<Straggler> FindStraggler(double busy_seconds, Communicator* communicator) {
  const size_t size = static_cast<size_t>(communicator->size());
  std::vector<double> all(size);
  absl::Status status = communicator->AllGather(&busy_seconds, all.data(), 1, DataType::kFloat64);
  if (!status.ok()) return status;
  std::vector<double> sorted = all;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[(size - 1) / 2];
  const size_t slowest =
      static_cast<size_t>(std::max_element(all.begin(), all.end()) - all.begin());
  if (!(all[slowest] > kSlow * median) || all[slowest] - median < kSecondsMin) return Straggler();
  int64_t name[kNameWords] = {};
  const std::string node = NodeName();
  std::memcpy(name, node.data(), std::min(node.size(), sizeof(name) - 1));
  status = communicator->Broadcast(name, kNameWords, DataType::kInt64, static_cast<int>(slowest));
  if (!status.ok()) return status;
  return Straggler{static_cast<int>(slowest), reinterpret_cast<const char*>(name),
                   all[slowest] / std::max(median, 1e-9)};
}

absl::StatusOr<Straggler> TellStepTimes(int64_t step, const StepTimes& times,
                                        Communicator* communicator, Reporter* reporter,
                                        absl::Status* reported) {
  auto slow = FindStraggler(times.busy_seconds, communicator);
  if (!slow.ok()) return slow;
  const double steps = static_cast<double>(std::max<int64_t>(times.steps, 1));
  Metrics metrics = {{"step_seconds", times.busy_seconds / steps},
                     {"wait_seconds", times.wait_seconds / steps}};
  if (communicator->rank() == 0 && slow->rank >= 0) {
    metrics.emplace_back("straggler", static_cast<double>(slow->rank));
  }
  *reported = reporter->Report(step, metrics);
  return slow;
}

}  // namespace trainyard::training
