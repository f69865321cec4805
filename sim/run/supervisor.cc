// See supervisor.h.
#include "sim/run/supervisor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"

namespace trainyard::sim {
namespace {

constexpr int64_t kProgressUs = 5 * kSecond;

int64_t SecondsOf(const agent::v1::Assignment& assignment) {
  int64_t seconds = 30;
  if (assignment.program().args_size() > 0) {
    if (!absl::SimpleAtoi(assignment.program().args(0), &seconds)) seconds = 30;
  }
  return seconds;
}

}  // namespace

Supervisor::Supervisor(Context* context, Checker* checker, SimClock* clock, Listener listener,
                       int node, AssignmentPtr assignment)
    : context_(context),
      checker_(checker),
      clock_(clock),
      listener_(std::move(listener)),
      node_(node),
      assignment_(std::move(assignment)),
      id_(worker::IdOf(assignment_->key())) {}

void Supervisor::After(int64_t delay_us, void (Supervisor::*work)()) {
  context_->queue().After(delay_us, Kind::kProcess, [self = shared_from_this(), work] {
    if (!self->ended_) (*self.*work)();
  });
}

void Supervisor::Start(absl::Duration lease, absl::Duration lease_grace) {
  Random& random = context_->random();
  work_left_us_ = SecondsOf(*assignment_) * kSecond;
  const uint64_t dice = random.Below(200);
  if (dice < 8) cause_ = v1::USER_ERROR;
  if (dice == 8) cause_ = v1::DEVICE_FAULT;
  if (dice == 9) cause_ = v1::OOM_DEVICE;
  hangs_ = dice == 10 && !context_->calm();
  if (cause_ != v1::EXIT_CAUSE_UNSPECIFIED) {
    work_left_us_ = static_cast<int64_t>(static_cast<double>(work_left_us_) * random.Uniform());
  }
  checker_->Launched(node_, *assignment_);
  lease_end_ = clock_->Monotonic() + lease;
  lease_grace_ = lease_grace;
  After(clock_->WorldMicros(lease), &Supervisor::CheckLease);
  After(Between(&random, 20 * kMilli, 300 * kMilli) * (listener_.is_slow() ? 10 : 1),
        &Supervisor::RanksStart);
}

void Supervisor::RanksStart() {
  announced_ = true;
  listener_.running(id_);
  After(std::min(work_left_us_, kProgressUs), &Supervisor::Progress);
}

void Supervisor::Progress() {
  if (stopping_) return;
  work_left_us_ -= kProgressUs;
  ++step_;
  if (assignment_->trial() > 0 && assignment_->study_metrics_size() > 0) {
    v1::Measurement point;
    point.set_step(step_);
    point.mutable_elapsed()->set_seconds(step_ * kProgressUs / kSecond);
    point.add_metrics()->set_metric_id(assignment_->study_metrics(0));
    point.mutable_metrics(0)->set_value(context_->random().Uniform());
    listener_.measured(id_, point);
  }
  if (step_ % 4 == 0) {
    saves_.push_back(step_);
    listener_.saved(id_, step_);
  }
  if (hangs_) return;
  if (work_left_us_ <= 0) return End(cause_);
  After(std::min(work_left_us_, kProgressUs), &Supervisor::Progress);
}

void Supervisor::Renew(absl::Duration length) {
  lease_end_ = std::max(lease_end_, clock_->Monotonic() + length);
}

void Supervisor::CheckLease() {
  const absl::Duration now = clock_->Monotonic();
  if (now < lease_end_) {
    return After(clock_->WorldMicros(lease_end_ - now), &Supervisor::CheckLease);
  }
  if (context_->GuardOff(Guard::kLease)) return;
  context_->Note("lease over", node_, id_.run_uid, id_.epoch);
  Stop(agent::v1::STOP_STALE, lease_grace_);
}

// A second stop may only hurry.
void Supervisor::Stop(agent::v1::StopReason reason, absl::Duration grace) {
  // Some save for the whole grace and are killed at its end.
  const int64_t most = absl::ToInt64Microseconds(grace);
  const int64_t takes = Between(&context_->random(), 10 * kMilli, std::max(2 * most, 20 * kMilli));
  const absl::Duration end = clock_->Monotonic() + absl::Microseconds(std::min(takes, most));
  if (!std::exchange(stopping_, true)) stop_ = reason;
  if (end >= kill_) return;
  kill_ = end;
  After(clock_->WorldMicros(kill_ - clock_->Monotonic()), &Supervisor::CheckKill);
}

void Supervisor::CheckKill() { End(StoppedCause()); }

v1::ExitCause Supervisor::StoppedCause() const {
  switch (stop_) {
    case agent::v1::STOP_PREEMPT:
    case agent::v1::STOP_PAUSE:
      return v1::PREEMPTED_CAUSE;
    case agent::v1::STOP_TIMEOUT:
      return v1::TIMED_OUT;
    case agent::v1::STOP_EARLY:
      return v1::STOPPED_EARLY;
    case agent::v1::STOP_STALE:
      return v1::NODE_LOST;
    default:
      return v1::CANCELLED_CAUSE;
  }
}

void Supervisor::End(v1::ExitCause cause) {
  worker::MemberEnd end;
  end.record.set_cause(cause);
  end.record.set_node(NodeName(node_));
  end.record.set_rank(cause == v1::EXIT_CAUSE_UNSPECIFIED ? -1 : assignment_->ranks(0).rank());
  end.stopped_on_request = stop_ != agent::v1::STOP_REASON_UNSPECIFIED;
  end.last_step = step_;
  if (assignment_->study_metrics_size() > 0 && step_ > 0) {
    end.metrics_seen.push_back(assignment_->study_metrics(0));
  }
  record_ = std::move(end);
  ended_ = true;
  checker_->RanksGone(node_, *assignment_);
  listener_.ended(id_);
}

void Supervisor::Die() {
  if (ended_) return;
  ended_ = true;
  checker_->RanksGone(node_, *assignment_);
  listener_.ended(id_);
}

}  // namespace trainyard::sim
