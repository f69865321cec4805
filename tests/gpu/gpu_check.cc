// One rank on a GPU: checks the plug-in against float64 on the host, measures it, or reduces until
// something ends it. Ranks are started by run.sh, by RANK, WORLD_SIZE and their like.
//   gpu_check check SEED | bench | endless
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "tests/worker/training/reference.h"
#include "worker/training/device_communicator.h"

namespace trainyard::training {
namespace {

constexpr DataType kTypes[] = {DataType::kFloat32,  DataType::kFloat64, DataType::kFloat16,
                               DataType::kBFloat16, DataType::kInt32,   DataType::kInt64};
constexpr ReduceOp kOps[] = {ReduceOp::kSum, ReduceOp::kMean, ReduceOp::kMin, ReduceOp::kMax};
constexpr size_t kBytesMax = 256 << 20;

void Must(const absl::Status& status) {
  if (status.ok()) return;
  absl::FPrintF(stderr, "error: %s\n", status.message());
  std::_Exit(1);
}

void Expect(bool right, const std::string& what) {
  if (right) return;
  absl::FPrintF(stderr, "wrong: %s\n", what);
  std::_Exit(1);
}

class Check {
 public:
  Check(DeviceCommunicator* gang, uint64_t seed) : c_(*gang), seed_(seed) {
    const size_t bytes = 8 * 300000 * static_cast<size_t>(c_.size());
    for (void** memory : {&a_, &b_}) {
      auto made = c_.Allocate(bytes);
      Must(made.status());
      *memory = *made;
    }
  }

  void Reduce(size_t count, DataType type, ReduceOp op) {
    const auto all = Everyone(count, type);
    ToDevice(all[Rank()], a_);
    Must(c_.AllReduce(a_, count, type, op));
    Compare(all, 0, Back(a_, count, type), count, type, op, "all-reduce");
    ToDevice(all[Rank()], a_);
    auto pending = c_.StartAllReduce(a_, count, type, op);
    Must(pending.status());
    Must((*pending)->Wait());
    Compare(all, 0, Back(a_, count, type), count, type, op, "started all-reduce");
  }

  void Scatter(size_t count, DataType type, ReduceOp op) {
    const auto all = Everyone(count * static_cast<size_t>(c_.size()), type);
    ToDevice(all[Rank()], a_);
    Must(c_.ReduceScatter(a_, b_, count, type, op));
    Compare(all, Rank() * count, Back(b_, count, type), count, type, op, "reduce-scatter");
  }

  void Move(size_t count, DataType type) {
    const auto all = Everyone(count, type);
    const size_t bytes = count * SizeOf(type);
    ToDevice(all[Rank()], a_);
    Must(c_.AllGather(a_, b_, count, type));
    const std::vector<char> got = Back(b_, count * static_cast<size_t>(c_.size()), type);
    for (size_t rank = 0; rank < all.size(); ++rank) {
      Expect(std::equal(all[rank].begin(), all[rank].begin() + static_cast<ptrdiff_t>(bytes),
                        got.begin() + static_cast<ptrdiff_t>(rank * bytes)),
             "all-gather");
    }
    for (int root = 0; root < c_.size(); ++root) {
      ToDevice(all[Rank()], a_);
      Must(c_.Broadcast(a_, count, type, root));
      const std::vector<char>& theirs = all[static_cast<size_t>(root)];
      const std::vector<char> mine = Back(a_, count, type);
      Expect(std::equal(mine.begin(), mine.end(), theirs.begin()), "broadcast");
    }
  }

 private:
  size_t Rank() const { return static_cast<size_t>(c_.rank()); }
  std::vector<std::vector<char>> Everyone(size_t count, DataType type) {
    ++seed_;
    std::vector<std::vector<char>> all;
    for (int rank = 0; rank < c_.size(); ++rank) all.push_back(Data(seed_, rank, count, type));
    return all;
  }
  void ToDevice(const std::vector<char>& data, void* to) {
    Must(c_.Copy(to, data.data(), data.size()));
  }
  std::vector<char> Back(const void* from, size_t count, DataType type) {
    std::vector<char> bytes(count * SizeOf(type));
    Must(c_.Copy(bytes.data(), from, bytes.size()));
    return bytes;
  }
  void Compare(const std::vector<std::vector<char>>& all, size_t offset,
               const std::vector<char>& got, size_t count, DataType type, ReduceOp op,
               const char* what) {
    for (size_t i = 0; i < count; ++i) {
      const Expected expected = Reduced(all, offset + i, type, op);
      const double value = Get(got.data(), i, type);
      Expect(std::abs(value - expected.value) <= expected.error,
             absl::StrFormat("%s %s %s count %d at %d: %g, expected %g", what, NameOf(type),
                             NameOf(op), count, i, value, expected.value));
    }
  }

  DeviceCommunicator& c_;
  uint64_t seed_;
  void* a_ = nullptr;
  void* b_ = nullptr;
};

void CheckAll(DeviceCommunicator* gang, uint64_t seed) {
  Check check(gang, seed);
  for (const DataType type : kTypes) {
    for (const size_t count : {1, 3, 1000, 4099, 262147}) {
      for (const ReduceOp op : kOps) {
        check.Reduce(count, type, op);
        check.Scatter(count, type, op);
      }
      check.Move(count, type);
    }
  }
  if (gang->rank() == 0) absl::PrintF("right with %d ranks, seed %d\n", gang->size(), seed);
}

double SecondsOf(int calls, const std::function<absl::Status()>& call) {
  for (int i = 0; i < 3; ++i) Must(call());
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) Must(call());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return took.count() / calls;
}

// Bus bandwidth: what each GPU sends, 2 (n - 1) / n of the data, so that it compares with links.
void Bench(DeviceCommunicator* gang) {
  auto from = gang->Allocate(kBytesMax), to = gang->Allocate(kBytesMax);
  Must(from.status());
  Must(to.status());
  const double copy = SecondsOf(20, [&] { return gang->Copy(*to, *from, kBytesMax); });
  if (gang->rank() == 0) {
    absl::PrintF("copy on the card: %.1f GB/s read and as much written\n",
                 static_cast<double>(kBytesMax) / copy / 1e9);
  }
  const double ranks = gang->size();
  for (size_t bytes = 4; bytes <= kBytesMax; bytes *= 8) {
    const double took = SecondsOf(bytes < (1 << 20) ? 200 : 20, [&] {
      return gang->AllReduce(*from, bytes / sizeof(float), DataType::kFloat32, ReduceOp::kSum);
    });
    if (gang->rank() != 0) continue;
    absl::PrintF("all-reduce %10d bytes: %9.1f us, bus %7.2f GB/s\n", bytes, 1e6 * took,
                 2 * (ranks - 1) / ranks * static_cast<double>(bytes) / took / 1e9);
  }
}

int Main(const std::vector<std::string>& arguments) {
  auto context = RankContextFromEnvironment();
  Must(context.status());
  auto nccl = LoadNccl();
  Must(nccl.status());
  auto host = CreateCommunicator(*context);
  Must(host.status());
  auto gang = DeviceCommunicator::Create(*context, host->get());
  Must(gang.status());
  if (context->rank == 0) {
    absl::PrintF("NCCL %d, %d GPUs here\n", (*nccl)->library_version(), (*nccl)->devices());
  }
  uint64_t seed = 0;
  if (arguments.size() == 3 && absl::SimpleAtoi(arguments[2], &seed)) CheckAll(gang->get(), seed);
  if (arguments[1] == "bench") Bench(gang->get());
  if (arguments[1] != "endless") return 0;
  auto memory = (*gang)->Allocate(1 << 20);
  Must(memory.status());
  absl::PrintF("ready\n");
  std::fflush(stdout);
  while (true) {
    Must((*gang)->AllReduce(*memory, (1 << 20) / 4, DataType::kFloat32, ReduceOp::kSum));
  }
}

}  // namespace
}  // namespace trainyard::training

int main(int count, char** arguments) {
  const std::vector<std::string> all(arguments, arguments + count);
  if (count >= 2) return trainyard::training::Main(all);
  std::fprintf(stderr, "usage: gpu_check check SEED | bench | endless\n");
  return 2;
}
