// An append-only row of records in numbered files of bounded size below one folder.
//  - Every segment begins with a snapshot of its owner's state: opening reads the last segment
//  only.
//  - A record is in the file whole or not at all: length, CRC-32 and bytes; what a crash tore off
//  at
//    the end is cut away at opening. Damage further in is kept, and reported by the reader.
//  - Beyond the limit the oldest segments are removed. Positions are never reused.
//  - No descriptor is kept between calls, so any number may be open.
// Survives a crash of the process, not a power cut: nothing is synced. Thread-compatible; a
// SegmentReader works on an Extent taken earlier and needs no lock.
#ifndef TRAINYARD_SCHEDULER_STORE_SEGMENTED_FILE_H_
#define TRAINYARD_SCHEDULER_STORE_SEGMENTED_FILE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/file.h"

namespace trainyard::store {

struct SegmentPosition {
  uint32_t segment = 0;  // 0: before the first
  int64_t offset = 0;
  bool operator==(const SegmentPosition&) const = default;
  auto operator<=>(const SegmentPosition&) const = default;
};

// What there is to read: records from the start of segment `first` up to `end`.
struct SegmentExtent {
  std::string folder;
  uint32_t first = 1;
  SegmentPosition end;  // segment 0: nothing at all
  SegmentPosition Begin() const;
};

class SegmentedFile {
 public:
  struct Options {
    int64_t segment_bytes = 16 << 20;
    int segments_max = 256;
  };
  SegmentedFile(std::string folder, Options options)
      : folder_(std::move(folder)), options_(options) {}

  // Finds what is there and calls `on_record` for each record of the last segment, in order.
  absl::Status Open(const std::function<void(absl::string_view)>& on_record);
  // Appends `records` in one write, in a new segment begun by `snapshot()` when the last is full.
  // On an error nothing was appended. RESOURCE_EXHAUSTED (DISK_FULL) when the disk is full.
  absl::Status Append(const std::vector<std::string>& records,
                      const std::function<std::vector<std::string>()>& snapshot);
  SegmentExtent Extent() const { return {folder_, first_, end_}; }

 private:
  absl::Status BeginSegment(const std::vector<std::string>& snapshot);
  void DropOldest();

  const std::string folder_;
  const Options options_;
  uint32_t first_ = 1;
  SegmentPosition end_;
  bool sealed_ = false;  // the last segment is damaged: append to a new one
};

// Walks the records of an extent, both ways. One thread at a time.
class SegmentReader {
 public:
  explicit SegmentReader(SegmentExtent extent) : extent_(std::move(extent)) {}

  enum class Result {
    kRecord,   // a record was read
    kEnd,      // the extent ends (or begins) here
    kDamaged,  // bytes that are no record; the walk went on to the next segment
    kGone,     // the segment was removed meanwhile; the walk went on to the first one left
  };
  // Reads the record at `*at` and moves `*at` behind it.
  absl::StatusOr<Result> Next(SegmentPosition* at, std::string* record);
  // Reads the record that ends at `*at` and moves `*at` to its start.
  absl::StatusOr<Result> Previous(SegmentPosition* at, std::string* record);

 private:
  absl::Status OpenSegment(uint32_t segment);
  // `size` bytes at `offset` of the open segment as a view into the window, shorter at its end.
  absl::StatusOr<absl::string_view> View(int64_t offset, size_t size, bool backward);
  int64_t EndOf(uint32_t segment) const;
  Result Skip(SegmentPosition* at, Result why) const;

  const SegmentExtent extent_;
  uint32_t open_ = 0;
  FileDescriptor file_;
  int64_t file_bytes_ = 0;
  std::string window_;
  int64_t window_at_ = 0;
};

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_SEGMENTED_FILE_H_
