// Many small contents in one body; see blob.h. Pure.
#include "common/blob/blob.h"

namespace trainyard::blob {
namespace {

constexpr size_t kLengthBytes = 4;

}  // namespace

void AppendSmall(absl::string_view content, std::string* body) {
  const auto length = static_cast<uint32_t>(content.size());
  for (const int shift : {24, 16, 8, 0}) body->push_back(static_cast<char>(length >> shift));
  body->append(content.data(), content.size());
}

bool CutSmall(absl::string_view body, std::vector<absl::string_view>* contents) {
  while (!body.empty()) {
    if (body.size() < kLengthBytes) return false;
    uint32_t length = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) {
      length = length << 8 | static_cast<unsigned char>(body[i]);
    }
    body.remove_prefix(kLengthBytes);
    if (body.size() < length) return false;
    contents->push_back(body.substr(0, length));
    body.remove_prefix(length);
  }
  return true;
}

}  // namespace trainyard::blob
