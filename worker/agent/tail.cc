// See tail.h.
#include "worker/agent/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "google/protobuf/util/time_util.h"
#include "worker/core/launch_spec.h"

namespace trainyard::worker {
namespace {

constexpr int64_t kChunkBytes = 64 << 10;
constexpr size_t kNamesMax = 1000;
constexpr size_t kNameBytesMax = 256;
constexpr char kMatched[] = "matched";  // up to where standard output gave its points

// Bytes from `offset`, at most `bytes_max`.
std::string ReadAt(int file, int64_t offset, int64_t bytes_max) {
  std::string bytes(static_cast<size_t>(std::max<int64_t>(0, bytes_max)), '\0');
  ssize_t n = 0;
  do {
    n = pread(file, bytes.data(), bytes.size(), offset);
  } while (n < 0 && errno == EINTR);
  bytes.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return bytes;
}

// Where a line begins at or soon after `offset`; `offset` itself when none does.
int64_t LineAfter(int file, int64_t offset) {
  const size_t end = ReadAt(file, offset, kChunkBytes).find('\n');
  return end == std::string::npos ? offset : offset + static_cast<int64_t>(end) + 1;
}

nlohmann::json NumberOrText(double value) {
  if (std::isfinite(value)) return value;
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

}  // namespace

bool ParseMetricLine(const std::string& line, v1::MetricPoint* point) {
  const nlohmann::json value = nlohmann::json::parse(line, nullptr, false);
  if (!value.is_object() || !value.contains("name") || !value.contains("value")) return false;
  const auto& number = value["value"];
  if (!value["name"].is_string() || !(number.is_number() || number.is_string())) return false;
  const std::string name = value["name"].get<std::string>();
  if (name.empty() || name.size() > kNameBytesMax) return false;  // no store takes it
  point->set_name(name);
  point->set_value(number.is_number() ? number.get<double>()
                                      : std::strtod(number.get<std::string>().c_str(), nullptr));
  const auto integer = [&value](const char* key) {
    const auto found = value.find(key);
    return found != value.end() && found->is_number() ? found->get<int64_t>() : int64_t{0};
  };
  point->set_step(integer("step"));
  point->set_rank(static_cast<int32_t>(integer("rank")));
  *point->mutable_time() =
      google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(integer("time_us"));
  return true;
}

Tail::Tail(std::string folder, const agent::v1::Assignment& assignment, const TailLimits& limits)
    : folder_(std::move(folder)), key_(assignment.key()), limits_(limits) {
  header_.set_job_id(assignment.job_id());
  header_.set_project(assignment.project());
  header_.set_trial(assignment.trial());
  header_.set_job_uid(assignment.job_uid());
  for (const agent::v1::RankSlot& slot : assignment.ranks()) {
    for (const bool is_stderr : {false, true}) {
      Stream stream;
      stream.rank = slot.rank();
      stream.is_stderr = is_stderr;
      stream.path = folder_ + "/" + layout::RankLog(slot.rank(), is_stderr);
      streams_.push_back(std::move(stream));
    }
  }
  const std::string& pattern = assignment.metrics().regex();
  if (!pattern.empty()) {
    const std::string name = assignment.study_metrics().empty() ? "" : assignment.study_metrics(0);
    auto regex = MetricRegex::Make(pattern, name);
    if (regex.ok()) regex_ = *std::move(regex);
    const absl::StatusOr<std::string> matched = ReadFile(folder_ + "/" + kMatched);
    if (matched.ok()) matched_ = std::strtoll(matched->c_str(), nullptr, 10);
  }
}

bool Tail::Read(int64_t bytes_max, Partial partial, int64_t now_us,
                agent::v1::TelemetryBatch* batch) {
  *batch = header_;
  has_more_ = false;
  has_partial_ = false;
  for (Stream& stream : streams_) ReadStream(&stream, bytes_max, partial, now_us, batch);
  if (regex_ != nullptr && partial == Partial::kEnds && !has_more_) {
    MatchMetrics(/*all=*/true, now_us);
  }
  ReadMetrics(bytes_max, batch);
  return batch->logs_size() > 0 || batch->metrics_size() > 0;
}

bool Tail::Open(Stream* stream) {
  if (stream->file.valid()) return true;
  stream->file = FileDescriptor(open(stream->path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!stream->file.valid()) return false;
  // What an earlier agent freed reads as zeros: the log goes on behind it.
  const off_t data = lseek(stream->file.get(), 0, SEEK_DATA);
  if (data > 0) stream->offset = stream->freed = data;
  return true;
}

void Tail::Trim() {
  for (Stream& stream : streams_) Trim(&stream);
}

void Tail::Trim(Stream* stream) {
  struct stat info {};
  if (!Open(stream) || fstat(stream->file.get(), &info) != 0) return;
  if (info.st_size - stream->offset > limits_.spool_max) {
    stream->offset = LineAfter(stream->file.get(), info.st_size - limits_.spool_kept);
  }
  const int64_t end = (stream->offset - limits_.behind) & ~int64_t{4095};
  if (end - stream->freed < limits_.step) return;
  // The folder may be the user's: what is put in the file's place must not suffer.
  const FileDescriptor file(open(stream->path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat there {};
  if (!file.valid() || fstat(file.get(), &there) != 0 || there.st_ino != info.st_ino ||
      there.st_dev != info.st_dev || there.st_nlink != 1) {
    return;
  }
  fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end);
  stream->freed = end;
}

void Tail::ReadStream(Stream* stream, int64_t bytes_max, Partial partial, int64_t now_us,
                      agent::v1::TelemetryBatch* batch) {
  Trim(stream);
  if (!Open(stream)) return;
  for (int64_t total = 0; total < bytes_max;) {
    std::string bytes = ReadAt(stream->file.get(), stream->offset, kChunkBytes);
    if (bytes.empty()) return;
    const bool full = static_cast<int64_t>(bytes.size()) == kChunkBytes;
    const size_t end = bytes.find_last_of("\n\r");
    if (end != std::string::npos) {
      bytes.resize(end + 1);
    } else if (!full && partial == Partial::kWaits) {
      has_partial_ = true;
      return;
    }
    agent::v1::LogChunk* const chunk = batch->add_logs();
    *chunk->mutable_key() = key_;
    chunk->set_rank(stream->rank);
    chunk->set_is_stderr(stream->is_stderr);
    chunk->set_offset(stream->offset);
    chunk->set_time_us(now_us);
    const bool first = stream == &streams_[0];
    if (regex_ != nullptr && first) TakeForMetrics(bytes, stream->offset, now_us);
    stream->offset += static_cast<int64_t>(bytes.size());
    total += static_cast<int64_t>(bytes.size());
    chunk->set_data(std::move(bytes));
  }
  has_more_ = true;
}

// A value may come in pieces: a line is matched when its end is there.
void Tail::TakeForMetrics(const std::string& bytes, int64_t offset, int64_t now_us) {
  if (unmatched_offset_ + static_cast<int64_t>(unmatched_.size()) != offset) {
    unmatched_.clear();  // what lay between was dropped
    unmatched_offset_ = offset;
  }
  unmatched_ += bytes;
  MatchMetrics(/*all=*/false, now_us);
}

// Matches join the points of the program's own reports in metrics.jsonl, so that one file has the
// one order of all points. A restarted agent reads the log again from its start: what was matched
// before only counts steps.
void Tail::MatchMetrics(bool all, int64_t now_us) {
  std::string lines;
  const bool endless = static_cast<int64_t>(unmatched_.size()) >= kChunkBytes;
  size_t start = 0;
  while (start < unmatched_.size()) {
    size_t end = unmatched_.find_first_of("\n\r", start);
    if (end == std::string::npos && !all && !endless) break;
    end = std::min(end, unmatched_.size());
    const bool is_new = unmatched_offset_ + static_cast<int64_t>(start) >= matched_;
    for (const MetricRegex::Match& match : regex_->Matches(unmatched_.substr(start, end - start))) {
      if (!is_new) continue;
      const nlohmann::json line = {{"name", match.name},
                                   {"step", match.step},
                                   {"value", NumberOrText(match.value)},
                                   {"rank", streams_[0].rank},
                                   {"time_us", now_us}};
      lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
    start = std::min(end + 1, unmatched_.size());
  }
  unmatched_.erase(0, start);
  unmatched_offset_ += static_cast<int64_t>(start);
  const std::string path = folder_ + "/" + layout::kMetrics;
  if (!lines.empty()) {
    FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    // A full disk loses points of this source only; the log itself is there.
    if (file.valid()) WriteAll(file.get(), lines).IgnoreError();
  }
  if (unmatched_offset_ <= matched_) return;
  matched_ = unmatched_offset_;
  WriteFileAtomically(folder_ + "/" + kMatched, std::to_string(matched_), 0600).IgnoreError();
}

void Tail::ReadMetrics(int64_t bytes_max, agent::v1::TelemetryBatch* batch) {
  if (!metrics_.valid()) {
    const std::string path = folder_ + "/" + layout::kMetrics;
    metrics_ = FileDescriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!metrics_.valid()) return;
  }
  const std::string bytes = ReadAt(metrics_.get(), metrics_offset_, bytes_max);
  has_more_ = has_more_ || static_cast<int64_t>(bytes.size()) == bytes_max;
  agent::v1::MetricBatch* metrics = nullptr;
  size_t start = 0;
  for (size_t end; (end = bytes.find('\n', start)) != std::string::npos; start = end + 1) {
    v1::MetricPoint point;
    if (!ParseMetricLine(bytes.substr(start, end - start), &point)) continue;
    if (metrics == nullptr) {
      metrics = batch->add_metrics();
      *metrics->mutable_key() = key_;
      metrics->set_offset(points_);
    }
    if (names_.size() < kNamesMax) names_[point.name()] = true;
    last_step_ = std::max(last_step_, point.step());
    point.set_trial(header_.trial());
    *metrics->add_points() = std::move(point);
    ++points_;
  }
  metrics_offset_ += static_cast<int64_t>(start);
}

void Tail::End(agent::v1::TelemetryBatch* batch) {
  if (batch->job_uid() == 0 && batch->logs_size() == 0 && batch->metrics_size() == 0) {
    *batch = header_;
  }
  for (const Stream& stream : streams_) {
    if (stream.offset == 0) continue;
    agent::v1::LogChunk* const chunk = batch->add_logs();
    *chunk->mutable_key() = key_;
    chunk->set_rank(stream.rank);
    chunk->set_is_stderr(stream.is_stderr);
    chunk->set_offset(stream.offset);
    chunk->set_end(true);
  }
}

std::vector<std::string> Tail::metric_names() const {
  std::vector<std::string> names;
  for (const auto& [name, unused] : names_) names.push_back(name);
  return names;
}

}  // namespace trainyard::worker
