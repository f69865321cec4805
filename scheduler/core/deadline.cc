// See deadline.h.
#include "scheduler/core/deadline.h"

#include <algorithm>

#include "scheduler/core/queueing.h"

namespace trainyard::core {
namespace {

// Agents enforce the same limits themselves; the scheduler acts only when an agent did not.
constexpr int64_t kSlackUs = 30 * kSecondUs;
constexpr int64_t kStartUs = kMinuteUs;         // from the start order to running
constexpr int64_t kMissingUs = 15 * kSecondUs;  // for facts still on the agent's disk to arrive

int64_t OrDefault(const google::protobuf::Duration& duration, int64_t fallback_us) {
  const int64_t micros = MicrosOf(duration);
  return micros > 0 ? micros : fallback_us;
}

Deadline OfAttempt(const Rows& rows, const records::RunRow& run, const v1::Scheduling& limits,
                   int64_t time_limit_us) {
  const records::AttemptRow& attempt = run.attempt();
  const int64_t up_us = rows.Server().start_us();
  const int64_t phase_us = std::max(attempt.phase_us(), up_us);
  Deadline first;
  switch (attempt.state()) {
    case records::A_LEASED:
    case records::A_PREPARING:
      first = {phase_us + StagingUs(limits) + kSlackUs, Due::kNotPrepared};
      break;
    case records::A_STARTING:
      first = {phase_us + kStartUs, Due::kNotPrepared};
      break;
    case records::A_RUNNING:
      first = {std::max(attempt.running_us() + time_limit_us, up_us), Due::kTimeLimit};
      break;
    case records::A_STOPPING:
    case records::A_PUBLISHING:
      first = {phase_us + GraceUs(limits) + PublishUs(limits) + kSlackUs, Due::kNotStopped};
      break;
    default:
      return first;
  }
  for (const records::MemberRow& member : attempt.members()) {
    if (member.missing_us() == 0 || member.exited() || member.released()) continue;
    const int64_t missing = std::max(member.missing_us(), up_us) + kMissingUs;
    if (missing < first.time_us) first = {missing, Due::kMissing};
  }
  return first;
}

}  // namespace

int64_t GraceUs(const v1::Scheduling& scheduling) {
  return OrDefault(scheduling.grace(), 10 * kSecondUs);
}
int64_t StagingUs(const v1::Scheduling& scheduling) {
  return OrDefault(scheduling.staging_timeout(), 10 * kMinuteUs);
}
int64_t PublishUs(const v1::Scheduling& scheduling) {
  return OrDefault(scheduling.publish_timeout(), 10 * kMinuteUs);
}
int64_t TimeoutUs(const v1::Scheduling& scheduling) {
  return OrDefault(scheduling.timeout(), 7 * kDayUs);
}
int64_t StopAfterUs(const v1::Scheduling& scheduling) {
  return OrDefault(scheduling.stop_after(), 15 * kMinuteUs);
}

Deadline DeadlineOf(const Rows& rows, const records::RunRow& run) {
  switch (run.state()) {
    case records::R_BACKING_OFF:
      return {run.not_before_us(), Due::kReady};
    case records::R_DONE:
      if (run.settle_us() > 0) return {run.settle_us(), Due::kSettled};
      return {};
    case records::R_WAITING: {
      if (run.first_start_us() > 0) return {};  // max_wait is for jobs that never ran
      const SpecPtr spec = rows.Spec(run.job_uid());
      const JobPtr job = rows.Job(run.job_uid());
      if (spec == nullptr || job == nullptr || IsBlocked(*job, *spec)) return {};
      const int64_t wait = MaxWaitUs(*job, *spec);
      if (wait <= 0) return {};
      return {run.queued_us() + wait, Due::kMaxWait};
    }
    case records::R_ACTIVE: {
      const SpecPtr spec = rows.Spec(run.job_uid());
      const JobPtr job = rows.Job(run.job_uid());
      const v1::Scheduling& limits =
          spec == nullptr ? v1::Scheduling::default_instance() : spec->scheduling();
      const int64_t time_limit_us =
          spec == nullptr || job == nullptr ? TimeoutUs(limits) : TimeLimitUs(*job, *spec);
      return OfAttempt(rows, run, limits, time_limit_us);
    }
    default:
      return {};
  }
}

}  // namespace trainyard::core
