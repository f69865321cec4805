// See queueing.h.
#include "scheduler/core/queueing.h"

#include "scheduler/core/deadline.h"

namespace trainyard::core {

int32_t PriorityOf(const records::JobRow& job, const v1::JobSpec& spec) {
  const records::Queueing& changed = job.queue().queueing();
  return changed.has_priority() ? changed.priority() : spec.scheduling().priority();
}

bool IsOnHold(const records::JobRow& job, const v1::JobSpec& spec) {
  const records::Queueing& changed = job.queue().queueing();
  return changed.has_hold() ? changed.hold() : spec.scheduling().hold();
}

const std::string& QueueOf(const records::JobRow& job, const v1::JobSpec& spec) {
  const records::Queueing& changed = job.queue().queueing();
  return changed.has_queue() ? changed.queue() : spec.scheduling().queue();
}

int64_t MaxWaitUs(const records::JobRow& job, const v1::JobSpec& spec) {
  const records::Queueing& changed = job.queue().queueing();
  return changed.has_max_wait_us() ? changed.max_wait_us() : MicrosOf(spec.scheduling().max_wait());
}

int64_t TimeLimitUs(const records::JobRow& job, const v1::JobSpec& spec) {
  const int64_t changed = job.queue().queueing().timeout_us();
  return changed > 0 ? changed : TimeoutUs(spec.scheduling());
}

bool IsBlocked(const records::JobRow& job, const v1::JobSpec& spec) {
  return IsOnHold(job, spec) || job.queue().waits_for_size() > 0 || !job.queue().broken().empty();
}

}  // namespace trainyard::core
