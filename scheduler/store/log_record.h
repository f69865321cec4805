// A record of a job's log: which stream, its state afterwards, and the lines that were completed.
// The state is what opening needs; the lines are what readers want. Pure.
#ifndef TRAINYARD_SCHEDULER_STORE_LOG_RECORD_H_
#define TRAINYARD_SCHEDULER_STORE_LOG_RECORD_H_

#include <compare>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "scheduler/store/log_lines.h"

namespace trainyard::store {

// One output of one rank of one attempt.
struct LogStreamKey {
  uint64_t run_uid = 0;
  uint64_t epoch = 0;
  int32_t member = 0;
  int32_t rank = 0;
  bool is_stderr = false;
  auto operator<=>(const LogStreamKey&) const = default;
};

struct LogRecord {
  LogStreamKey key;
  int32_t trial = 0;
  int64_t time_us = 0;
  absl::string_view node;
  // The stream afterwards. `pending` replaces the text held, or is appended to it.
  int64_t next_offset = 0;
  bool skipping = false;
  bool ended = false;
  bool replaces_pending = false;
  absl::string_view pending;
  absl::string_view lines;  // "\n" after each
};

std::string EncodeLogRecord(const LogRecord& record);
// Views into `bytes`; false when they are no record.
bool DecodeLogRecord(absl::string_view bytes, LogRecord* record);
// Brings `stream` to the state after `record`.
void ApplyLogRecord(const LogRecord& record, LogStream* stream);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_LOG_RECORD_H_
