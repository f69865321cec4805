// See nccl.h. Ranks are processes of one machine; they meet in shared memory named by the id and
// really reduce there, in the order of ranks. Waiting for a rank that has gone lasts until the
// communicator is aborted, as with NCCL. FAKE_NCCL=error: fails once a collective ran; never: no
// collective ends; refuse: rank 1 cannot join. FAKE_NCCL_LOG=FILE: a line for each call that NCCL
// is given.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "nccl.h"
#include "tests/worker/nccl/fake/fake_cuda.h"
#include "worker/training/reduce.h"

using trainyard::training::DataType;
using trainyard::training::ReduceOp;

// Of communicator.cc, which is not linked here: the program that loads this has its own.
size_t trainyard::training::SizeOf(DataType type) {
  if (type == DataType::kFloat16 || type == DataType::kBFloat16) return 2;
  return type == DataType::kFloat64 || type == DataType::kInt64 ? 8 : 4;
}

namespace {

constexpr size_t kRanksMax = 8;
constexpr size_t kPart = 1 << 20;  // bytes of a rank that are shown at once

struct Shared {
  std::atomic<int> joined, left;
  std::atomic<uint64_t> met[kRanksMax];  // meetings that the rank has come to
  char data[kRanksMax][kPart];
};

void Log(const char* call, size_t count, int rank) {
  const char* const path = std::getenv("FAKE_NCCL_LOG");
  if (path == nullptr) return;
  std::FILE* const file = std::fopen(path, "a");
  std::fprintf(file, "%s %zu rank %d\n", call, count, rank);
  std::fclose(file);
}

DataType TypeOf(ncclDataType_t type) {
  switch (type) {
    case ncclFloat64:
      return DataType::kFloat64;
    case ncclFloat16:
      return DataType::kFloat16;
    case ncclBfloat16:
      return DataType::kBFloat16;
    case ncclInt32:
      return DataType::kInt32;
    case ncclInt64:
      return DataType::kInt64;
    case ncclFloat32:
      break;
  }
  return DataType::kFloat32;
}

ReduceOp OpOf(ncclRedOp_t op) {
  if (op == ncclAvg) return ReduceOp::kMean;
  return op == ncclMin ? ReduceOp::kMin : op == ncclMax ? ReduceOp::kMax : ReduceOp::kSum;
}

}  // namespace

struct FakeComm {
  Shared* shared = nullptr;
  int rank = 0, size = 0;
  uint64_t meetings = 0;
  bool finalizing = false;
  std::atomic<bool> aborted = false, ran = false;

  // False once aborted.
  bool Meet() {
    shared->met[rank].store(++meetings);
    for (int other = 0; other < size; ++other) {
      while (shared->met[other].load() < meetings) {
        if (aborted) return false;
        usleep(20);
      }
    }
    return !FakeMode("never") || WaitForAbort();
  }
  bool WaitForAbort() const {
    while (!aborted) usleep(1000);
    return false;
  }
  // Shows `bytes` of every rank's `send` to all, a part at a time, to `take`(rank, offset, size).
  template <typename Take>
  void Exchange(const char* send, size_t bytes, const Take& take) {
    for (size_t at = 0; at < bytes; at += kPart) {
      const size_t part = std::min(kPart, bytes - at);
      std::memcpy(shared->data[rank], send + at, part);
      if (!Meet()) return;
      for (int from = 0; from < size; ++from) take(from, at, part);
      if (!Meet()) return;
    }
    ran = true;
  }
};

namespace {

// The reduction of `count` elements of every rank's `send`, given whole to the returned vector.
std::vector<char> Reduced(FakeComm* comm, const char* send, size_t count, DataType type,
                          ReduceOp op) {
  const size_t element = trainyard::training::SizeOf(type);
  std::vector<char> sums(count * element);
  comm->Exchange(send, sums.size(), [&](int from, size_t at, size_t part) {
    if (from == 0) {
      std::memcpy(sums.data() + at, comm->shared->data[0], part);
    } else {
      Accumulate(sums.data() + at, comm->shared->data[from], part / element, type, op);
    }
  });
  Finish(sums.data(), count, type, op, comm->size);
  return sums;
}

}  // namespace

const char* ncclGetErrorString(ncclResult_t) { return "the fake failed"; }
const char* ncclGetLastError(ncclComm_t) { return "as it was asked to"; }

ncclResult_t ncclGetVersion(int* version) {
  *version = 22809;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::memset(id, 0, sizeof(*id));
  std::snprintf(id->internal, sizeof(id->internal), "/fake-nccl-%d", getpid());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  const int file = shm_open(id.internal, O_RDWR | O_CREAT, 0600);
  if (FakeMode("refuse") && rank == 1) return ncclUnhandledCudaError;
  if (config->blocking != 0 || file < 0 || ftruncate(file, sizeof(Shared)) != 0) {
    return ncclUnhandledCudaError;
  }
  void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED || size > static_cast<int>(kRanksMax)) return ncclUnhandledCudaError;
  *comm = new FakeComm;
  (*comm)->shared = static_cast<Shared*>(memory);
  (*comm)->rank = rank;
  (*comm)->size = size;
  if (++(*comm)->shared->joined == size) shm_unlink(id.internal);
  Log("join", static_cast<size_t>(size), rank);
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  const int come = comm->finalizing ? comm->shared->left : comm->shared->joined;
  *state = come < comm->size ? ncclInProgress : ncclSuccess;
  if (FakeMode("error") && comm->ran) *state = ncclUnhandledCudaError;
  return ncclSuccess;
}

// Work that was given has ended or gives up now; the stream's destructor waits for that, so the
// communicator outlives it.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->aborted = true;
  std::fputs("aborted\n", stderr);
  return ncclSuccess;
}

// Its work is the last meeting: in progress until all ranks have come to it.
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  comm->finalizing = true;
  ++comm->shared->left;
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t) {
  std::fputs("closed\n", stderr);
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  Log("all-reduce", count, comm->rank);
  stream->Give([=] {
    const std::vector<char> sums =
        Reduced(comm, static_cast<const char*>(send), count, TypeOf(type), OpOf(op));
    if (!comm->aborted) std::memcpy(receive, sums.data(), sums.size());
  });
  return ncclInProgress;
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  Log("reduce-scatter", count, comm->rank);
  stream->Give([=] {
    const std::vector<char> sums =
        Reduced(comm, static_cast<const char*>(send), count * static_cast<size_t>(comm->size),
                TypeOf(type), OpOf(op));
    const size_t bytes = sums.size() / static_cast<size_t>(comm->size);
    std::memcpy(receive, sums.data() + static_cast<size_t>(comm->rank) * bytes, bytes);
  });
  return ncclInProgress;
}

ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  Log("all-gather", count, comm->rank);
  const size_t bytes = count * trainyard::training::SizeOf(TypeOf(type));
  stream->Give([=] {
    comm->Exchange(static_cast<const char*>(send), bytes, [&](int from, size_t at, size_t part) {
      std::memcpy(static_cast<char*>(receive) + static_cast<size_t>(from) * bytes + at,
                  comm->shared->data[from], part);
    });
  });
  return ncclInProgress;
}

ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  Log("broadcast", count, comm->rank);
  const size_t bytes = count * trainyard::training::SizeOf(TypeOf(type));
  stream->Give([=] {
    comm->Exchange(static_cast<const char*>(send), bytes, [&](int from, size_t at, size_t part) {
      if (from == root) {
        std::memcpy(static_cast<char*>(receive) + at, comm->shared->data[from], part);
      }
    });
  });
  return ncclInProgress;
}

ncclResult_t ncclMemAlloc(void**, size_t) { return ncclUnhandledCudaError; }
ncclResult_t ncclMemFree(void*) { return ncclSuccess; }
