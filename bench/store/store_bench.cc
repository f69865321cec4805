// How fast the store is, beside the limit of the same machine in the same minute.
//
//   store_bench [--json] [--folder=DIR] [--mib=256] [--rounds=5]
//
// upload, download: one file over HTTP on loopback, durable, hashed on both sides. The limit is
// what any such store must do at least: read the file, SHA-256 it, write it, fsync it. small_files:
// 500 files of 2 KiB as one folder. log_latency: a line appended to the line in a follower's hands.
// metric_points: batches of 100. Each figure is a median with its range.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/blob/blob.h"
#include "common/file.h"
#include "common/mutex.h"
#include "common/random.h"
#include "common/sha256.h"
#include "scheduler/store/store.h"

namespace trainyard::store {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "store_bench: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}
template <class T>
T Must(absl::StatusOr<T> result) {
  Must(result.status());
  return *std::move(result);
}

struct Figure {
  std::string name, unit;
  std::vector<double> values;
};

class Bench {
 public:
  Bench(std::string folder, int64_t mib, int rounds)
      : folder_(std::move(folder)), bytes_(mib << 20), rounds_(rounds) {
    store_ = Must(OpenStore(folder_ + "/store"));
    HttpServer::Options options;
    options.authorize = [](absl::string_view) -> absl::StatusOr<HttpServer::Access> {
      return HttpServer::Access{.read = true, .write = true, .project = ""};
    };
    server_ = Must(StartHttpServer(store_.get(), options));
    client_ = blob::Client::Make(server_->address(), "bench");
  }

  std::vector<Figure> Run() {
    for (int round = 0; round < rounds_; ++round) {
      Transfer(round);
      SmallFiles(round);
      LogLatency(round);
      MetricPoints(round);
    }
    return figures_;
  }

 private:
  void Add(const std::string& name, const std::string& unit, double value) {
    for (Figure& figure : figures_) {
      if (figure.name == name) return figure.values.push_back(value);
    }
    figures_.push_back({name, unit, {value}});
  }

  static std::string Noise(size_t size, uint64_t seed) {
    Random random(seed);
    std::string bytes(size, '\0');
    for (size_t i = 0; i + 8 <= size; i += 8) {
      const uint64_t word = random.Next();
      std::copy_n(reinterpret_cast<const char*>(&word), 8, bytes.data() + i);
    }
    return bytes;
  }

  // Read, hash, write, fsync in pieces of one chunk: the least that a durable, checked copy costs.
  void CopyAndHash(const std::string& from, const std::string& to) {
    FileDescriptor in(open(from.c_str(), O_RDONLY | O_CLOEXEC));
    FileDescriptor out(open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    std::string buffer(blob::kChunkBytes, '\0');
    for (ssize_t n = 0; (n = read(in.get(), buffer.data(), buffer.size())) > 0;) {
      const absl::string_view piece(buffer.data(), static_cast<size_t>(n));
      Sha256Of(piece);
      Must(WriteAll(out.get(), piece));
    }
    if (fsync(out.get()) != 0) Must(ErrnoError(errno, "cannot sync", to));
  }

  void Transfer(int round) {
    const std::string file = folder_ + "/file";
    std::ofstream(file, std::ios::binary)
        << Noise(static_cast<size_t>(bytes_), static_cast<uint64_t>(round) + 1);
    const double mb = static_cast<double>(bytes_) / 1e6;
    auto start = Clock::now();
    CopyAndHash(file, folder_ + "/copy");
    Add("copy_and_sha256", "MB/s", mb / Seconds(start));
    start = Clock::now();
    const std::string digest = Must(client_->UploadFile(file));
    Add("upload", "MB/s", mb / Seconds(start));
    start = Clock::now();
    Must(client_->DownloadFile(digest, folder_ + "/back"));
    Add("download", "MB/s", mb / Seconds(start));
    start = Clock::now();
    Must(client_->UploadFile(file).status());
    Add("upload_again", "MB/s", mb / Seconds(start));
  }

  void SmallFiles(int round) {
    constexpr int kFiles = 500;
    const std::string in = folder_ + "/small", out = folder_ + "/small_back";
    Must(RemoveTree(in));
    Must(RemoveTree(out));
    Must(MakeFolders(in));
    for (int i = 0; i < kFiles; ++i) {
      std::ofstream(absl::StrCat(in, "/", i), std::ios::binary)
          << Noise(2048, static_cast<uint64_t>(round * kFiles + i) + 1000);
    }
    auto start = Clock::now();
    const auto stats = Must(client_->UploadFolder(in, {}));
    Add("small_files_upload", "files/s", kFiles / Seconds(start));
    start = Clock::now();
    Must(client_->DownloadFolder(stats.digest, out));
    Add("small_files_download", "files/s", kFiles / Seconds(start));
    start = Clock::now();
    Must(client_->UploadFolder(in, {}).status());
    Add("unchanged_folder", "ms", Seconds(start) * 1e3);
  }

  void LogLatency(int round) {
    constexpr int kLines = 200;
    const auto job = static_cast<uint64_t>(1000 + round);
    Mutex mutex;
    CondVar news;
    bool woken = false;
    const uint64_t subscription = store_->logs().Subscribe(job, [&] {
      MutexLock lock(&mutex);
      woken = true;
      news.NotifyAll();
    });
    std::vector<Clock::time_point> sent(kLines), seen(kLines);
    std::thread follower([&] {
      v1::TailLogsRequest all;
      all.set_all_ranks(true);
      std::string cursor;
      for (size_t count = 0; count < kLines;) {
        const auto page = Must(store_->logs().Read(job, all, cursor, 1000));
        cursor = page.next_cursor;
        for (size_t i = 0; i < page.lines.size(); ++i) seen[count++] = Clock::now();
        MutexLock lock(&mutex);
        while (!woken && count < kLines) news.Wait(&mutex);
        woken = false;
      }
    });
    agent::v1::LogChunk chunk;
    chunk.set_data("epoch 3 loss 0.1234 accuracy 0.9712\n");
    int64_t offset = 0;
    for (int i = 0; i < kLines; ++i) {
      chunk.set_offset(offset);
      sent[static_cast<size_t>(i)] = Clock::now();
      offset = Must(store_->logs().Append("default", "job", job, 0, chunk, "node"));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    follower.join();
    store_->logs().Unsubscribe(subscription);
    std::vector<double> ms;
    for (size_t i = 0; i < kLines; ++i) {
      ms.push_back(std::chrono::duration<double, std::milli>(seen[i] - sent[i]).count());
    }
    std::sort(ms.begin(), ms.end());
    Add("log_latency_p50", "ms", ms[ms.size() / 2]);
    Add("log_latency_p99", "ms", ms[ms.size() * 99 / 100]);
  }

  void MetricPoints(int round) {
    constexpr int kBatches = 500, kPoints = 100;
    agent::v1::MetricBatch batch;
    for (int i = 0; i < kPoints; ++i) {
      auto* point = batch.add_points();
      point->set_name("loss");
      point->set_step(i);
      point->set_value(i * 0.5);
    }
    const auto start = Clock::now();
    for (int i = 0; i < kBatches; ++i) {
      batch.set_offset(i * kPoints);
      Must(store_->metrics().Append(static_cast<uint64_t>(2000 + round), 1, batch).status());
    }
    Add("metric_points", "points/s", kBatches * kPoints / Seconds(start));
  }

  const std::string folder_;
  const int64_t bytes_;
  const int rounds_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<blob::Client> client_;
  std::vector<Figure> figures_;
};

void Print(std::vector<Figure> figures, bool as_json) {
  nlohmann::json out = nlohmann::json::object();
  for (Figure& figure : figures) {
    std::sort(figure.values.begin(), figure.values.end());
    const double median = figure.values[figure.values.size() / 2];
    if (as_json) {
      out[figure.name] = {{"unit", figure.unit},
                          {"median", median},
                          {"min", figure.values.front()},
                          {"max", figure.values.back()}};
    } else {
      std::printf("%-22s %12.2f %-9s (%.2f to %.2f)\n", figure.name.c_str(), median,
                  figure.unit.c_str(), figure.values.front(), figure.values.back());
    }
  }
  if (as_json) std::printf("%s\n", out.dump(2).c_str());
}

int Main(int argc, char** argv) {
  bool as_json = false;
  std::string folder;
  int64_t mib = 256;
  int rounds = 5;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (argument == "--json") {
      as_json = true;
    } else if (absl::ConsumePrefix(&argument, "--folder=")) {
      folder = std::string(argument);
    } else if (!(absl::ConsumePrefix(&argument, "--mib=") && absl::SimpleAtoi(argument, &mib) &&
                 mib > 0) &&
               !(absl::ConsumePrefix(&argument, "--rounds=") &&
                 absl::SimpleAtoi(argument, &rounds) && rounds > 0)) {
      std::fprintf(stderr, "usage: store_bench [--json] [--folder=DIR] [--mib=N] [--rounds=N]\n");
      return 2;
    }
  }
  std::string work = absl::StrCat(folder.empty() ? "/var/tmp" : folder, "/store_bench.XXXXXX");
  if (mkdtemp(work.data()) == nullptr) Must(ErrnoError(errno, "cannot make", work));
  Print(Bench(work, mib, rounds).Run(), as_json);
  Must(RemoveTree(work));
  return 0;
}

}  // namespace
}  // namespace trainyard::store

int main(int argc, char** argv) { return trainyard::store::Main(argc, argv); }
