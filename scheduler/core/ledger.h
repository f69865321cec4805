// Who used what: microseconds of whole devices and cores, in integers, per day, project and user.
// Every attempt is charged once, when it ends, for all that it held from its placing on, however it
// ended; a span over midnight (UTC) is divided exactly. Fair shares, cost and reports are views of
// this ledger. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_LEDGER_H_
#define TRAINYARD_SCHEDULER_CORE_LEDGER_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/functional/function_ref.h"
#include "scheduler/core/rows.h"

namespace trainyard::core {

// What an attempt holds at a time: thousandths of devices by model, and of cores.
struct Holding {
  std::map<std::string, int64_t> device_milli;
  int64_t cpu_milli = 0;
  int64_t AllDeviceMilli() const;
};
Holding HoldingOf(const records::AttemptRow& attempt,
                  absl::FunctionRef<AgentPtr(const std::string& node_id)> agent_of);

// Thousandths held for a span, in microseconds of whole ones; exact to the microsecond.
int64_t HeldUs(int64_t milli, int64_t span_us);

// Ordered by day, then project and user.
std::string LedgerKey(int32_t day, const std::string& project, const std::string& user);
std::string LedgerKey(const records::LedgerRow& row);
int32_t DayOf(int64_t time_us);

// Charges the run's attempt, which ends with this event: run, job and ledger.
void ChargeAttempt(const records::Event& event, const records::RunRow& run, Rows* rows);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_LEDGER_H_
