// See segmented_file.h. A record: u32 length, u32 CRC-32 of the bytes, the bytes, u32 length again
// (for the walk backward); integers little-endian.
#include "scheduler/store/segmented_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/fault_point.h"

namespace trainyard::store {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr absl::string_view kMagic = "TYSEG1\n\n";
constexpr auto kHeadBytes = static_cast<int64_t>(kMagic.size());
constexpr uint32_t kFrameBytes = 12;
constexpr uint32_t kRecordBytesMax = 64 << 20;
constexpr size_t kWindowBytes = 256 << 10;

std::string PathOf(const std::string& folder, uint32_t segment) {
  return absl::StrCat(folder, "/", absl::Dec(segment, absl::kZeroPad8), ".seg");
}

uint32_t LoadU32(absl::string_view bytes) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

void AppendU32(uint32_t value, std::string* out) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  out->append(raw, sizeof raw);
}

uint32_t Crc(absl::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

std::string Framed(const std::vector<std::string>& records) {
  std::string out;
  for (const std::string& record : records) {
    AppendU32(static_cast<uint32_t>(record.size()), &out);
    AppendU32(Crc(record), &out);
    out += record;
    AppendU32(static_cast<uint32_t>(record.size()), &out);
  }
  return out;
}

absl::Status DiskError(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) return status;
  return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL", "the store's disk is full",
                   "free space on the scheduler's disk");
}

// Numbers of the segments in `folder`, rising; what a crash left half made is removed.
absl::StatusOr<std::vector<uint32_t>> SegmentsOf(const std::string& folder) {
  std::vector<uint32_t> segments;
  auto names = ListFolder(folder);
  if (absl::IsNotFound(names.status())) return segments;
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    absl::string_view stem = name;
    uint32_t number = 0;
    if (absl::ConsumeSuffix(&stem, ".seg") && absl::SimpleAtoi(stem, &number) && number > 0) {
      segments.push_back(number);
    } else if (absl::EndsWith(name, ".new")) {
      unlink(JoinPath(folder, name).c_str());
    }
  }
  std::sort(segments.begin(), segments.end());
  return segments;
}

// Does the record at `offset` reach over the end of the file?
absl::StatusOr<bool> IsTorn(const std::string& path, int64_t offset, int64_t file_bytes) {
  if (offset < kHeadBytes || file_bytes < kHeadBytes) return false;
  if (offset + kFrameBytes > file_bytes) return true;
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, "cannot open", path);
  char head[4];
  if (pread(file.get(), head, sizeof head, offset) != sizeof head) return true;
  const uint32_t length = LoadU32(absl::string_view(head, sizeof head));
  return length > 0 && length <= kRecordBytesMax && offset + kFrameBytes + length > file_bytes;
}

}  // namespace

SegmentPosition SegmentExtent::Begin() const {
  return end.segment == 0 ? SegmentPosition() : SegmentPosition{first, kHeadBytes};
}

absl::Status SegmentedFile::Open(const std::function<void(absl::string_view)>& on_record) {
  auto segments = SegmentsOf(folder_);
  if (!segments.ok()) return segments.status();
  if (segments->empty()) return absl::OkStatus();
  first_ = segments->front();
  const uint32_t last = segments->back();
  const std::string path = PathOf(folder_, last);
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return ErrnoError(errno, "cannot look at", path);
  if (info.st_size < kHeadBytes) {
    sealed_ = true;
    end_ = {last, info.st_size};
    return absl::OkStatus();
  }
  SegmentReader reader({folder_, last, {last, info.st_size}});
  SegmentPosition at{last, kHeadBytes};
  std::string record;
  for (;;) {
    const SegmentPosition before = at;
    auto result = reader.Next(&at, &record);
    if (!result.ok()) return result.status();
    if (*result == SegmentReader::Result::kRecord) {
      on_record(record);
      continue;
    }
    end_ = before;
    if (*result == SegmentReader::Result::kEnd) return absl::OkStatus();
    // A write that a crash interrupted ends before its record does; anything else is damage, which
    // stays for the reader to report.
    auto torn = IsTorn(path, before.offset, info.st_size);
    if (!torn.ok()) return torn.status();
    if (*torn && truncate(path.c_str(), before.offset) == 0) return absl::OkStatus();
    sealed_ = true;
    end_.offset = info.st_size;
    return absl::OkStatus();
  }
}

absl::Status SegmentedFile::BeginSegment(const std::vector<std::string>& snapshot) {
  if (auto status = MakeFolders(folder_, 0700); !status.ok()) return DiskError(status);
  const uint32_t next = std::max(end_.segment + 1, first_);
  const std::string path = PathOf(folder_, next);
  const std::string bytes = absl::StrCat(kMagic, Framed(snapshot));
  const std::string temporary = absl::StrCat(path, ".new");
  FileDescriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) return DiskError(ErrnoError(errno, "cannot create", temporary));
  absl::Status status = WriteAll(file.get(), bytes);
  TRAINYARD_FAULT_POINT("store.segment.before_rename");
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoError(errno, "cannot rename to", path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return DiskError(status);
  }
  end_ = {next, static_cast<int64_t>(bytes.size())};
  sealed_ = false;
  DropOldest();
  return absl::OkStatus();
}

void SegmentedFile::DropOldest() {
  while (end_.segment - first_ + 1 > static_cast<uint32_t>(options_.segments_max)) {
    unlink(PathOf(folder_, first_).c_str());
    ++first_;
  }
}

absl::Status SegmentedFile::Append(const std::vector<std::string>& records,
                                   const std::function<std::vector<std::string>()>& snapshot) {
  for (const std::string& record : records) {
    if (record.empty() || record.size() > kRecordBytesMax) {
      return absl::InvalidArgumentError("a record is empty or too long");
    }
  }
  if (end_.segment == 0 || sealed_ || end_.offset >= options_.segment_bytes) {
    if (auto status = BeginSegment(snapshot()); !status.ok()) return status;
  }
  const std::string path = PathOf(folder_, end_.segment);
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return DiskError(ErrnoError(errno, "cannot open", path));
  if (lseek(file.get(), end_.offset, SEEK_SET) < 0) return ErrnoError(errno, "cannot seek", path);
  const std::string bytes = Framed(records);
  TRAINYARD_FAULT_POINT("store.segment.before_write");
  if (auto status = WriteAll(file.get(), bytes); !status.ok()) {
    // Half a record must not stay: the next one would be written over it, but may be shorter.
    if (ftruncate(file.get(), end_.offset) != 0) sealed_ = true;
    return DiskError(status);
  }
  end_.offset += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

absl::Status SegmentReader::OpenSegment(uint32_t segment) {
  if (open_ == segment && file_.valid()) return absl::OkStatus();
  open_ = segment;
  window_.clear();
  const std::string path = PathOf(extent_.folder, segment);
  file_ = FileDescriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file_.valid()) return ErrnoError(errno, "cannot open", path);
  struct stat info {};
  if (fstat(file_.get(), &info) != 0) return ErrnoError(errno, "cannot look at", path);
  char magic[kHeadBytes];
  const bool ours = pread(file_.get(), magic, sizeof magic, 0) == kHeadBytes &&
                    absl::string_view(magic, sizeof magic) == kMagic;
  file_bytes_ = ours ? static_cast<int64_t>(info.st_size) : 0;
  return absl::OkStatus();
}

int64_t SegmentReader::EndOf(uint32_t segment) const {
  return segment == extent_.end.segment ? std::min(extent_.end.offset, file_bytes_) : file_bytes_;
}

absl::StatusOr<absl::string_view> SegmentReader::View(int64_t offset, size_t size, bool backward) {
  const auto fits = [&] {
    return offset >= window_at_ &&
           offset + static_cast<int64_t>(size) <= window_at_ + static_cast<int64_t>(window_.size());
  };
  if (!fits()) {
    const size_t want = std::max(size, kWindowBytes);
    const auto extra = static_cast<int64_t>(want - size);
    window_at_ = backward ? std::max<int64_t>(0, offset - extra) : offset;
    window_.resize(backward ? static_cast<size_t>(offset - window_at_) + size : want);
    size_t filled = 0;
    while (filled < window_.size()) {
      const ssize_t n = pread(file_.get(), window_.data() + filled, window_.size() - filled,
                              window_at_ + static_cast<int64_t>(filled));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "cannot read", PathOf(extent_.folder, open_));
      if (n == 0) break;
      filled += static_cast<size_t>(n);
    }
    window_.resize(filled);
  }
  if (offset - window_at_ >= static_cast<int64_t>(window_.size())) return absl::string_view();
  return absl::string_view(window_).substr(static_cast<size_t>(offset - window_at_), size);
}

SegmentReader::Result SegmentReader::Skip(SegmentPosition* at, Result why) const {
  if (at->segment >= extent_.end.segment) {
    *at = extent_.end;
  } else {
    *at = {std::max(at->segment + 1, extent_.first), kHeadBytes};
  }
  return why;
}

absl::StatusOr<SegmentReader::Result> SegmentReader::Next(SegmentPosition* at,
                                                          std::string* record) {
  if (at->segment == 0) *at = extent_.Begin();
  if (*at >= extent_.end) return Result::kEnd;
  if (auto status = OpenSegment(at->segment); !status.ok()) {
    if (absl::IsNotFound(status)) return Skip(at, Result::kGone);
    return status;
  }
  const int64_t end = EndOf(at->segment);
  if (at->offset == end && at->segment < extent_.end.segment) {
    *at = {at->segment + 1, kHeadBytes};
    return Next(at, record);
  }
  if (at->offset < kHeadBytes || at->offset + kFrameBytes > end) return Skip(at, Result::kDamaged);
  auto head = View(at->offset, 8, false);
  if (!head.ok()) return head.status();
  if (head->size() < 8) return Skip(at, Result::kDamaged);
  const uint32_t length = LoadU32(*head);
  const uint32_t crc = LoadU32(head->substr(4));
  if (length == 0 || length > kRecordBytesMax || at->offset + kFrameBytes + length > end) {
    return Skip(at, Result::kDamaged);
  }
  auto body = View(at->offset + 8, length + 4, false);
  if (!body.ok()) return body.status();
  if (body->size() < length + 4 || Crc(body->substr(0, length)) != crc ||
      LoadU32(body->substr(length)) != length) {
    return Skip(at, Result::kDamaged);
  }
  record->assign(body->data(), length);
  at->offset += kFrameBytes + length;
  return Result::kRecord;
}

absl::StatusOr<SegmentReader::Result> SegmentReader::Previous(SegmentPosition* at,
                                                              std::string* record) {
  while (at->segment >= extent_.first && at->segment > 0) {
    auto status = OpenSegment(at->segment);
    if (absl::IsNotFound(status)) return Result::kEnd;
    if (!status.ok()) return status;
    if (at->offset < 0) at->offset = EndOf(at->segment);  // came from the segment after
    if (at->offset <= kHeadBytes) {
      *at = {at->segment - 1, -1};
      continue;
    }
    auto tail = View(at->offset - 4, 4, true);
    if (!tail.ok()) return tail.status();
    const uint32_t length = tail->size() == 4 ? LoadU32(*tail) : 0;
    const int64_t start = at->offset - kFrameBytes - static_cast<int64_t>(length);
    if (length == 0 || length > kRecordBytesMax || start < kHeadBytes) {
      *at = {at->segment - 1, -1};
      return Result::kDamaged;
    }
    auto whole = View(start, length + kFrameBytes, true);
    if (!whole.ok()) return whole.status();
    if (whole->size() < length + kFrameBytes || LoadU32(*whole) != length ||
        LoadU32(whole->substr(4)) != Crc(whole->substr(8, length))) {
      *at = {at->segment - 1, -1};
      return Result::kDamaged;
    }
    record->assign(whole->data() + 8, length);
    at->offset = start;
    return Result::kRecord;
  }
  return Result::kEnd;
}

}  // namespace trainyard::store
