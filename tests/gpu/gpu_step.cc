// Step times of a stack of square layers on a GPU: the products of matrices alone, with an
// all-reduce of all gradients behind them, and with each layer's gradients reduced while the
// next layer's are computed. Prints milliseconds, the median of several steps.
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "worker/training/device_communicator.h"

namespace trainyard::training {
namespace {

constexpr int kLayers = 12, kWidth = 4096, kBatch = 4096, kSteps = 15;
enum class Way { kAlone, kBehind, kBeside };

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  std::_Exit(1);
}
void Must(bool good, const char* what) {
  if (!good) Must(absl::InternalError(what));
}

class Step {
 public:
  explicit Step(DeviceCommunicator* gang) : gang_(*gang) {
    Must(cublasCreate(&blas_) == CUBLAS_STATUS_SUCCESS, "cuBLAS does not start");
    Must(cublasSetMathMode(blas_, CUBLAS_TF32_TENSOR_OP_MATH) == CUBLAS_STATUS_SUCCESS, "mode");
    weights_ = Memory(size_t{kLayers} * kWidth * kWidth);
    gradients_ = Memory(size_t{kLayers} * kWidth * kWidth);
    activations_ = Memory(size_t{kBatch} * kWidth);
    deltas_ = Memory(size_t{kBatch} * kWidth);
  }
  ~Step() { cublasDestroy(blas_); }

  void Run(Way way) {
    std::vector<std::unique_ptr<Pending>> pending;
    for (int layer = 0; layer < kLayers; ++layer)
      Product(Layer(weights_, layer), activations_, deltas_);
    for (int layer = kLayers - 1; layer >= 0; --layer) {
      Product(activations_, deltas_, Layer(gradients_, layer));
      Product(Layer(weights_, layer), deltas_, activations_);
      if (way != Way::kBeside) continue;
      auto begun = gang_.StartAllReduce(Layer(gradients_, layer), size_t{kWidth} * kWidth,
                                        DataType::kFloat32, ReduceOp::kMean);
      Must(begun.status());
      pending.push_back(*std::move(begun));
    }
    if (way == Way::kBehind) {
      Must(gang_.AllReduce(gradients_, size_t{kLayers} * kWidth * kWidth, DataType::kFloat32,
                           ReduceOp::kMean));
    }
    for (auto& one : pending) Must(one->Wait());
    Must(cudaDeviceSynchronize() == cudaSuccess, "the GPU failed");
  }

  double Milliseconds(Way way) {
    std::vector<double> taken;
    for (int i = 0; i < kSteps + 2; ++i) {
      const auto start = std::chrono::steady_clock::now();
      Run(way);
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - start;
      if (i >= 2) taken.push_back(took.count());
    }
    std::sort(taken.begin(), taken.end());
    return taken[taken.size() / 2];
  }

 private:
  float* Memory(size_t count) {
    auto memory = gang_.Allocate(count * sizeof(float));
    Must(memory.status());
    return static_cast<float*>(*memory);
  }
  static float* Layer(float* all, int layer) {
    return all + static_cast<size_t>(layer) * kWidth * kWidth;
  }
  // Batch and width are equal, so that one shape of product serves all.
  void Product(const float* a, const float* b, float* to) {
    static_assert(kBatch == kWidth);
    const float one = 1e-3F, zero = 0;
    Must(cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, kWidth, kWidth, kWidth, &one, a, kWidth, b,
                     kWidth, &zero, to, kWidth) == CUBLAS_STATUS_SUCCESS,
         "a product failed");
  }

  DeviceCommunicator& gang_;
  cublasHandle_t blas_ = nullptr;
  float* weights_ = nullptr;
  float* gradients_ = nullptr;
  float* activations_ = nullptr;
  float* deltas_ = nullptr;
};

int Main() {
  auto context = RankContextFromEnvironment();
  Must(context.status());
  auto nccl = LoadNccl();
  Must(nccl.status());
  auto host = CreateCommunicator(*context);
  Must(host.status());
  auto gang = DeviceCommunicator::Create(*context, host->get());
  Must(gang.status());
  Step step(gang->get());
  double times[3];
  for (const Way way : {Way::kAlone, Way::kBehind, Way::kBeside}) {
    times[static_cast<int>(way)] = step.Milliseconds(way);
  }
  if (context->rank == 0) {
    std::printf(
        "step with %d ranks: %.2f ms alone, %.2f ms with all-reduce behind, %.2f ms beside\n",
        context->world_size, times[0], times[1], times[2]);
  }
  return 0;
}

}  // namespace
}  // namespace trainyard::training

int main() { return trainyard::training::Main(); }
