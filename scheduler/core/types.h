// Short names for the generated packages, and times, as all files of the core use them. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_TYPES_H_
#define TRAINYARD_SCHEDULER_CORE_TYPES_H_

#include <cstdint>

#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "trainyard/journal/v1/journal.pb.h"

namespace trainyard::core {

namespace records = ::trainyard::journal::v1;
namespace wire = ::trainyard::agent::v1;

inline constexpr int64_t kSecondUs = 1'000'000;
inline constexpr int64_t kMinuteUs = 60 * kSecondUs;
inline constexpr int64_t kDayUs = 24 * 60 * kMinuteUs;

inline int64_t MicrosOf(const google::protobuf::Duration& duration) {
  return duration.seconds() * kSecondUs + duration.nanos() / 1000;
}
inline void SetTimestamp(int64_t micros, google::protobuf::Timestamp* out) {
  out->set_seconds(micros / kSecondUs);
  out->set_nanos(static_cast<int32_t>(micros % kSecondUs * 1000));
}

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_TYPES_H_
