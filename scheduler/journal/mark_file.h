// A small file beside the journal that says how far the journal reached: incarnation and sequence.
// Written after every commit without a sync of its own: after a power cut it may be older, never
// newer, than the journal. So a journal that ends before its mark has lost acknowledged events (a
// damaged or deleted log, an old copy put in its place), which the journal alone could not know.
// Thread-compatible.
#ifndef TRAINYARD_SCHEDULER_JOURNAL_MARK_FILE_H_
#define TRAINYARD_SCHEDULER_JOURNAL_MARK_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace trainyard::journal {

struct Mark {
  bool exists = false;  // false also for an unreadable one
  uint64_t incarnation = 0;
  uint64_t sequence = 0;
  // The mark came from elsewhere, so that the journal beside it may be an old backup: the file
  // names its own inode and birth, which no copy shares.
  bool is_copy = false;
};
Mark ReadMark(const std::string& path);

class MarkFile {
 public:
  static absl::StatusOr<std::unique_ptr<MarkFile>> Open(const std::string& path);
  // One write of a few bytes; errors do not matter, the mark is only a lower bound.
  void Write(uint64_t incarnation, uint64_t sequence);

 private:
  FileDescriptor fd_;
  uint64_t file_ = 0;
};

}  // namespace trainyard::journal

#endif  // TRAINYARD_SCHEDULER_JOURNAL_MARK_FILE_H_
