// The largest values a spec may hold. docs/spec.md lists them.
#ifndef TRAINYARD_COMMON_SPEC_LIMITS_H_
#define TRAINYARD_COMMON_SPEC_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace trainyard::spec {

inline constexpr int kPackagesMax = 100;
inline constexpr int kEnvMax = 100;
inline constexpr size_t kEnvValueBytesMax = 64 << 10;
inline constexpr int64_t kRanksMax = 10'000;
inline constexpr int64_t kProcessesMax = 256;
inline constexpr int64_t kCpuMilliMax = 10'000'000;
inline constexpr int64_t kGpusMax = 1'024;
inline constexpr int64_t kRetriesMax = 1'000;
inline constexpr int64_t kTrialsMax = 1'000'000;
// An answer holds at most so many faults, and then says that there are more.
inline constexpr int kFaultsMax = 200;
inline constexpr size_t kRegexBytesMax = 1'024;

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_LIMITS_H_
