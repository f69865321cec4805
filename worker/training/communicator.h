// Collectives between the ranks of one gang. All ranks call the same operations in the same order
// with the same counts, types and operators; ranks and counts are the caller's duty, as in MPI.
//  - One thread at a time uses a communicator; it need not be always the same thread.
//  - Results are the same on every rank, bit for bit, and the same from run to run for the same
//    world size and the same implementation.
//  - float16 and bfloat16 are added in float32 and rounded once per addition. Mean is the sum
//    divided by size(); integers truncate toward zero.
//  - An error leaves the communicator unusable: end the process, the launcher ends the peers.
#ifndef TRAINYARD_WORKER_TRAINING_COMMUNICATOR_H_
#define TRAINYARD_WORKER_TRAINING_COMMUNICATOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/training/rank_context.h"

namespace trainyard::training {

enum class DataType { kFloat32, kFloat64, kFloat16, kBFloat16, kInt32, kInt64 };
enum class ReduceOp { kSum, kMean, kMin, kMax };

size_t SizeOf(DataType type);
const char* NameOf(DataType type);
const char* NameOf(ReduceOp op);

// A collective under way. The buffers belong to it until Wait() returned. Wait() once, in the
// order of the starts, from the thread that uses the communicator.
class Pending {
 public:
  virtual ~Pending() = default;
  virtual absl::Status Wait() = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // "single", "shared", "hierarchical", "mpi", "nccl": for people.
  virtual std::string name() const = 0;

  // In place over `count` elements.
  virtual absl::Status AllReduce(void* data, size_t count, DataType type, ReduceOp op) = 0;
  // The same, begun now and finished by Wait().
  virtual absl::StatusOr<std::unique_ptr<Pending>> StartAllReduce(void* data, size_t count,
                                                                  DataType type, ReduceOp op) = 0;
  // `send` holds size() * count elements; rank r receives the reduction of block r. Buffers do not
  // overlap, or `receive` is this rank's block of `send`.
  virtual absl::Status ReduceScatter(const void* send, void* receive, size_t count, DataType type,
                                     ReduceOp op) = 0;
  // `receive` holds size() * count elements, block r from rank r. Buffers do not overlap, or `send`
  // is this rank's block of `receive`.
  virtual absl::Status AllGather(const void* send, void* receive, size_t count, DataType type) = 0;
  // INVALID_ARGUMENT when there is no rank `root`.
  virtual absl::Status Broadcast(void* data, size_t count, DataType type, int root) = 0;
  virtual absl::Status Barrier() = 0;

  // Memory, 64-byte aligned and zeroed, in which this communicator reduces fastest; it lives as
  // long as the communicator. All ranks call with the same size. RESOURCE_EXHAUSTED on all of them
  // where one has no memory; the communicator can be used all the same.
  virtual absl::StatusOr<void*> Allocate(size_t bytes) = 0;
};

// The communicator that fits `context`: single for one rank, shared memory when all ranks are on
// one node, else hierarchical: shared memory inside each node, MPI's messages between them.
// FAILED_PRECONDITION when the ranks cannot find each other.
// TRAINYARD_COMMUNICATOR=mpi|shared|hierarchical in the environment overrides the choice (mpi:
// MPI_Allreduce and its like); TRAINYARD_PRETEND_NODES_OF=N takes every N ranks for a node;
// TRAINYARD_TIMELINE=FOLDER keeps a record of every call there (timeline.h).
absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const RankContext& context);

// Where the data lie that a communicator is given.
enum class Memory { kHost, kDevice };
// For kDevice: NCCL by its plug-in, on the GPU of the rank's number in its node; calls come behind
// what that GPU's default stream was given (device_communicator.h: other GPUs, other streams).
// FAILED_PRECONDITION that says what is missing. Not in the timeline.
absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const RankContext& context,
                                                                 Memory memory);

std::unique_ptr<Communicator> CreateSingleCommunicator();

// INVALID_ARGUMENT unless `root` is one of `size` ranks: for implementations.
absl::Status CheckRoot(int root, int size);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_COMMUNICATOR_H_
