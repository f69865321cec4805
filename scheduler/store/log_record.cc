// See log_record.h.
#include "scheduler/store/log_record.h"

#include "scheduler/store/codec.h"

namespace trainyard::store {
namespace {
constexpr uint64_t kStderr = 1, kSkipping = 2, kEnded = 4, kReplaces = 8;
}  // namespace

std::string EncodeLogRecord(const LogRecord& record) {
  const uint64_t flags = (record.key.is_stderr ? kStderr : 0) | (record.skipping ? kSkipping : 0) |
                         (record.ended ? kEnded : 0) | (record.replaces_pending ? kReplaces : 0);
  RecordWriter writer;
  writer.Unsigned(flags)
      .Unsigned(record.key.run_uid)
      .Unsigned(record.key.epoch)
      .Signed(record.key.member)
      .Signed(record.key.rank)
      .Signed(record.trial)
      .Signed(record.time_us)
      .Text(record.node)
      .Signed(record.next_offset)
      .Text(record.pending)
      .Raw(record.lines);
  return writer.Take();
}

bool DecodeLogRecord(absl::string_view bytes, LogRecord* record) {
  RecordReader reader(bytes);
  const uint64_t flags = reader.Unsigned();
  record->key.is_stderr = (flags & kStderr) != 0;
  record->skipping = (flags & kSkipping) != 0;
  record->ended = (flags & kEnded) != 0;
  record->replaces_pending = (flags & kReplaces) != 0;
  record->key.run_uid = reader.Unsigned();
  record->key.epoch = reader.Unsigned();
  record->key.member = static_cast<int32_t>(reader.Signed());
  record->key.rank = static_cast<int32_t>(reader.Signed());
  record->trial = static_cast<int32_t>(reader.Signed());
  record->time_us = reader.Signed();
  record->node = reader.Text();
  record->next_offset = reader.Signed();
  record->pending = reader.Text();
  record->lines = reader.Rest();
  return reader.good();
}

void ApplyLogRecord(const LogRecord& record, LogStream* stream) {
  stream->next_offset = record.next_offset;
  stream->skipping = record.skipping;
  stream->ended = record.ended;
  if (record.replaces_pending) stream->pending.clear();
  stream->pending.append(record.pending.data(), record.pending.size());
}

}  // namespace trainyard::store
