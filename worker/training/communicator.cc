// See communicator.h: names, the single rank's communicator, the choice between implementations.
#include "worker/training/communicator.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/errors.h"
#include "worker/training/aligned_memory.h"
#include "worker/training/device_communicator.h"
#include "worker/training/hierarchical_communicator.h"
#include "worker/training/mpi_communicator.h"
#include "worker/training/shared_communicator.h"
#include "worker/training/timeline.h"

namespace trainyard::training {
namespace {

class Done : public Pending {
 public:
  absl::Status Wait() override { return absl::OkStatus(); }
};

// One rank: every reduction is the identity.
class SingleCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string name() const override { return "single"; }
  absl::Status AllReduce(void*, size_t, DataType, ReduceOp) override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<Pending>> StartAllReduce(void*, size_t, DataType,
                                                          ReduceOp) override {
    return std::make_unique<Done>();
  }
  absl::Status ReduceScatter(const void* send, void* receive, size_t count, DataType type,
                             ReduceOp) override {
    std::memmove(receive, send, count * SizeOf(type));
    return absl::OkStatus();
  }
  absl::Status AllGather(const void* send, void* receive, size_t count, DataType type) override {
    std::memmove(receive, send, count * SizeOf(type));
    return absl::OkStatus();
  }
  absl::Status Broadcast(void*, size_t, DataType, int root) override { return CheckRoot(root, 1); }
  absl::Status Barrier() override { return absl::OkStatus(); }
  absl::StatusOr<void*> Allocate(size_t bytes) override { return memory_.Allocate(bytes); }

 private:
  AlignedMemory memory_;
};

}  // namespace

size_t SizeOf(DataType type) {
  switch (type) {
    case DataType::kFloat16:
    case DataType::kBFloat16:
      return 2;
    case DataType::kFloat32:
    case DataType::kInt32:
      return 4;
    case DataType::kFloat64:
    case DataType::kInt64:
      return 8;
  }
  return 0;
}

const char* NameOf(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return "float32";
    case DataType::kFloat64:
      return "float64";
    case DataType::kFloat16:
      return "float16";
    case DataType::kBFloat16:
      return "bfloat16";
    case DataType::kInt32:
      return "int32";
    case DataType::kInt64:
      return "int64";
  }
  return "";
}

const char* NameOf(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return "sum";
    case ReduceOp::kMean:
      return "mean";
    case ReduceOp::kMin:
      return "min";
    case ReduceOp::kMax:
      return "max";
  }
  return "";
}

absl::Status CheckRoot(int root, int size) {
  if (root >= 0 && root < size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("there is no rank ", root, " among ", size));
}

std::unique_ptr<Communicator> CreateSingleCommunicator() {
  return std::make_unique<SingleCommunicator>();
}

namespace {

// TRAINYARD_PRETEND_NODES_OF: ranks of one machine as if so many of them shared each node.
absl::StatusOr<int> PretendedNodeSize() {
  const char* const text = std::getenv("TRAINYARD_PRETEND_NODES_OF");
  int ranks = 0;
  if (text == nullptr || (absl::SimpleAtoi(text, &ranks) && ranks > 0)) return ranks;
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                   absl::StrCat("TRAINYARD_PRETEND_NODES_OF=", text, " is no number from 1 up"),
                   "set it to ranks per pretended node, or unset it");
}

absl::StatusOr<std::unique_ptr<Communicator>> Choose(const RankContext& context) {
  if (context.world_size == 1) return CreateSingleCommunicator();
  const char* const wanted = std::getenv("TRAINYARD_COMMUNICATOR");
  const absl::string_view name = wanted == nullptr ? "" : wanted;
  if (name == "mpi") return CreateMpiCommunicator(context);
  if (!name.empty() && name != "shared" && name != "hierarchical") {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("TRAINYARD_COMMUNICATOR=", name, " is not known"),
                     "set it to mpi, shared or hierarchical, or unset it");
  }
  auto pretend = PretendedNodeSize();
  if (!pretend.ok()) return pretend.status();
  if (context.one_node() && *pretend == 0 && name != "hierarchical") {
    return CreateSharedCommunicator(context);
  }
  if (name == "shared") {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     absl::StrCat("only ", context.local_world_size, " of ", context.world_size,
                                  " ranks are on this node; shared memory does not reach the rest"),
                     "unset TRAINYARD_COMMUNICATOR");
  }
  return CreateHierarchicalCommunicator(context, *pretend);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const RankContext& context) {
  auto chosen = Choose(context);
  const char* const folder = std::getenv("TRAINYARD_TIMELINE");
  if (!chosen.ok() || folder == nullptr || *folder == '\0') return chosen;
  auto timeline = Timeline::Create(folder, context.rank);
  if (!timeline.ok()) return timeline.status();
  return WithTimeline(*std::move(chosen), *std::move(timeline));
}

absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const RankContext& context,
                                                                 Memory memory) {
  if (memory == Memory::kHost) return CreateCommunicator(context);
  auto device = CreateDeviceCommunicator(context);
  if (!device.ok()) return device.status();
  return *std::move(device);
}

}  // namespace trainyard::training
