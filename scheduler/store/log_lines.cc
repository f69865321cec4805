// See log_lines.h.
#include "scheduler/store/log_lines.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trainyard::store {
namespace {

class Cutter {
 public:
  Cutter(LogStream* stream, std::string* out) : stream_(stream), out_(out) {}

  void Text(absl::string_view text) {
    if (stream_->skipping) return;
    std::string& pending = stream_->pending;
    const size_t room = kLogLineBytesMax - std::min(kLogLineBytesMax, pending.size());
    pending.append(text.data(), std::min(room, text.size()));
    if (text.size() <= room) return;
    absl::StrAppend(out_, pending, kLogLineCut, "\n");
    pending.clear();
    stream_->skipping = true;
  }
  void EndLine() {
    if (!stream_->skipping) absl::StrAppend(out_, stream_->pending, "\n");
    stream_->pending.clear();
    stream_->skipping = false;
  }
  // A lone "\r", or the end of the stream or of what is known of it.
  void EndPart() {
    if (!stream_->pending.empty() || stream_->skipping) EndLine();
  }
  // A "\r" at the end of a chunk waits for what follows it.
  void Hold() { stream_->pending += '\r'; }
  bool Release() {
    if (stream_->pending.empty() || stream_->pending.back() != '\r') return false;
    stream_->pending.pop_back();
    return true;
  }

 private:
  LogStream* const stream_;
  std::string* const out_;
};

void Cut(absl::string_view bytes, Cutter* cutter) {
  if (!bytes.empty() && cutter->Release()) {
    if (bytes.front() == '\n') {
      cutter->EndLine();
      bytes.remove_prefix(1);
    } else {
      cutter->EndPart();
    }
  }
  while (!bytes.empty()) {
    const size_t at = std::min(bytes.find_first_of("\r\n"), bytes.size());
    if (at > 0) cutter->Text(bytes.substr(0, at));
    if (at == bytes.size()) return;
    if (bytes[at] == '\n') {
      cutter->EndLine();
    } else if (at + 1 == bytes.size()) {
      cutter->Hold();
    } else if (bytes[at + 1] == '\n') {
      cutter->EndLine();
      bytes.remove_prefix(1);
    } else {
      cutter->EndPart();
    }
    bytes.remove_prefix(at + 1);
  }
}

}  // namespace

std::string TakeLines(int64_t offset, absl::string_view bytes, bool end, LogStream* stream) {
  std::string out;
  Cutter cutter(stream, &out);
  if (offset < stream->next_offset) {
    const int64_t known =
        std::min<int64_t>(stream->next_offset - offset, static_cast<int64_t>(bytes.size()));
    bytes.remove_prefix(static_cast<size_t>(known));
    offset += known;
  }
  if (offset > stream->next_offset) {
    cutter.Release();
    cutter.EndPart();
    absl::StrAppend(&out, "[trainyard: ", offset - stream->next_offset,
                    " bytes of output are missing here]\n");
    stream->next_offset = offset;
  }
  // All of it known already: also `offset` may lie before the next one then.
  if (!bytes.empty()) {
    Cut(bytes, &cutter);
    stream->next_offset = offset + static_cast<int64_t>(bytes.size());
  }
  if (end && !stream->ended) {
    cutter.Release();
    cutter.EndPart();
    stream->ended = true;
  }
  return out;
}

}  // namespace trainyard::store
