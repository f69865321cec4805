// See mpi_communicator.h.
#include "worker/training/mpi_communicator.h"

#include <mpi.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/training/aligned_memory.h"
#include "worker/training/async_queue.h"
#include "worker/training/mpi_session.h"
#include "worker/training/reduce.h"

namespace trainyard::training {
namespace {

constexpr size_t kCountMax = size_t{1} << 30;  // MPI counts are int

template <DataType type, ReduceOp op>
void Reduce16(void* from, void* to, int* count, MPI_Datatype*) {
  Accumulate(to, from, static_cast<size_t>(*count), type, op);
}

// The 16-bit floats, unknown to MPI: a 2-byte type and our own operators.
struct Types16 {
  MPI_Datatype type = MPI_DATATYPE_NULL;
  MPI_Op half[3];
  MPI_Op brain[3];

  void Create() {
    MPI_Type_contiguous(2, MPI_BYTE, &type);
    MPI_Type_commit(&type);
    MPI_Op_create(Reduce16<DataType::kFloat16, ReduceOp::kSum>, 1, &half[0]);
    MPI_Op_create(Reduce16<DataType::kFloat16, ReduceOp::kMin>, 1, &half[1]);
    MPI_Op_create(Reduce16<DataType::kFloat16, ReduceOp::kMax>, 1, &half[2]);
    MPI_Op_create(Reduce16<DataType::kBFloat16, ReduceOp::kSum>, 1, &brain[0]);
    MPI_Op_create(Reduce16<DataType::kBFloat16, ReduceOp::kMin>, 1, &brain[1]);
    MPI_Op_create(Reduce16<DataType::kBFloat16, ReduceOp::kMax>, 1, &brain[2]);
  }
  void Free() {
    for (MPI_Op& op : half) MPI_Op_free(&op);
    for (MPI_Op& op : brain) MPI_Op_free(&op);
    MPI_Type_free(&type);
  }
};

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(std::unique_ptr<MpiSession> session, int rank, int size)
      : session_(std::move(session)), rank_(rank), size_(size) {
    types16_.Create();
  }
  ~MpiCommunicator() override {
    queue_.Drain();
    types16_.Free();
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string name() const override { return "mpi"; }

  absl::Status AllReduce(void* data, size_t count, DataType type, ReduceOp op) override {
    queue_.Drain();
    return Reduce(data, count, type, op);
  }

  absl::Status Reduce(void* data, size_t count, DataType type, ReduceOp op) {
    char* bytes = static_cast<char*>(data);
    for (size_t done = 0; done < count; done += kCountMax) {
      const size_t part = std::min(kCountMax, count - done);
      const int code =
          MPI_Allreduce(MPI_IN_PLACE, bytes + done * SizeOf(type), static_cast<int>(part),
                        MpiType(type), MpiOp(type, op), MPI_COMM_WORLD);
      if (code != MPI_SUCCESS) return MpiStatus(code, "all-reduce");
    }
    Finish(data, count, type, op, size_);
    return absl::OkStatus();
  }

  // MPI moves data only inside its calls, so a thread of its own stays in one.
  absl::StatusOr<std::unique_ptr<Pending>> StartAllReduce(void* data, size_t count, DataType type,
                                                          ReduceOp op) override {
    return queue_.Start([=, this] { return Reduce(data, count, type, op); });
  }

  absl::Status ReduceScatter(const void* send, void* receive, size_t count, DataType type,
                             ReduceOp op) override {
    queue_.Drain();
    if (count > kCountMax) return TooLarge(count);
    const int code = MPI_Reduce_scatter_block(send, receive, static_cast<int>(count), MpiType(type),
                                              MpiOp(type, op), MPI_COMM_WORLD);
    if (code != MPI_SUCCESS) return MpiStatus(code, "reduce-scatter");
    Finish(receive, count, type, op, size_);
    return absl::OkStatus();
  }

  absl::Status AllGather(const void* send, void* receive, size_t count, DataType type) override {
    queue_.Drain();
    if (count > kCountMax) return TooLarge(count);
    const char* const own =
        static_cast<const char*>(receive) + static_cast<size_t>(rank_) * count * SizeOf(type);
    if (send == own) send = MPI_IN_PLACE;
    return MpiStatus(MPI_Allgather(send, static_cast<int>(count), MpiType(type), receive,
                                   static_cast<int>(count), MpiType(type), MPI_COMM_WORLD),
                     "all-gather");
  }

  absl::Status Broadcast(void* data, size_t count, DataType type, int root) override {
    if (absl::Status status = CheckRoot(root, size_); !status.ok()) return status;
    queue_.Drain();
    char* bytes = static_cast<char*>(data);
    for (size_t done = 0; done < count; done += kCountMax) {
      const int code = MPI_Bcast(bytes + done * SizeOf(type),
                                 static_cast<int>(std::min(kCountMax, count - done)), MpiType(type),
                                 root, MPI_COMM_WORLD);
      if (code != MPI_SUCCESS) return MpiStatus(code, "broadcast");
    }
    return absl::OkStatus();
  }

  absl::Status Barrier() override {
    queue_.Drain();
    return MpiStatus(MPI_Barrier(MPI_COMM_WORLD), "barrier");
  }

  absl::StatusOr<void*> Allocate(size_t bytes) override { return memory_.Allocate(bytes); }

 private:
  static absl::Status TooLarge(size_t count) {
    return absl::InvalidArgumentError(
        absl::StrCat("a block of ", count, " elements; MPI takes at most ", kCountMax));
  }

  MPI_Datatype MpiType(DataType type) const {
    switch (type) {
      case DataType::kFloat32:
        return MPI_FLOAT;
      case DataType::kFloat64:
        return MPI_DOUBLE;
      case DataType::kFloat16:
      case DataType::kBFloat16:
        return types16_.type;
      case DataType::kInt32:
        return MPI_INT32_T;
      case DataType::kInt64:
        return MPI_INT64_T;
    }
    return MPI_DATATYPE_NULL;
  }

  MPI_Op MpiOp(DataType type, ReduceOp op) const {
    const int which = op == ReduceOp::kMin ? 1 : op == ReduceOp::kMax ? 2 : 0;
    if (type == DataType::kFloat16) return types16_.half[which];
    if (type == DataType::kBFloat16) return types16_.brain[which];
    const MPI_Op plain[] = {MPI_SUM, MPI_MIN, MPI_MAX};
    return plain[which];
  }

  const std::unique_ptr<MpiSession> session_;
  const int rank_;
  const int size_;
  Types16 types16_;
  AlignedMemory memory_;
  AsyncQueue queue_;  // last: its thread uses all of the above
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> CreateMpiCommunicator(const RankContext& context) {
  auto session = MpiSession::Begin(context, /*waits_inside=*/true);
  if (!session.ok()) return session.status();
  return std::make_unique<MpiCommunicator>(*std::move(session), context.rank, context.world_size);
}

}  // namespace trainyard::training
