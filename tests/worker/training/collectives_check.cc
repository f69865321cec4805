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
#include "common/random.h"
#include "worker/training/communicator.h"
#include "worker/training/rank_context.h"
#include "worker/training/reduce.h"

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

bool IsFloat(DataType type) { return type != DataType::kInt32 && type != DataType::kInt64; }

// Relative size of one rounding.
double Epsilon(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return 0x1p-24;
    case DataType::kFloat64:
      return 0x1p-53;
    case DataType::kFloat16:
      return 0x1p-11;
    case DataType::kBFloat16:
      return 0x1p-8;
    case DataType::kInt32:
    case DataType::kInt64:
      return 0;
  }
  return 0;
}

double Get(const void* data, size_t i, DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return static_cast<double>(static_cast<const float*>(data)[i]);
    case DataType::kFloat64:
      return static_cast<const double*>(data)[i];
    case DataType::kFloat16:
      return static_cast<double>(FloatOfHalf(static_cast<const uint16_t*>(data)[i]));
    case DataType::kBFloat16:
      return static_cast<double>(FloatOfBrain(static_cast<const uint16_t*>(data)[i]));
    case DataType::kInt32:
      return static_cast<const int32_t*>(data)[i];
    case DataType::kInt64:
      return static_cast<double>(static_cast<const int64_t*>(data)[i]);
  }
  return 0;
}

void Set(void* data, size_t i, DataType type, double value) {
  switch (type) {
    case DataType::kFloat32:
      static_cast<float*>(data)[i] = static_cast<float>(value);
      return;
    case DataType::kFloat64:
      static_cast<double*>(data)[i] = value;
      return;
    case DataType::kFloat16:
      static_cast<uint16_t*>(data)[i] = HalfOfFloat(static_cast<float>(value));
      return;
    case DataType::kBFloat16:
      static_cast<uint16_t*>(data)[i] = BrainOfFloat(static_cast<float>(value));
      return;
    case DataType::kInt32:
      static_cast<int32_t*>(data)[i] = static_cast<int32_t>(value);
      return;
    case DataType::kInt64:
      static_cast<int64_t*>(data)[i] = static_cast<int64_t>(value);
      return;
  }
}

// The data of `rank` in test number `seed`.
std::vector<char> Data(uint64_t seed, int rank, size_t count, DataType type) {
  Random random(MixSeed(seed, static_cast<uint64_t>(rank)));
  std::vector<char> bytes(count * SizeOf(type) + 8);
  for (size_t i = 0; i < count; ++i) {
    const double uniform = random.Uniform() * 4 - 2;
    const double value = IsFloat(type) ? uniform : std::floor(uniform * 1000);
    Set(bytes.data(), i, type, value);
  }
  return bytes;
}

struct Expected {
  double value = 0;
  double error = 0;  // how far a rounded result may be
};

Expected Reduced(const std::vector<std::vector<char>>& all, size_t i, DataType type, ReduceOp op) {
  double value = Get(all[0].data(), i, type), size = std::abs(value);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    const double other = Get(all[rank].data(), i, type);
    size += std::abs(other);
    if (op == ReduceOp::kMin) value = std::min(value, other);
    if (op == ReduceOp::kMax) value = std::max(value, other);
    if (op == ReduceOp::kSum || op == ReduceOp::kMean) value += other;
  }
  if (op == ReduceOp::kMin || op == ReduceOp::kMax) return {value, 0};
  const double ranks = static_cast<double>(all.size());
  double error = size * Epsilon(type) * (ranks + 1);
  if (op == ReduceOp::kMean) {
    value = IsFloat(type) ? value / ranks : std::trunc(value / ranks);
    error /= ranks;
  }
  if (type == DataType::kFloat16) error += 0x1p-24;  // below, halves are subnormal
  return {value, error};
}

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
    CheckSame(mine, count * SizeOf(type));
    void* arena = Arena(count * SizeOf(type));
    std::memcpy(arena, all[Rank()].data(), count * SizeOf(type));
    Must(c_.AllReduce(arena, count, type, op));
    check(arena, "arena");
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
    for (int root = 0; root < c_.size(); ++root) {
      std::vector<char> mine = all[Rank()];
      Must(c_.Broadcast(mine.data(), count, type, root));
      EXPECT_THAT_IT(std::memcmp(mine.data(), all[static_cast<size_t>(root)].data(), bytes) == 0,
                     "broadcast %s count %d from %d", NameOf(type), count, root);
    }
  }

  static void Must(const absl::Status& status) {
    if (status.ok()) return;
    absl::FPrintF(stderr, "%s\n", status.ToString());
    std::exit(1);
  }

 private:
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
  for (int i = 0; i < 20; ++i) Checker::Must((*communicator)->Barrier());
  communicator->reset();
  if (g_failures > 0) return 1;
  if (context->rank == 0) absl::PrintF("ok %s %d\n", expected_name, context->world_size);
  return 0;
}

}  // namespace
}  // namespace trainyard::training

int main(int count, char** arguments) {
  return count == 2 ? trainyard::training::Main(arguments[1]) : 2;
}
