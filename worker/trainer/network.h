// Forward and backward passes of an Architecture over flat arrays of parameters and gradients that
// the caller owns; libtorch does the work behind this header. One thread at a time.
#ifndef TRAINYARD_WORKER_TRAINER_NETWORK_H_
#define TRAINYARD_WORKER_TRAINER_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "worker/trainer/architecture.h"

namespace trainyard::trainer {

struct Outcome {
  // Cross entropy in nats, summed over samples; of a text's sample the mean over its tokens.
  double loss_sum = 0;
  int64_t correct = 0;  // right guesses; only by Evaluate()
};

class Network {
 public:
  virtual ~Network() = default;
  // Adds the gradients of scale * loss_sum to the gradient array. `inputs` holds count x features
  // floats, of a text the numbers of its tokens; `labels` are not read for texts. `count` may be 0.
  virtual Outcome Train(const float* inputs, const int64_t* labels, size_t count, double scale) = 0;
  // Called in every Train() for each parameter whose gradient is complete, by its number in
  // ParametersOf(), in the order of the backward pass.
  virtual void OnReady(std::function<void(size_t parameter)> callback) = 0;
  virtual Outcome Evaluate(const float* inputs, const int64_t* labels, size_t count) = 0;
  // Products of matrices in bfloat16, sums and parameters in float32. Off at first.
  virtual void SetMixedPrecision(bool mixed) = 0;
};

// `parameters` and `gradients` hold ParameterCount() floats and outlive the network; `gradients`
// may be nullptr when Train() is never called. Uses one thread unless OMP_NUM_THREADS says more.
std::unique_ptr<Network> MakeNetwork(const Architecture& architecture, float* parameters,
                                     float* gradients);

}  // namespace trainyard::trainer

#endif  // TRAINYARD_WORKER_TRAINER_NETWORK_H_
