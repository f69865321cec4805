// Is this text UTF-8? Protocol buffers carry nothing else in a string. Pure.
#ifndef TRAINYARD_COMMON_UTF8_H_
#define TRAINYARD_COMMON_UTF8_H_

#include <cstdint>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace trainyard {

// By RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF.
inline bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xC2 ? 0
                          : lead < 0xE0 ? 2
                          : lead < 0xF0 ? 3
                          : lead < 0xF5 ? 4
                                        : 0;
    if (length == 0 || i + length > text.size()) return false;
    uint32_t code = length == 1 ? lead : lead & (0x7Fu >> length);
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      code = code << 6 | (next & 0x3F);
    }
    if ((length == 3 && code < 0x800) || (length == 4 && code < 0x10000) || code > 0x10FFFF ||
        (code >= 0xD800 && code <= 0xDFFF)) {
      return false;
    }
    i += length;
  }
  return true;
}

// `text` from anywhere, for a message: UTF-8 without control characters.
inline std::string PrintableText(absl::string_view text) {
  return IsUtf8(text) ? absl::Utf8SafeCEscape(text) : absl::CHexEscape(text);
}

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_UTF8_H_
