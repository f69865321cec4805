// Bytes of store records: varints, zigzag, length-prefixed text, little-endian doubles. A reader
// that runs over the end turns bad and gives zeros. Pure.
#ifndef TRAINYARD_SCHEDULER_STORE_CODEC_H_
#define TRAINYARD_SCHEDULER_STORE_CODEC_H_

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

namespace trainyard::store {

class RecordWriter {
 public:
  RecordWriter& Unsigned(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
    return *this;
  }
  RecordWriter& Signed(int64_t value) {
    return Unsigned((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
  }
  RecordWriter& Double(double value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes_.append(raw, sizeof raw);
    return *this;
  }
  RecordWriter& Text(absl::string_view text) {
    Unsigned(text.size());
    return Raw(text);
  }
  RecordWriter& Raw(absl::string_view text) {
    bytes_.append(text.data(), text.size());
    return *this;
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class RecordReader {
 public:
  explicit RecordReader(absl::string_view bytes) : left_(bytes) {}
  uint64_t Unsigned() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (left_.empty()) break;
      const auto byte = static_cast<unsigned char>(left_.front());
      left_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    good_ = false;
    return 0;
  }
  int64_t Signed() {
    const uint64_t value = Unsigned();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }
  double Double() {
    double value = 0;
    const absl::string_view raw = Raw(sizeof value);
    if (good_) std::memcpy(&value, raw.data(), sizeof value);
    return value;
  }
  absl::string_view Text() { return Raw(Unsigned()); }
  absl::string_view Raw(uint64_t size) {
    if (!good_ || size > left_.size()) {
      good_ = false;
      return "";
    }
    const absl::string_view out = left_.substr(0, size);
    left_.remove_prefix(size);
    return out;
  }
  absl::string_view Rest() const { return good_ ? left_ : absl::string_view(); }
  bool good() const { return good_; }

 private:
  absl::string_view left_;
  bool good_ = true;
};

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_CODEC_H_
