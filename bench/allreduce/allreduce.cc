// All-reduce of float32 sums between ranks: ours in the arena and on private memory, beside
// MPI_Allreduce in place with malloc kept from giving memory back (its best setting found); and
// reduce-scatter and all-gather of private memory beside MPI's. Those that are compared take turns
// within each round, so that other load hits them alike.
//   mpirun -np 2 --bind-to core bench_allreduce [--json FILE] [--rounds N] [--bytes-max N]
// Prints medians in microseconds, spread as the quartiles' distance over the median, and ratios.
#include <malloc.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/file.h"
#include "worker/training/path_choice.h"
#include "worker/training/rank_context.h"

namespace trainyard::training {
namespace {

struct Arguments {
  std::string json;
  int rounds = 21;
  int64_t bytes_max = 256 << 20;
};

struct Times {
  double median = 0;
  double minimum = 0;
  double spread = 0;
};

Times Summary(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return {values[n / 2], values[0], (values[n * 3 / 4] - values[n / 4]) / values[n / 2]};
}

double Now() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Median microseconds of a call, each call as long as its slowest rank. Every rank rewrites its
// data before each call, untimed, as a backward pass does: nobody finds the peer's half in its
// cache.
double Measure(int calls, float* data, size_t count, const std::function<void()>& call) {
  std::vector<double> taken(static_cast<size_t>(calls));
  for (double& time : taken) {
    std::fill(data, data + count, 0.0F);
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = Now();
    call();
    time = Now() - start;
  }
  MPI_Allreduce(MPI_IN_PLACE, taken.data(), calls, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  std::nth_element(taken.begin(), taken.begin() + calls / 2, taken.end());
  return taken[static_cast<size_t>(calls) / 2];
}

void Must(const absl::Status& status) {
  if (status.ok()) return;
  absl::FPrintF(stderr, "error: %s\n", status.message());
  std::exit(1);
}

// Small whole numbers: every order of adding gives the same bits.
void Fill(float* values, size_t count, int rank) {
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(static_cast<int>(i % 7) - 3) * static_cast<float>(rank + 1);
  }
}

bool RightSum(const float* values, size_t count, int size) {
  const float ranks = static_cast<float>(size * (size + 1) / 2);
  for (size_t i = 0; i < count; ++i) {
    if (values[i] != static_cast<float>(static_cast<int>(i % 7) - 3) * ranks) return false;
  }
  return true;
}

struct Result {
  size_t bytes = 0;
  Times mpi, arena, plain;
  Times mpi_scatter, scatter, mpi_gather, gather;  // of so many bytes over all ranks
};

class Bench {
 public:
  Bench(Communicator* communicator, int64_t bytes_max)
      : c_(*communicator),
        plain_(static_cast<size_t>(bytes_max) / sizeof(float)),
        part_(plain_.size() / static_cast<size_t>(c_.size()) + 1) {
    auto memory = c_.Allocate(static_cast<size_t>(bytes_max));
    Must(memory.status());
    arena_ = static_cast<float*>(*memory);
  }

  Result Run(size_t bytes, int rounds) {
    const size_t count = bytes / sizeof(float);
    const auto mpi = [&] {
      MPI_Allreduce(MPI_IN_PLACE, plain_.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM,
                    MPI_COMM_WORLD);
    };
    const auto arena = [&] {
      Must(c_.AllReduce(arena_, count, DataType::kFloat32, ReduceOp::kSum));
    };
    const auto plain = [&] {
      Must(c_.AllReduce(plain_.data(), count, DataType::kFloat32, ReduceOp::kSum));
    };
    Check(plain_.data(), count, mpi, "MPI");
    Check(arena_, count, arena, "arena");
    // The communicator chooses its path for this size within these calls.
    for (int i = 0; i < 2 * PathChoice::kTries + 1; ++i) {
      Check(plain_.data(), count, plain, "private");
    }
    const int calls = static_cast<int>(std::clamp<size_t>((4 << 20) / (bytes + 2048), 1, 1000));
    std::vector<double> times[3];
    for (int round = 0; round < rounds; ++round) {
      times[0].push_back(Measure(calls, plain_.data(), count, mpi));
      times[1].push_back(Measure(calls, arena_, count, arena));
      times[2].push_back(Measure(calls, plain_.data(), count, plain));
    }
    Result result;
    result.bytes = bytes;
    result.mpi = Summary(times[0]);
    result.arena = Summary(times[1]);
    result.plain = Summary(times[2]);
    RunParts(count / static_cast<size_t>(c_.size()), calls, rounds, &result);
    return result;
  }

 private:
  // `count`: elements of each rank's part.
  void RunParts(size_t count, int calls, int rounds, Result* result) {
    const int number = static_cast<int>(count);
    float *const all = plain_.data(), *const part = part_.data();
    const size_t whole = count * static_cast<size_t>(c_.size());
    const std::vector<std::function<void()>> ways = {
        [=] { MPI_Reduce_scatter_block(all, part, number, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); },
        [=, this] { Must(c_.ReduceScatter(all, part, count, DataType::kFloat32, ReduceOp::kSum)); },
        [=] { MPI_Allgather(part, number, MPI_FLOAT, all, number, MPI_FLOAT, MPI_COMM_WORLD); },
        [=, this] { Must(c_.AllGather(part, all, count, DataType::kFloat32)); }};
    for (int i = 0; i < 2 * PathChoice::kTries + 1; ++i) {
      for (const auto& way : ways) way();
    }
    std::vector<std::vector<double>> times(ways.size());
    for (int round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < ways.size(); ++i) {
        times[i].push_back(Measure(calls, i < 2 ? all : part, i < 2 ? whole : count, ways[i]));
      }
    }
    result->mpi_scatter = Summary(times[0]);
    result->scatter = Summary(times[1]);
    result->mpi_gather = Summary(times[2]);
    result->gather = Summary(times[3]);
  }

  void Check(float* values, size_t count, const std::function<void()>& call, const char* what) {
    Fill(values, count, c_.rank());
    MPI_Barrier(MPI_COMM_WORLD);
    call();
    if (RightSum(values, count, c_.size())) return;
    absl::FPrintF(stderr, "error: wrong sum by %s of %d floats\n", what, count);
    std::exit(1);
  }

  Communicator& c_;
  std::vector<float> plain_;
  std::vector<float> part_;  // of one rank
  float* arena_ = nullptr;
};

void Print(const Result& r) {
  absl::PrintF("%10d %11.2f %11.2f %11.2f  %6.2fx %6.2fx  %6.2fx %6.2fx  %4.0f%% %4.0f%% %4.0f%%\n",
               r.bytes, r.mpi.median, r.arena.median, r.plain.median, r.mpi.median / r.arena.median,
               r.mpi.minimum / r.arena.minimum, r.mpi.median / r.plain.median,
               r.mpi.minimum / r.plain.minimum, 100 * r.mpi.spread, 100 * r.arena.spread,
               100 * r.plain.spread);
  std::fflush(stdout);
}

nlohmann::json JsonOf(const Result& r) {
  const auto times = [](const Times& t) {
    return nlohmann::json{{"median_us", t.median}, {"min_us", t.minimum}, {"spread", t.spread}};
  };
  return {{"bytes", r.bytes},
          {"mpi", times(r.mpi)},
          {"arena", times(r.arena)},
          {"private", times(r.plain)},
          {"mpi_reduce_scatter", times(r.mpi_scatter)},
          {"reduce_scatter", times(r.scatter)},
          {"mpi_all_gather", times(r.mpi_gather)},
          {"all_gather", times(r.gather)},
          {"arena_ratio", r.mpi.median / r.arena.median},
          {"private_ratio", r.mpi.median / r.plain.median}};
}

bool Parse(int count, char** values, Arguments* arguments) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = values[i], value = values[i + 1];
    bool good = true;
    if (name == "--json") {
      arguments->json = value;
    } else if (name == "--rounds") {
      good = absl::SimpleAtoi(value, &arguments->rounds) && arguments->rounds > 0;
    } else if (name == "--bytes-max") {
      good = absl::SimpleAtoi(value, &arguments->bytes_max) && arguments->bytes_max >= 4;
    } else {
      good = false;
    }
    if (!good) return false;
  }
  return count % 2 == 1;
}

int Main(int count, char** values) {
  Arguments arguments;
  if (!Parse(count, values, &arguments)) {
    absl::FPrintF(stderr, "usage: bench_allreduce [--json FILE] [--rounds N] [--bytes-max N]\n");
    return 2;
  }
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 1 << 28);
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  auto context = RankContextFromEnvironment();
  Must(context.status());
  if (context->world_size < 2) {
    absl::FPrintF(stderr, "error: run this with mpirun and 2 or more ranks\n");
    return 2;
  }
  // What a trainer gets here: TRAINYARD_PRETEND_NODES_OF makes it that between nodes.
  auto communicator = CreateCommunicator(*context);
  Must(communicator.status());
  const bool head = context->rank == 0;
  if (head) {
    absl::PrintF(
        "%d ranks (%s), float32 sum, medians of %d rounds in us; ratios of medians and minima\n",
        context->world_size, (*communicator)->name(), arguments.rounds);
    absl::PrintF("%10s %11s %11s %11s  %7s %7s  %7s %7s  %s\n", "bytes", "MPI", "arena", "private",
                 "arena", "(min)", "private", "(min)", "spreads");
  }
  nlohmann::json rows = nlohmann::json::array();
  {
    Bench bench(communicator->get(), arguments.bytes_max);
    for (int64_t bytes = 4; bytes <= arguments.bytes_max; bytes *= 4) {
      const int rounds = bytes >= 64 << 20 ? std::max(3, arguments.rounds / 3) : arguments.rounds;
      const Result result = bench.Run(static_cast<size_t>(bytes), rounds);
      if (!head) continue;
      Print(result);
      rows.push_back(JsonOf(result));
    }
  }
  communicator->reset();
  MPI_Finalize();
  if (!head || arguments.json.empty()) return 0;
  const nlohmann::json report = {{"ranks", context->world_size}, {"rows", rows}};
  Must(WriteFileAtomically(arguments.json, report.dump(1) + "\n"));
  return 0;
}

}  // namespace
}  // namespace trainyard::training

int main(int count, char** values) { return trainyard::training::Main(count, values); }
