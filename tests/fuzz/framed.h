// Cuts a fuzzer's bytes into messages: each after one byte of kind and two of length.
#ifndef TRAINYARD_TESTS_FUZZ_FRAMED_H_
#define TRAINYARD_TESTS_FUZZ_FRAMED_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace trainyard {

struct Frame {
  uint8_t kind = 0;
  std::string bytes;
};

// False at the end. A last message may be short.
inline bool NextFrame(const uint8_t** data, size_t* size, Frame* frame) {
  if (*size < 3) return false;
  frame->kind = (*data)[0];
  const size_t length = std::min<size_t>(*size - 3, (*data)[1] * 256U + (*data)[2]);
  frame->bytes.assign(reinterpret_cast<const char*>(*data + 3), length);
  *data += 3 + length;
  *size -= 3 + length;
  return true;
}

}  // namespace trainyard

#endif  // TRAINYARD_TESTS_FUZZ_FRAMED_H_
