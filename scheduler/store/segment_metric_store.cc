// See segment_metric_store.h. A record: the attempt's member, trial, the next offset afterwards,
// the names in it, its points. A record without points is part of a segment's snapshot.
#include "scheduler/store/segment_metric_store.h"

#include <algorithm>
#include <list>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/mutex.h"
#include "common/utf8.h"
#include "scheduler/store/codec.h"
#include "scheduler/store/job_table.h"
#include "scheduler/store/metric_series.h"

namespace trainyard::store {
namespace {

constexpr size_t kJobsMax = 4096;
constexpr size_t kKeysMax = 32768;     // members of one job; the oldest are forgotten beyond
constexpr size_t kSeriesMax = 200000;  // of one job; further ones are kept on disk alone
constexpr int kBatchPointsMax = 100000;
constexpr size_t kNameBytesMax = 512;
constexpr size_t kPointsDefault = 1000;     // of a curve
constexpr size_t kAnswerPointsMax = 50000;  // of one answer, shared by its curves

struct Key {
  uint64_t run_uid = 0;
  uint64_t epoch = 0;
  int32_t member = 0;
  auto operator<=>(const Key&) const = default;
};
struct SeriesKey {
  int32_t trial = 0;
  std::string name;
  int32_t rank = 0;
  auto operator<=>(const SeriesKey&) const = default;
};

int64_t TimeUs(const v1::MetricPoint& point) {
  return point.time().seconds() * 1000000 + point.time().nanos() / 1000;
}

// The points of `batch` from index `from` on.
std::string Encode(const Key& key, int32_t trial, int64_t next_offset,
                   const agent::v1::MetricBatch& batch, int from) {
  std::map<absl::string_view, uint64_t> numbers;
  std::vector<absl::string_view> names;
  for (int i = from; i < batch.points_size(); ++i) {
    if (numbers.emplace(batch.points(i).name(), names.size()).second) {
      names.push_back(batch.points(i).name());
    }
  }
  RecordWriter writer;
  writer.Unsigned(key.run_uid)
      .Unsigned(key.epoch)
      .Signed(key.member)
      .Signed(trial)
      .Signed(next_offset);
  writer.Unsigned(names.size());
  for (const absl::string_view name : names) writer.Text(name);
  writer.Unsigned(static_cast<uint64_t>(batch.points_size() - from));
  int64_t step = 0, time_us = 0;
  for (int i = from; i < batch.points_size(); ++i) {
    const v1::MetricPoint& point = batch.points(i);
    // Differences wrap around, so that no value overflows.
    const auto less = [](int64_t a, int64_t b) {
      return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
    };
    writer.Unsigned(numbers[point.name()])
        .Signed(less(point.step(), step))
        .Signed(less(TimeUs(point), time_us))
        .Signed(point.rank())
        .Double(point.value());
    step = point.step();
    time_us = TimeUs(point);
  }
  return writer.Take();
}

// Reads a record; calls `on_point(name, rank, SeriesPoint)` for each point when it is given.
template <class OnPoint>
bool Decode(absl::string_view bytes, Key* key, int32_t* trial, int64_t* next_offset,
            const OnPoint& on_point) {
  RecordReader reader(bytes);
  key->run_uid = reader.Unsigned();
  key->epoch = reader.Unsigned();
  key->member = static_cast<int32_t>(reader.Signed());
  *trial = static_cast<int32_t>(reader.Signed());
  *next_offset = reader.Signed();
  std::vector<absl::string_view> names;
  for (uint64_t left = reader.Unsigned(); left > 0 && reader.good(); --left) {
    names.push_back(reader.Text());
  }
  SeriesPoint point;
  for (uint64_t left = reader.Unsigned(); left > 0 && reader.good(); --left) {
    const uint64_t number = reader.Unsigned();
    const auto plus = [&reader](int64_t base) {
      return static_cast<int64_t>(static_cast<uint64_t>(base) +
                                  static_cast<uint64_t>(reader.Signed()));
    };
    point.step = plus(point.step);
    point.time_us = plus(point.time_us);
    const auto rank = static_cast<int32_t>(reader.Signed());
    point.value = reader.Double();
    if (number >= names.size() || !reader.good()) return false;
    on_point(names[number], rank, point);
  }
  return reader.good();
}

struct JobMetrics {
  JobMetrics(std::string folder, SegmentedFile::Options options)
      : file(std::move(folder), options) {}
  Mutex mutex;
  bool opened ABSL_GUARDED_BY(mutex) = false;
  SegmentedFile file ABSL_GUARDED_BY(mutex);
  struct Member {
    int32_t trial = 0;
    int64_t next_offset = 0;
  };
  std::map<Key, Member> members ABSL_GUARDED_BY(mutex);
  bool indexed ABSL_GUARDED_BY(mutex) = false;
  std::map<SeriesKey, MetricSeries> series ABSL_GUARDED_BY(mutex);

  absl::Status Open() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (opened) return absl::OkStatus();
    members.clear();
    const auto status = file.Open([this](absl::string_view bytes) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      Key key;
      Member member;
      if (Decode(bytes, &key, &member.trial, &member.next_offset, [](auto, int32_t, auto) {})) {
        members[key] = member;
      }
    });
    opened = status.ok();
    return status;
  }

  std::vector<std::string> Snapshot() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    while (members.size() > kKeysMax) members.erase(members.begin());
    std::vector<std::string> records;
    for (const auto& [key, member] : members) {
      records.push_back(Encode(key, member.trial, member.next_offset, {}, 0));
    }
    return records;
  }

  void Index(uint64_t epoch, int32_t trial, absl::string_view name, int32_t rank,
             const SeriesPoint& point) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    SeriesKey key{trial, std::string(name), rank};
    auto it = series.find(key);
    if (it == series.end()) {
      if (series.size() >= kSeriesMax) return;
      it = series.emplace(std::move(key), MetricSeries()).first;
    }
    it->second.Add(epoch, point);
  }

  absl::Status BuildIndex() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (indexed) return absl::OkStatus();
    series.clear();
    SegmentReader reader(file.Extent());
    SegmentPosition at;
    std::string bytes;
    for (;;) {
      auto result = reader.Next(&at, &bytes);
      if (!result.ok()) return result.status();
      if (*result == SegmentReader::Result::kEnd) break;
      if (*result != SegmentReader::Result::kRecord) continue;
      Key key;
      Member member;
      Decode(bytes, &key, &member.trial, &member.next_offset,
             [&](absl::string_view name, int32_t rank, const SeriesPoint& point)
                 ABSL_NO_THREAD_SAFETY_ANALYSIS {
                   Index(key.epoch, member.trial, name, rank, point);
                 });
    }
    indexed = true;
    return absl::OkStatus();
  }

  size_t PointsInMemory() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    size_t points = 0;
    for (const auto& [key, curve] : series) points += curve.size();
    return points;
  }
};

void FillPoints(const SeriesKey& key, const MetricSeries& series, size_t points_max,
                v1::ListMetricsResponse* response) {
  for (const SeriesPoint& from : series.Points(points_max)) {
    v1::MetricPoint* point = response->add_points();
    point->set_name(key.name);
    point->set_trial(key.trial);
    point->set_rank(key.rank);
    point->set_step(from.step);
    point->set_value(from.value);
    point->mutable_time()->set_seconds(from.time_us / 1000000);
    point->mutable_time()->set_nanos(static_cast<int32_t>(from.time_us % 1000000) * 1000);
  }
}

class SegmentMetricStore : public MetricStore {
 public:
  SegmentMetricStore(std::string folder, SegmentedFile::Options options, size_t points_max)
      : folder_(std::move(folder)),
        options_(options),
        points_in_memory_max_(points_max),
        jobs_(kJobsMax) {}

  absl::StatusOr<int64_t> Append(uint64_t job_uid, int32_t trial,
                                 const agent::v1::MetricBatch& batch) override {
    if (auto status = Check(batch); !status.ok()) return status;
    const auto job = Find(job_uid);
    MutexLock lock(&job->mutex);
    if (auto status = job->Open(); !status.ok()) return status;
    const Key key{batch.key().run_uid(), batch.key().epoch(), batch.key().member()};
    const auto known = job->members.find(key);
    const int64_t next = known == job->members.end() ? 0 : known->second.next_offset;
    const int64_t after = batch.offset() + batch.points_size();
    if (after <= next) return next;
    const int from = static_cast<int>(std::max<int64_t>(0, next - batch.offset()));
    const auto status =
        job->file.Append({Encode(key, trial, after, batch, from)},
                         [&job]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return job->Snapshot(); });
    if (!status.ok()) return status;
    job->members[key] = {trial, after};
    for (int i = from; job->indexed && i < batch.points_size(); ++i) {
      const v1::MetricPoint& point = batch.points(i);
      job->Index(key.epoch, trial, point.name(), point.rank(),
                 {point.step(), point.value(), TimeUs(point)});
    }
    return after;
  }

  absl::StatusOr<v1::ListMetricsResponse> List(uint64_t job_uid,
                                               const v1::ListMetricsRequest& request) override {
    const auto job = Find(job_uid);
    v1::ListMetricsResponse response;
    size_t in_memory = 0;
    {
      MutexLock lock(&job->mutex);
      if (auto status = job->Open(); !status.ok()) return status;
      if (auto status = job->BuildIndex(); !status.ok()) return status;
      const std::set<std::string> metrics(request.metrics().begin(), request.metrics().end());
      std::set<std::string> names;
      std::vector<const std::pair<const SeriesKey, MetricSeries>*> wanted;
      for (const auto& entry : job->series) {
        if (request.trial() != 0 && entry.first.trial != request.trial()) continue;
        names.insert(entry.first.name);
        if (metrics.empty() || metrics.contains(entry.first.name)) wanted.push_back(&entry);
      }
      for (const std::string& name : names) response.add_names(name);
      if (wanted.size() > kAnswerPointsMax / 2) wanted.resize(kAnswerPointsMax / 2);
      const size_t asked =
          request.points_max() > 0 ? static_cast<size_t>(request.points_max()) : kPointsDefault;
      const size_t share = kAnswerPointsMax / std::max<size_t>(1, wanted.size());
      for (const auto* entry : wanted) {
        FillPoints(entry->first, entry->second, std::min(asked, share), &response);
      }
      in_memory = job->PointsInMemory();
    }
    MakeRoom(job_uid, job, in_memory);
    return response;
  }

 private:
  static absl::Status Check(const agent::v1::MetricBatch& batch) {
    bool good = batch.offset() >= 0 && batch.points_size() <= kBatchPointsMax &&
                batch.offset() < INT64_MAX - kBatchPointsMax;
    for (const v1::MetricPoint& point : batch.points()) {
      good = good && !point.name().empty() && IsUtf8(point.name()) &&
             point.name().size() <= kNameBytesMax;
    }
    if (good) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     "a metric batch has a negative offset, more than 100000 points, or a name "
                     "that is empty or longer than 512 bytes",
                     "report fewer points at once, with shorter names");
  }

  std::shared_ptr<JobMetrics> Find(uint64_t job_uid) {
    return jobs_.Get(job_uid, [&] {
      return std::make_shared<JobMetrics>(JobFolder(folder_, job_uid), options_);
    });
  }

  // Notes that the job's curves were used last, and drops those unused longest beyond the limit.
  void MakeRoom(uint64_t job_uid, const std::shared_ptr<JobMetrics>& job, size_t points) {
    std::vector<std::shared_ptr<JobMetrics>> dropped;
    {
      MutexLock lock(&mutex_);
      const auto known = std::find_if(recent_.begin(), recent_.end(),
                                      [job_uid](const Recent& r) { return r.job_uid == job_uid; });
      if (known != recent_.end()) {
        points_in_memory_ -= known->points;
        recent_.erase(known);
      }
      recent_.push_front({job_uid, job, points});
      points_in_memory_ += points;
      while (points_in_memory_ > points_in_memory_max_ && recent_.size() > 1) {
        points_in_memory_ -= recent_.back().points;
        dropped.push_back(recent_.back().job);
        recent_.pop_back();
      }
    }
    for (const auto& other : dropped) {
      MutexLock lock(&other->mutex);
      other->indexed = false;
      other->series.clear();
    }
  }

  struct Recent {
    uint64_t job_uid;
    std::shared_ptr<JobMetrics> job;
    size_t points;
  };
  const std::string folder_;
  const SegmentedFile::Options options_;
  const size_t points_in_memory_max_;
  JobTable<JobMetrics> jobs_;
  Mutex mutex_;
  std::list<Recent> recent_ ABSL_GUARDED_BY(mutex_);
  size_t points_in_memory_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::unique_ptr<MetricStore> MakeSegmentMetricStore(std::string folder,
                                                    SegmentedFile::Options options,
                                                    size_t points_in_memory_max) {
  return std::make_unique<SegmentMetricStore>(std::move(folder), options, points_in_memory_max);
}

}  // namespace trainyard::store
