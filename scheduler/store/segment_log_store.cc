// See segment_log_store.h.
//
// A cursor is "segment-offset-lines-check" in hexadecimal: the record that begins there, how many
// of its lines were read, and a check that it is of this job. Records never move, so a cursor stays
// good until its segment is removed; reading goes on with the oldest line left then.
#include "scheduler/store/segment_log_store.h"

#include <zlib.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/mutex.h"
#include "scheduler/store/job_table.h"
#include "scheduler/store/log_record.h"
#include "scheduler/store/subscriptions.h"

namespace trainyard::store {
namespace {

constexpr size_t kJobsMax = 4096;
constexpr size_t kStreamsMax = 32768;  // of a job; ended ones are forgotten beyond
constexpr size_t kChunkBytesMax = 16 << 20;
constexpr int64_t kPageBytesMax = 1 << 20;   // of text
constexpr int64_t kScanBytesMax = 32 << 20;  // of records looked at for one page
constexpr int kPageLinesMax = 100000;

struct Cursor {
  SegmentPosition record;
  uint64_t lines = 0;
};

uint32_t CursorCheck(uint64_t job_uid, const Cursor& cursor) {
  const std::string text = absl::StrCat(job_uid, "/", cursor.record.segment, "/",
                                        cursor.record.offset, "/", cursor.lines);
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const unsigned char*>(text.data()), text.size()));
}

std::string FormatCursor(uint64_t job_uid, const Cursor& cursor) {
  return absl::StrCat(absl::Hex(cursor.record.segment), "-", absl::Hex(cursor.record.offset), "-",
                      absl::Hex(cursor.lines), "-", absl::Hex(CursorCheck(job_uid, cursor)));
}

bool ParseCursor(uint64_t job_uid, absl::string_view text, Cursor* cursor) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '-');
  uint64_t offset = 0;
  uint32_t check = 0;
  if (parts.size() != 4 || !absl::SimpleHexAtoi(parts[0], &cursor->record.segment) ||
      !absl::SimpleHexAtoi(parts[1], &offset) || offset > INT64_MAX ||
      !absl::SimpleHexAtoi(parts[2], &cursor->lines) || !absl::SimpleHexAtoi(parts[3], &check)) {
    return false;
  }
  cursor->record.offset = static_cast<int64_t>(offset);
  return check == CursorCheck(job_uid, *cursor);
}

absl::Status BadCursor() {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                   "the cursor is not one of this job's log", "begin without a cursor", "cursor");
}

bool Wanted(const LogRecord& record, const v1::TailLogsRequest& filter) {
  if (filter.trial() != 0 && record.trial != filter.trial()) return false;
  return filter.all_ranks() || filter.rank() < 0 || record.key.rank == filter.rank();
}

struct JobLog {
  JobLog(std::string folder, SegmentedFile::Options options) : file(std::move(folder), options) {}
  Mutex mutex;
  bool opened ABSL_GUARDED_BY(mutex) = false;
  SegmentedFile file ABSL_GUARDED_BY(mutex);
  struct Stream {
    LogStream state;
    int32_t trial = 0;
  };
  std::map<LogStreamKey, Stream> streams ABSL_GUARDED_BY(mutex);

  absl::Status Open() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (opened) return absl::OkStatus();
    streams.clear();
    const auto status = file.Open([this](absl::string_view bytes) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      LogRecord record;
      if (!DecodeLogRecord(bytes, &record)) return;
      Stream& stream = streams[record.key];
      stream.trial = record.trial;
      ApplyLogRecord(record, &stream.state);
    });
    opened = status.ok();
    return status;
  }

  std::vector<std::string> Snapshot() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::vector<std::string> records;
    for (const auto& [key, stream] : streams) {
      LogRecord record;
      record.key = key;
      record.trial = stream.trial;
      record.next_offset = stream.state.next_offset;
      record.skipping = stream.state.skipping;
      record.ended = stream.state.ended;
      record.replaces_pending = true;
      record.pending = stream.state.pending;
      records.push_back(EncodeLogRecord(record));
    }
    return records;
  }

  // Forgets ended streams of the oldest attempts: their chunks do not come again.
  void Prune() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (auto it = streams.begin(); it != streams.end() && streams.size() > kStreamsMax;) {
      it = it->second.state.ended ? streams.erase(it) : std::next(it);
    }
  }
};

// Fills one page from an extent.
class PageReader {
 public:
  PageReader(uint64_t job_uid, SegmentExtent extent, const v1::TailLogsRequest& filter,
             int lines_max)
      : job_uid_(job_uid),
        extent_(std::move(extent)),
        reader_(extent_),
        filter_(filter),
        lines_max_(std::clamp(lines_max, 1, kPageLinesMax)) {}

  absl::StatusOr<LogStore::Page> Read(Cursor cursor) {
    if (cursor.record.segment == 0) cursor.record = extent_.Begin();
    if (cursor.record > extent_.end) return BadCursor();
    for (;;) {
      const SegmentPosition at = cursor.record;
      SegmentPosition next = at;
      auto result = reader_.Next(&next, &bytes_);
      if (!result.ok()) return result.status();
      LogRecord record;
      switch (*result) {
        case SegmentReader::Result::kEnd:
          page_.at_end = true;
          return Finish(cursor);
        case SegmentReader::Result::kDamaged:
          Note("part of this log is unreadable", next);
          break;
        case SegmentReader::Result::kGone:
          Note("older lines were removed: the log is longer than is kept", next);
          break;
        case SegmentReader::Result::kRecord:
          scanned_ += static_cast<int64_t>(bytes_.size());
          if (DecodeLogRecord(bytes_, &record) && Wanted(record, filter_) &&
              !TakeLines(record, at, &cursor.lines)) {
            return Finish(cursor);
          }
          break;
      }
      cursor = {next, 0};
      if (Full()) return Finish(cursor);
    }
  }

  // Where the last `lines` wanted lines begin.
  absl::StatusOr<Cursor> FromEnd(int64_t lines) {
    Cursor found;
    SegmentPosition at = extent_.end;
    while (lines > 0) {
      auto result = reader_.Previous(&at, &bytes_);
      if (!result.ok()) return result.status();
      if (*result == SegmentReader::Result::kEnd) return Cursor();
      LogRecord record;
      if (*result != SegmentReader::Result::kRecord || !DecodeLogRecord(bytes_, &record) ||
          !Wanted(record, filter_)) {
        continue;
      }
      const auto here = std::count(record.lines.begin(), record.lines.end(), '\n');
      if (here == 0) continue;
      found = {at, static_cast<uint64_t>(std::max<int64_t>(0, here - lines))};
      lines -= here;
    }
    return found;
  }

 private:
  bool Full() const {
    return static_cast<int>(page_.lines.size()) >= lines_max_ || text_bytes_ >= kPageBytesMax ||
           scanned_ >= kScanBytesMax;
  }

  // Takes the record's lines after the first `*done`; false when the page is full before its end.
  bool TakeLines(const LogRecord& record, const SegmentPosition& at, uint64_t* done) {
    uint64_t number = 0;
    absl::string_view left = record.lines;
    while (!left.empty()) {
      const size_t length = std::min(left.find('\n'), left.size());
      if (number >= *done) {
        if (Full()) {
          *done = number;
          return false;
        }
        v1::LogLine& line = page_.lines.emplace_back();
        FillLine(record, left.substr(0, length), &line);
        line.set_cursor(FormatCursor(job_uid_, {at, number + 1}));
      }
      ++number;
      left.remove_prefix(std::min(length + 1, left.size()));
    }
    return true;
  }

  void FillLine(const LogRecord& record, absl::string_view text, v1::LogLine* line) {
    const int64_t time_us = std::max<int64_t>(0, record.time_us);
    line->mutable_time()->set_seconds(time_us / 1000000);
    line->mutable_time()->set_nanos(static_cast<int32_t>(time_us % 1000000) * 1000);
    line->set_trial(record.trial);
    line->set_epoch(record.key.epoch);
    line->set_rank(record.key.rank);
    line->set_is_stderr(record.key.is_stderr);
    line->set_text(text.data(), text.size());
    line->set_node(record.node.data(), record.node.size());
    text_bytes_ += static_cast<int64_t>(text.size()) + 64;
  }

  void Note(absl::string_view what, const SegmentPosition& next) {
    v1::LogLine& line = page_.lines.emplace_back();
    line.set_text(absl::StrCat("[trainyard: ", what, "]"));
    line.set_is_stderr(true);
    line.set_cursor(FormatCursor(job_uid_, {next, 0}));
  }

  LogStore::Page Finish(const Cursor& cursor) {
    page_.next_cursor = FormatCursor(job_uid_, cursor);
    return std::move(page_);
  }

  const uint64_t job_uid_;
  const SegmentExtent extent_;
  SegmentReader reader_;
  const v1::TailLogsRequest& filter_;
  const int lines_max_;
  std::string bytes_;
  LogStore::Page page_;
  int64_t text_bytes_ = 0;
  int64_t scanned_ = 0;
};

class SegmentLogStore : public LogStore {
 public:
  SegmentLogStore(std::string folder, SegmentedFile::Options options)
      : folder_(std::move(folder)), options_(options), jobs_(kJobsMax) {}

  absl::StatusOr<int64_t> Append(absl::string_view, absl::string_view, uint64_t job_uid,
                                 int32_t trial, const agent::v1::LogChunk& chunk,
                                 absl::string_view node) override {
    if (chunk.offset() < 0 || chunk.data().size() > kChunkBytesMax ||
        chunk.offset() > INT64_MAX - static_cast<int64_t>(kChunkBytesMax)) {
      return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                       "a log chunk has a negative offset or more than 16 MiB",
                       "send smaller chunks");
    }
    const auto job = Find(job_uid);
    int64_t next_offset = 0;
    bool news = false;
    {
      MutexLock lock(&job->mutex);
      if (auto status = job->Open(); !status.ok()) return status;
      auto result = Take(job.get(), trial, chunk, node, &news);
      if (!result.ok()) return result.status();
      next_offset = *result;
    }
    if (news) subscriptions_.Notify(job_uid);
    return next_offset;
  }

  absl::StatusOr<Page> Read(uint64_t job_uid, const v1::TailLogsRequest& filter,
                            absl::string_view cursor_text, int lines_max) override {
    Cursor cursor;
    if (!cursor_text.empty() && !ParseCursor(job_uid, cursor_text, &cursor)) return BadCursor();
    SegmentExtent extent;
    {
      const auto job = Find(job_uid);
      MutexLock lock(&job->mutex);
      if (auto status = job->Open(); !status.ok()) return status;
      extent = job->file.Extent();
    }
    if (cursor_text.empty() && filter.tail_lines() > 0) {
      auto found = PageReader(job_uid, extent, filter, lines_max).FromEnd(filter.tail_lines());
      if (!found.ok()) return found.status();
      cursor = *found;
    }
    return PageReader(job_uid, std::move(extent), filter, lines_max).Read(cursor);
  }

  uint64_t Subscribe(uint64_t job_uid, std::function<void()> on_data) override {
    return subscriptions_.Add(job_uid, std::move(on_data));
  }
  void Unsubscribe(uint64_t subscription) override { subscriptions_.Remove(subscription); }

 private:
  std::shared_ptr<JobLog> Find(uint64_t job_uid) {
    return jobs_.Get(
        job_uid, [&] { return std::make_shared<JobLog>(JobFolder(folder_, job_uid), options_); });
  }

  // Appends what of `chunk` is new; returns the stream's next offset.
  static absl::StatusOr<int64_t> Take(JobLog* job, int32_t trial, const agent::v1::LogChunk& chunk,
                                      absl::string_view node, bool* news)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(job->mutex) {
    LogRecord record;
    record.key = {chunk.key().run_uid(), chunk.key().epoch(), chunk.key().member(), chunk.rank(),
                  chunk.is_stderr()};
    JobLog::Stream& stream = job->streams[record.key];
    stream.trial = trial;
    const LogStream& before = stream.state;
    LogStream after = before;
    const std::string lines = TakeLines(chunk.offset(), chunk.data(), chunk.end(), &after);
    if (after.next_offset == before.next_offset && after.ended == before.ended) {
      return before.next_offset;
    }
    record.trial = trial;
    record.time_us = chunk.time_us();
    record.node = node;
    record.next_offset = after.next_offset;
    record.skipping = after.skipping;
    record.ended = after.ended;
    // Text that only grew is written as its growth.
    record.replaces_pending = !absl::StartsWith(after.pending, before.pending) || !lines.empty();
    record.pending = record.replaces_pending
                         ? absl::string_view(after.pending)
                         : absl::string_view(after.pending).substr(before.pending.size());
    record.lines = lines;
    const auto status =
        job->file.Append({EncodeLogRecord(record)}, [job]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
          job->Prune();
          return job->Snapshot();
        });
    if (!status.ok()) return status;
    *news = !lines.empty();
    const int64_t next_offset = after.next_offset;
    // Not through `stream`: pruning may have taken it away.
    job->streams[record.key] = {std::move(after), trial};
    return next_offset;
  }

  const std::string folder_;
  const SegmentedFile::Options options_;
  JobTable<JobLog> jobs_;
  Subscriptions subscriptions_;
};

}  // namespace

std::unique_ptr<LogStore> MakeSegmentLogStore(std::string folder, SegmentedFile::Options options) {
  return std::make_unique<SegmentLogStore>(std::move(folder), options);
}

}  // namespace trainyard::store
