// Element-wise reductions over flat arrays of every DataType: the arithmetic under all
// communicators. Pure; written so that the compiler vectorises the loops.
#ifndef TRAINYARD_WORKER_TRAINING_REDUCE_H_
#define TRAINYARD_WORKER_TRAINING_REDUCE_H_

#include <cstddef>
#include <cstdint>

#include "worker/training/communicator.h"

namespace trainyard::training {

// to[i] = op(to[i], from[i]); kMean adds, as kSum does. Arrays are equal or do not overlap.
void Accumulate(void* to, const void* from, size_t count, DataType type, ReduceOp op);

// to[i] = op(a[i], b[i]): as Accumulate, without reading `to`.
void Combine(void* to, const void* a, const void* b, size_t count, DataType type, ReduceOp op);

// Both arrays become the finished reduction of two ranks' arrays, which do not overlap.
void CombineIntoBoth(void* a, void* b, size_t count, DataType type, ReduceOp op);

// The second half of kMean: data[i] /= divisor. Other operators leave the data.
void Finish(void* data, size_t count, DataType type, ReduceOp op, int divisor);

// `type` is kFloat16 or kBFloat16: rounds floats to it, and back.
void Narrow(const float* from, void* to, size_t count, DataType type);
void Widen(const void* from, float* to, size_t count, DataType type);

// IEEE half precision and bfloat16; rounds to nearest, ties to even; keeps NaN and infinities.
float FloatOfHalf(uint16_t half);
uint16_t HalfOfFloat(float value);
float FloatOfBrain(uint16_t brain);
uint16_t BrainOfFloat(float value);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_REDUCE_H_
