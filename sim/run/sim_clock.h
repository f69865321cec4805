// A machine's clocks on virtual time: the monotonic one may drift, the wall clock may jump as well.
#ifndef TRAINYARD_SIM_RUN_SIM_CLOCK_H_
#define TRAINYARD_SIM_RUN_SIM_CLOCK_H_

#include <cstdint>

#include "common/clock.h"

namespace trainyard::sim {

class SimClock : public Clock {
 public:
  // `world_us`: virtual time, outlives this.
  explicit SimClock(const int64_t* world_us) : world_us_(world_us) {}

  absl::Time Now() const override {
    return absl::FromUnixSeconds(kBootWallSeconds) +
           absl::Microseconds(MonotonicMicros() + wall_offset_us_);
  }
  absl::Duration Monotonic() const override { return absl::Microseconds(MonotonicMicros()); }

  int64_t MonotonicMicros() const {
    const int64_t passed = *world_us_ - since_us_;
    return base_us_ + passed + static_cast<int64_t>(static_cast<double>(passed) * drift_);
  }
  // From now on a second of the world is 1 + `drift` seconds here.
  void Drift(double drift) {
    base_us_ = MonotonicMicros();
    since_us_ = *world_us_;
    drift_ = drift;
  }
  void JumpWall(int64_t by_us) { wall_offset_us_ += by_us; }
  // How long the world takes until `wait` has passed here.
  int64_t WorldMicros(absl::Duration wait) const {
    const double micros = absl::ToDoubleMicroseconds(wait) / (1 + drift_);
    return micros <= 0 ? 0 : static_cast<int64_t>(micros) + 1;
  }

 private:
  static constexpr int64_t kBootWallSeconds = 1'767'225'600;  // 2026
  const int64_t* const world_us_;
  int64_t base_us_ = 1'000'000'000;
  int64_t since_us_ = 0;
  double drift_ = 0;
  int64_t wall_offset_us_ = 0;
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_SIM_CLOCK_H_
