// See ledger.h.
#include "scheduler/core/ledger.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_format.h"

namespace trainyard::core {
namespace {

constexpr int64_t kMilliOfOne = 1000;

std::string ModelOf(const AgentPtr& agent, const std::string& uuid) {
  if (agent != nullptr) {
    for (const v1::Device& device : agent->inventory().devices()) {
      if (device.uuid() == uuid) return device.model();
    }
  }
  return "";
}

void AddDevices(const std::string& model, int64_t device_us, records::LedgerRow* row) {
  auto* const devices = row->mutable_devices();
  auto at = std::find_if(devices->begin(), devices->end(),
                         [&](const auto& line) { return line.model() >= model; });
  if (at == devices->end() || at->model() != model) {
    const auto place = at - devices->begin();
    devices->Add()->set_model(model);
    std::rotate(devices->begin() + place, devices->end() - 1, devices->end());
    at = devices->begin() + place;
  }
  at->set_device_us(at->device_us() + device_us);
}

void ChargeDay(int32_t day, const records::JobRow& job, const Holding& holding, int64_t span_us,
               bool ends, Rows* rows) {
  const LedgerPtr old = rows->Ledger(LedgerKey(day, job.project(), job.principal()));
  auto row = old == nullptr ? std::make_shared<records::LedgerRow>()
                            : std::make_shared<records::LedgerRow>(*old);
  row->set_project(job.project());
  row->set_user(job.principal());
  row->set_day(day);
  for (const auto& [model, milli] : holding.device_milli) {
    AddDevices(model, HeldUs(milli, span_us), row.get());
  }
  row->set_cpu_us(row->cpu_us() + HeldUs(holding.cpu_milli, span_us));
  if (ends) row->set_attempts(row->attempts() + 1);
  rows->PutLedger(std::move(row));
}

}  // namespace

int64_t Holding::AllDeviceMilli() const {
  int64_t all = 0;
  for (const auto& [model, milli] : device_milli) all += milli;
  return all;
}

Holding HoldingOf(const records::AttemptRow& attempt,
                  absl::FunctionRef<AgentPtr(const std::string& node_id)> agent_of) {
  Holding holding;
  for (const records::MemberRow& member : attempt.members()) {
    const AgentPtr agent = agent_of(member.node_id());
    const int64_t milli = member.gpu_milli() > 0 ? member.gpu_milli() : kMilliOfOne;
    for (const std::string& uuid : member.device_uuids()) {
      holding.device_milli[ModelOf(agent, uuid)] += milli;
    }
    holding.cpu_milli += member.cpu_milli();
  }
  return holding;
}

int64_t HeldUs(int64_t milli, int64_t span_us) {
  return static_cast<int64_t>(static_cast<__int128>(milli) * span_us / kMilliOfOne);
}

std::string LedgerKey(int32_t day, const std::string& project, const std::string& user) {
  return absl::StrFormat("%06d/%s/%s", day, project, user);
}
std::string LedgerKey(const records::LedgerRow& row) {
  return LedgerKey(row.day(), row.project(), row.user());
}
int32_t DayOf(int64_t time_us) { return static_cast<int32_t>(time_us / kDayUs); }

void ChargeAttempt(const records::Event& event, const records::RunRow& run, Rows* rows) {
  const records::AttemptRow& attempt = run.attempt();
  const JobPtr job = rows->Job(run.job_uid());
  if (job == nullptr || attempt.placed_us() == 0) return;
  const int64_t end_us = std::max(event.time_us(), attempt.placed_us());
  const Holding holding =
      HoldingOf(attempt, [&](const std::string& node_id) { return rows->Agent(node_id); });
  records::Used used;
  int64_t from_us = attempt.placed_us();
  while (true) {
    const int64_t next_day_us = (int64_t{DayOf(from_us)} + 1) * kDayUs;
    const int64_t until_us = std::min(end_us, next_day_us);
    const bool ends = until_us == end_us;
    ChargeDay(DayOf(from_us), *job, holding, until_us - from_us, ends, rows);
    for (const auto& [model, milli] : holding.device_milli) {
      used.set_device_us(used.device_us() + HeldUs(milli, until_us - from_us));
    }
    used.set_cpu_us(used.cpu_us() + HeldUs(holding.cpu_milli, until_us - from_us));
    if (ends) break;
    from_us = until_us;
  }
  if (attempt.running_us() > 0) used.set_run_us(end_us - attempt.running_us());
  const auto add = [&](records::Used* sum) {
    sum->set_device_us(sum->device_us() + used.device_us());
    sum->set_cpu_us(sum->cpu_us() + used.cpu_us());
    sum->set_run_us(sum->run_us() + used.run_us());
  };
  EditRun(rows, run.uid(), event.sequence(),
          [&](records::RunRow* row) { add(row->mutable_used()); });
  EditJob(rows, job->uid(), event.sequence(),
          [&](records::JobRow* row) { add(row->mutable_used()); });
}

}  // namespace trainyard::core
