// One rank of a gang that checks every collective, type and operator of a communicator against a
// float64 reference that each rank computes alone: every rank can make every rank's data.
//   mpirun -np N collectives_check NAME      NAME: the communicator expected
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/worker/training/reference.h"
#include "worker/training/communicator.h"
#include "worker/training/rank_context.h"

namespace trainyard::training {
namespace {

constexpr DataType kTypes[] = {DataType::kFloat32,  DataType::kFloat64, DataType::kFloat16,
                               DataType::kBFloat16, DataType::kInt32,   DataType::kInt64};
constexpr ReduceOp kOps[] = {ReduceOp::kSum, ReduceOp::kMean, ReduceOp::kMin, ReduceOp::kMax};

int g_failures = 0;

#define EXPECT_THAT_IT(condition, ...)                                      \
  do {                                                                      \
    if (!(condition) && ++g_failures < 20) {                                \
      absl::FPrintF(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
      absl::FPrintF(stderr, __VA_ARGS__);                                   \
      std::fputc('\n', stderr);                                             \
    }                                                                       \
  } while (false)

class Checker {
 public:
  explicit Checker(Communicator* communicator) : c_(*communicator) {}

  void CheckReductions(size_t count, DataType type, ReduceOp op) {
    const auto all = Everyone(count, type);
    const auto check = [&](const void* data, const char* what) {
      for (size_t i = 0; i < count; ++i) {
        const Expected expected = Reduced(all, i, type, op);
        const double got = Get(data, i, type);
        EXPECT_THAT_IT(std::abs(got - expected.value) <= expected.error,
                       "%s %s %s count %d at %d: %g, expected %g", what, NameOf(type), NameOf(op),
                       count, i, got, expected.value);
        if (g_failures > 0) return;
      }
    };
    std::vector<char> mine = all[Rank()];
    Must(c_.AllReduce(mine.data(), count, type, op));
    check(mine.data(), "private");
    Digest(mine.data(), count * SizeOf(type));
    CheckSame(mine, count * SizeOf(type));
    void* arena = Arena(count * SizeOf(type));
    std::memcpy(arena, all[Rank()].data(), count * SizeOf(type));
    Must(c_.AllReduce(arena, count, type, op));
    check(arena, "arena");
    EXPECT_THAT_IT(std::memcmp(arena, mine.data(), count * SizeOf(type)) == 0,
                   "arena and private differ: %s %s count %d", NameOf(type), NameOf(op), count);
  }

  void CheckPending(size_t count, DataType type) {
    const auto first = Everyone(count, type), second = Everyone(count / 2, type);
    std::vector<char> a = first[Rank()], b = second[Rank()];
    auto pending_a = c_.StartAllReduce(a.data(), count, type, ReduceOp::kSum);
    auto pending_b = c_.StartAllReduce(b.data(), count / 2, type, ReduceOp::kMax);
    Must(pending_a.status());
    Must(pending_b.status());
    Must((*pending_a)->Wait());
    Must((*pending_b)->Wait());
    for (size_t i = 0; i < count; ++i) {
      const Expected expected = Reduced(first, i, type, ReduceOp::kSum);
      EXPECT_THAT_IT(std::abs(Get(a.data(), i, type) - expected.value) <= expected.error,
                     "pending %s at %d", NameOf(type), i);
    }
    for (size_t i = 0; i < count / 2; ++i) {
      const Expected expected = Reduced(second, i, type, ReduceOp::kMax);
      EXPECT_THAT_IT(Get(b.data(), i, type) == expected.value, "pending max at %d", i);
    }
  }

  void CheckReduceScatter(size_t count, DataType type, ReduceOp op) {
    const size_t size = static_cast<size_t>(c_.size());
    const auto all = Everyone(count * size, type);
    std::vector<char> received(count * SizeOf(type) + 8);
    Must(c_.ReduceScatter(all[Rank()].data(), received.data(), count, type, op));
    for (size_t i = 0; i < count; ++i) {
      const Expected expected = Reduced(all, Rank() * count + i, type, op);
      EXPECT_THAT_IT(std::abs(Get(received.data(), i, type) - expected.value) <= expected.error,
                     "reduce-scatter %s %s at %d", NameOf(type), NameOf(op), i);
    }
  }

  void CheckMoves(size_t count, DataType type) {
    const size_t bytes = count * SizeOf(type);
    const auto all = Everyone(count, type);
    std::vector<char> received(bytes * static_cast<size_t>(c_.size()) + 8);
    Must(c_.AllGather(all[Rank()].data(), received.data(), count, type));
    for (size_t rank = 0; rank < all.size(); ++rank) {
      EXPECT_THAT_IT(std::memcmp(received.data() + rank * bytes, all[rank].data(), bytes) == 0,
                     "all-gather %s count %d: block %d", NameOf(type), count, rank);
    }
    for (const int root : {-1, c_.size()}) {
      std::vector<char> mine = all[Rank()];
      EXPECT_THAT_IT(!c_.Broadcast(mine.data(), count, type, root).ok(), "there is no rank %d",
                     root);
    }
    for (int root = 0; root < c_.size(); ++root) {
      std::vector<char> mine = all[Rank()];
      Must(c_.Broadcast(mine.data(), count, type, root));
      EXPECT_THAT_IT(std::memcmp(mine.data(), all[static_cast<size_t>(root)].data(), bytes) == 0,
                     "broadcast %s count %d from %d", NameOf(type), count, root);
    }
  }

  // Of all results so far: runs that must give the same bits print the same.
  uint64_t digest() const { return digest_; }

  static void Must(const absl::Status& status) {
    if (status.ok()) return;
    absl::FPrintF(stderr, "%s\n", status.ToString());
    std::exit(1);
  }

 private:
  void Digest(const char* bytes, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      digest_ = (digest_ ^ static_cast<uint8_t>(bytes[i])) * 0x100000001b3U;
    }
  }
  size_t Rank() const { return static_cast<size_t>(c_.rank()); }

  std::vector<std::vector<char>> Everyone(size_t count, DataType type) {
    ++seed_;
    std::vector<std::vector<char>> all;
    for (int rank = 0; rank < c_.size(); ++rank) all.push_back(Data(seed_, rank, count, type));
    return all;
  }

  // Grows by doubling, so that few blocks are ever asked for.
  void* Arena(size_t bytes) {
    if (bytes > arena_bytes_ || arena_ == nullptr) {
      arena_bytes_ = std::max(bytes, 2 * arena_bytes_);
      auto memory = c_.Allocate(arena_bytes_);
      Must(memory.status());
      arena_ = *memory;
    }
    return arena_;
  }

  // All ranks hold the same bits: rank 0's are compared everywhere.
  void CheckSame(const std::vector<char>& mine, size_t bytes) {
    std::vector<char> theirs = mine;
    Must(c_.Broadcast(theirs.data(), bytes / 2, DataType::kFloat16, 0));
    EXPECT_THAT_IT(theirs == mine, "ranks 0 and %d differ", c_.rank());
  }

  Communicator& c_;
  uint64_t digest_ = 0xcbf29ce484222325U;
  uint64_t seed_ = 100;
  void* arena_ = nullptr;
  size_t arena_bytes_ = 0;
};

int Main(const std::string& expected_name) {
  auto context = RankContextFromEnvironment();
  Checker::Must(context.status());
  auto communicator = CreateCommunicator(*context);
  Checker::Must(communicator.status());
  EXPECT_THAT_IT((*communicator)->name() == expected_name, "got %s", (*communicator)->name());
  Checker checker(communicator->get());
  for (const DataType type : kTypes) {
    for (const size_t count : {0, 3, 1000, 4099}) {
      for (const ReduceOp op : kOps) {
        if (op != ReduceOp::kSum && count != 1000) continue;
        checker.CheckReductions(count, type, op);
        checker.CheckReduceScatter(count, type, op);
      }
      checker.CheckMoves(count, type);
      checker.CheckPending(count, type);
    }
    checker.CheckReductions(100003, type, ReduceOp::kSum);
    // Twice: private memory takes both of its paths while it finds out which is faster.
    for (int time = 0; time < 2; ++time) {
      checker.CheckReductions(20011, type, ReduceOp::kMean);
      checker.CheckReduceScatter(20011, type, ReduceOp::kMax);
      checker.CheckMoves(20011, type);
    }
    if (context->rank == 0) absl::FPrintF(stderr, "%s done\n", NameOf(type));
  }
  checker.CheckReductions(1000033, DataType::kFloat32, ReduceOp::kMean);
  // Many chunks between two nodes, and a ragged end.
  if (context->world_size == 2)
    checker.CheckReductions(5000011, DataType::kFloat32, ReduceOp::kSum);
  for (int i = 0; i < 20; ++i) Checker::Must((*communicator)->Barrier());
  communicator->reset();
  if (g_failures > 0) return 1;
  if (context->rank == 0) {
    absl::PrintF("ok %s %d %x\n", expected_name, context->world_size, checker.digest());
  }
  return 0;
}

}  // namespace
}  // namespace trainyard::training

int main(int count, char** arguments) {
  return count == 2 ? trainyard::training::Main(arguments[1]) : 2;
}
