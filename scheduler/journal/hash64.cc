// See hash64.h.
#include "scheduler/journal/hash64.h"

#include <cstring>

namespace trainyard::journal {
namespace {

constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio

uint64_t Step(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * kOdd;
  return hash ^ hash >> 29;
}

}  // namespace

uint64_t Hash64(absl::string_view bytes, uint64_t seed) {
  uint64_t hash = Step(seed, bytes.size());
  while (bytes.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    hash = Step(hash, word);
    bytes.remove_prefix(8);
  }
  uint64_t rest = 0;
  std::memcpy(&rest, bytes.data(), bytes.size());
  hash = Step(hash, rest);
  return Step(hash, seed);
}

uint64_t RowHash(absl::string_view kind, absl::string_view key, absl::string_view value,
                 uint64_t sequence) {
  return Hash64(value, Hash64(key, Hash64(kind, sequence)));
}

}  // namespace trainyard::journal
