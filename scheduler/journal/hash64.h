// A 64-bit hash against damage, not against enemies: eight bytes at a time through steps that are
// one-to-one, so that a change within one word always changes the hash. The same on every machine;
// part of the file format. Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_JOURNAL_HASH64_H_
#define TRAINYARD_SCHEDULER_JOURNAL_HASH64_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace trainyard::journal {

// Chains: the hash of one record is the seed of the next.
uint64_t Hash64(absl::string_view bytes, uint64_t seed);

// Of one row, for a sum over all rows that finds missing and changed ones.
uint64_t RowHash(absl::string_view kind, absl::string_view key, absl::string_view value,
                 uint64_t sequence);

}  // namespace trainyard::journal

#endif  // TRAINYARD_SCHEDULER_JOURNAL_HASH64_H_
