// Cuts a rank's byte stream into lines, whatever its chunks. Pure.
//  - "\n" and "\r\n" end a line; a lone "\r" does too (progress bars), but makes no empty line.
//  - A line is cut at 64 KiB with a marker; the rest of it is left out.
//  - Bytes that came before are skipped, so that a chunk may come twice; a gap leaves a marker.
#ifndef TRAINYARD_SCHEDULER_STORE_LOG_LINES_H_
#define TRAINYARD_SCHEDULER_STORE_LOG_LINES_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace trainyard::store {

inline constexpr size_t kLogLineBytesMax = 64 << 10;
inline constexpr absl::string_view kLogLineCut = " [trainyard: line cut at 65536 bytes]";

struct LogStream {
  int64_t next_offset = 0;
  std::string pending;    // of the line that has not ended yet
  bool skipping = false;  // the rest of a line that was cut
  bool ended = false;
};

// Takes the stream's bytes from `offset` on and returns the lines they complete, "\n" after each.
// `end`: nothing follows, the last line needs no end.
std::string TakeLines(int64_t offset, absl::string_view bytes, bool end, LogStream* stream);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_LOG_LINES_H_
