// See usage.h.
#include "scheduler/api/usage.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/errors.h"
#include "common/names.h"
#include "scheduler/api/convert.h"
#include "scheduler/core/ledger.h"
#include "scheduler/core/ranks.h"
#include "scheduler/core/types.h"

namespace trainyard::api {
namespace {

constexpr int kJobsScannedMax = 100'000;
constexpr int kJobsPerRead = 1000;
constexpr int kTrialsPerRead = 1000;

// Sums by what was asked for; the key orders the answer.
class Sums {
 public:
  using By = v1::GetUsageRequest::By;
  explicit Sums(By by) : by_(by == v1::GetUsageRequest::BY_UNSPECIFIED ? kProject : by) {}

  void Add(const std::string& project, const std::string& user, int32_t day, const std::string& job,
           const v1::Usage& part) {
    std::string last;
    if (by_ == v1::GetUsageRequest::USER) last = user;
    if (by_ == v1::GetUsageRequest::DAY) last = DayText(day);
    if (by_ == v1::GetUsageRequest::JOB) last = job;
    v1::Usage& sum = sums_[{project, last}];
    sum.set_project(project);
    if (by_ == v1::GetUsageRequest::USER) sum.set_user(last);
    if (by_ == v1::GetUsageRequest::DAY) sum.set_day(last);
    if (by_ == v1::GetUsageRequest::JOB) {
      sum.set_job(last);
      sum.set_user(user);
    }
    for (const v1::Usage::Devices& devices : part.devices()) AddDevices(devices, &sum);
    sum.set_device_us(sum.device_us() + part.device_us());
    sum.set_cpu_us(sum.cpu_us() + part.cpu_us());
    sum.set_attempts(sum.attempts() + part.attempts());
  }
  size_t size() const { return sums_.size(); }
  v1::GetUsageResponse Take() {
    v1::GetUsageResponse response;
    for (auto& [key, sum] : sums_) *response.add_rows() = std::move(sum);
    return response;
  }

 private:
  static constexpr By kProject = v1::GetUsageRequest::PROJECT;

  static std::string DayText(int32_t day) {
    return absl::FormatTime("%Y-%m-%d", absl::UnixEpoch() + day * absl::Hours(24),
                            absl::UTCTimeZone());
  }
  static void AddDevices(const v1::Usage::Devices& devices, v1::Usage* sum) {
    for (v1::Usage::Devices& known : *sum->mutable_devices()) {
      if (known.model() != devices.model()) continue;
      known.set_device_us(known.device_us() + devices.device_us());
      return;
    }
    *sum->add_devices() = devices;
  }

  const By by_;
  std::map<std::pair<std::string, std::string>, v1::Usage> sums_;
};

struct Days {
  int32_t from = 0;
  int32_t until = std::numeric_limits<int32_t>::max();
  bool Has(int32_t day) const { return day >= from && day < until; }
};

// Jobs with uid in [from, before); 0 as `before`: up to the newest.
struct Uids {
  uint64_t from = 0;
  uint64_t before = 0;
  bool Has(uint64_t uid) const { return uid >= from && (before == 0 || uid < before); }
};

bool MayRead(const core::Principal& principal, const std::string& project) {
  return core::CheckAccess(principal, core::Action::kRead, project, "").ok();
}

v1::Usage UsageOf(const core::Holding& holding, int64_t span_us) {
  v1::Usage usage;
  for (const auto& [model, milli] : holding.device_milli) {
    v1::Usage::Devices* const devices = usage.add_devices();
    devices->set_model(model);
    devices->set_device_us(core::HeldUs(milli, span_us));
    usage.set_device_us(usage.device_us() + devices->device_us());
  }
  usage.set_cpu_us(core::HeldUs(holding.cpu_milli, span_us));
  return usage;
}

// Attempts that hold something now, up to now, day by day.
void AddLive(const Context& context, const core::Principal& principal, const std::string& project,
             const Days& days, const Uids& uids, Sums* sums) {
  const runtime::View& view = context.runtime->view();
  const int64_t now_us = absl::ToUnixMicros(context.clock->Now());
  for (const core::RunPtr& run : view.LiveRuns()) {
    if (run->state() != journal::v1::R_ACTIVE) continue;
    const core::JobPtr job = view.Job(run->job_uid());
    if (job == nullptr || (!project.empty() && job->project() != project)) continue;
    if (!uids.Has(job->uid()) || !MayRead(principal, job->project())) continue;
    const core::Holding holding = core::HoldingOf(
        run->attempt(), [&](const std::string& node_id) { return view.Agent(node_id); });
    int64_t from_us = run->attempt().placed_us();
    while (from_us < now_us) {
      const int32_t day = core::DayOf(from_us);
      const int64_t until_us = std::min(now_us, (int64_t{day} + 1) * core::kDayUs);
      if (days.Has(day)) {
        sums->Add(job->project(), job->principal(), day, job->job_id(),
                  UsageOf(holding, until_us - from_us));
      }
      from_us = until_us;
    }
  }
}

void AddLedger(const Context& context, const core::Principal& principal, const std::string& project,
               const Days& days, Sums* sums) {
  for (const core::LedgerPtr& row : context.runtime->view().Ledger(days.from, days.until)) {
    if (!project.empty() && row->project() != project) continue;
    if (!MayRead(principal, row->project())) continue;
    v1::Usage part;
    *part.mutable_devices() = row->devices();
    for (const v1::Usage::Devices& devices : row->devices()) {
      part.set_device_us(part.device_us() + devices.device_us());
    }
    part.set_cpu_us(row->cpu_us());
    part.set_attempts(row->attempts());
    sums->Add(row->project(), row->user(), row->day(), "", part);
  }
}

// Attempts of the job that have ended, as the ledger counts them.
int64_t AttemptsOf(const runtime::View& view, const journal::v1::JobRow& job) {
  const auto of_run = [&view](uint64_t run_uid) -> int64_t {
    const core::RunPtr run = view.Run(run_uid);
    if (run == nullptr) return 0;
    return run->past_attempts_size() +
           (run->state() == journal::v1::R_DONE && run->has_attempt() ? 1 : 0);
  };
  if (job.study_uid() == 0) return of_run(job.run_uid());
  int64_t attempts = 0;
  int32_t after = 0;
  while (true) {
    const std::vector<core::TrialPtr> trials = view.Trials(job.study_uid(), after, kTrialsPerRead);
    for (const core::TrialPtr& trial : trials) {
      after = trial->id();
      attempts += of_run(trial->run_uid());
    }
    if (trials.size() < kTrialsPerRead) return attempts;
  }
}

// By job the ledger knows nothing: each job has its own sum, whole, by the day of its end. From
// the newest below `uids->before` on, until there are `rows_max` sums or enough was looked at;
// `uids->from` tells how far it came, 0: to the oldest.
void AddJobs(const Context& context, const core::Principal& principal, const std::string& project,
             const Days& days, size_t rows_max, Uids* uids, Sums* sums) {
  const runtime::View& view = context.runtime->view();
  uint64_t before = uids->before;
  for (int scanned = 0; scanned < kJobsScannedMax; scanned += kJobsPerRead) {
    const std::vector<core::JobPtr> jobs = view.Jobs(project, before, kJobsPerRead);
    for (const core::JobPtr& job : jobs) {
      if (sums->size() >= rows_max) {
        uids->from = before;
        return;
      }
      before = job->uid();
      const int32_t day = core::DayOf(job->end_us() > 0 ? job->end_us() : job->create_us());
      if (!job->has_used() || !days.Has(day) || !MayRead(principal, job->project())) continue;
      v1::Usage part;
      part.set_device_us(job->used().device_us());
      part.set_cpu_us(job->used().cpu_us());
      part.set_attempts(AttemptsOf(view, *job));
      sums->Add(job->project(), job->principal(), day, job->job_id(), part);
    }
    if (jobs.size() < kJobsPerRead) return;
  }
  uids->from = before;
}

void AddPast(const std::string& name, const journal::v1::RunRow& run, int64_t submit_us,
             const v1::JobSpec& spec, v1::ExportHistoryResponse* response) {
  if (run.state() != journal::v1::R_DONE || run.used().run_us() == 0) return;
  v1::PastRun* const past = response->add_runs();
  past->set_job(name);
  past->set_trial(run.trial());
  past->set_submit_us(submit_us);
  int64_t cpu_milli = 0;
  int64_t gpu_milli = 0;
  for (const core::RankNeed& need : core::RanksOf(spec)) {
    cpu_milli += need.cpu_milli;
    gpu_milli += need.gpu_milli > 0 ? need.gpu_milli : int64_t{1000} * need.gpu_count;
  }
  past->set_gpus(static_cast<int32_t>((gpu_milli + 999) / 1000));
  past->set_cores(static_cast<int32_t>((cpu_milli + 999) / 1000));
  past->set_run_us(run.used().run_us());
  past->set_wait_us(std::max<int64_t>(0, run.first_start_us() - submit_us));
  past->set_state(SummaryOf(run).state());
}

void AddPastOfJob(const runtime::View& view, const journal::v1::JobRow& job,
                  v1::ExportHistoryResponse* response) {
  const core::SpecPtr spec = view.Spec(job.uid());
  if (spec == nullptr) return;
  const std::string name = FormatJob(job.project(), job.job_id());
  if (job.study_uid() == 0) {
    if (const core::RunPtr run = view.Run(job.run_uid()); run != nullptr) {
      AddPast(name, *run, job.create_us(), *spec, response);
    }
    return;
  }
  int32_t after = 0;
  while (true) {
    const std::vector<core::TrialPtr> trials = view.Trials(job.study_uid(), after, kTrialsPerRead);
    for (const core::TrialPtr& trial : trials) {
      after = trial->id();
      if (const core::RunPtr run = view.Run(trial->run_uid()); run != nullptr) {
        AddPast(name, *run, trial->request_us(), *spec, response);
      }
    }
    if (trials.size() < kTrialsPerRead) return;
  }
}

absl::StatusOr<std::string> ProjectToRead(const Context& context, const core::Principal& principal,
                                          const std::string& parent) {
  absl::StatusOr<std::string> project = ProjectOf(parent);
  if (!project.ok()) return project.status();
  if (*project == "-") project->clear();  // all that may be read
  const std::string asked = project->empty() ? principal.project : *project;
  if (absl::Status status = core::CheckAccess(principal, core::Action::kRead, asked, "");
      !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckProject(context.runtime->view(), *project); !status.ok()) {
    return status;
  }
  return project;
}

}  // namespace

absl::StatusOr<v1::GetUsageResponse> GetUsage(const Context& context,
                                              const core::Principal& principal,
                                              const v1::GetUsageRequest& request) {
  absl::StatusOr<std::string> project = ProjectToRead(context, principal, request.parent());
  if (!project.ok()) return project.status();
  Days days;
  if (request.has_start_time()) {
    days.from = core::DayOf(request.start_time().seconds() * core::kSecondUs);
  }
  if (request.has_end_time()) {
    days.until = core::DayOf(request.end_time().seconds() * core::kSecondUs - 1) + 1;
  }
  if (days.until <= days.from) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     "the end is not after the start", "give a later end_time", "end_time");
  }
  Sums sums(request.by());
  Uids uids;
  if (request.by() == v1::GetUsageRequest::JOB) {
    absl::StatusOr<uint64_t> before = PageStart(request.page_token());
    if (!before.ok()) return before.status();
    absl::StatusOr<int> size = PageSize(request.page_size());
    if (!size.ok()) return size.status();
    uids.before = *before;
    const auto rows_max = static_cast<size_t>(request.page_size() == 0 ? kJobsScannedMax : *size);
    AddJobs(context, principal, *project, days, rows_max, &uids, &sums);
  } else {
    AddLedger(context, principal, *project, days, &sums);
  }
  AddLive(context, principal, *project, days, uids, &sums);
  v1::GetUsageResponse response = sums.Take();
  if (uids.from > 0) response.set_next_page_token(absl::StrCat(uids.from));
  return response;
}

absl::StatusOr<v1::ExportHistoryResponse> ExportHistory(const Context& context,
                                                        const core::Principal& principal,
                                                        const v1::ExportHistoryRequest& request) {
  absl::StatusOr<std::string> project = ProjectToRead(context, principal, request.parent());
  if (!project.ok()) return project.status();
  absl::StatusOr<int> size = PageSize(request.page_size());
  if (!size.ok()) return size.status();
  absl::StatusOr<uint64_t> before = PageStart(request.page_token());
  if (!before.ok()) return before.status();
  const runtime::View& view = context.runtime->view();
  v1::ExportHistoryResponse response;
  uint64_t next = *before;
  for (int scanned = 0; scanned < kJobsScannedMax;) {
    const std::vector<core::JobPtr> jobs = view.Jobs(*project, next, *size);
    for (const core::JobPtr& job : jobs) {
      if (response.runs_size() >= *size) {
        response.set_next_page_token(absl::StrCat(next));
        return response;
      }
      next = job->uid();
      ++scanned;
      if (MayRead(principal, job->project())) AddPastOfJob(view, *job, &response);
    }
    if (static_cast<int>(jobs.size()) < *size) return response;
  }
  response.set_next_page_token(absl::StrCat(next));
  return response;
}

}  // namespace trainyard::api
