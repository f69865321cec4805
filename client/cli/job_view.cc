// See job_view.h.
#include "client/cli/job_view.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/job_parts.h"
#include "client/cli/node_view.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

std::string AgeOf(const v1::Job& job, absl::Time now) {
  const bool rests = job.state() == v1::PAUSED;  // a pause is no time of its own
  if (!job.has_start_time() || rests) return "";
  const absl::Time end = job.has_end_time() ? TimeOf(job.end_time()) : now;
  return ShortDuration(end - TimeOf(job.start_time()));
}

std::string TrialsOf(const v1::Job& job) {
  if (!IsTuning(job)) return "";
  const v1::TrialCounts& counts = job.trials();
  const int total = counts.requested() + counts.active() + counts.stopping() + counts.succeeded() +
                    counts.infeasible();
  std::string out = absl::StrCat(counts.succeeded() + counts.infeasible());
  absl::StrAppend(&out, "/",
                  job.spec().max_trial_count() > 0 ? job.spec().max_trial_count() : total);
  return out;
}

// What a person wants to know next to the state.
std::string DetailOf(const v1::Job& job) {
  if (job.state() == v1::QUEUED) {
    return job.queue_position() > 0
               ? absl::StrCat("#", job.queue_position(), " ", job.waiting_reason())
               : job.waiting_reason();
  }
  const std::string& message = job.error().message();
  return message.substr(0, message.find('\n'));
}

void AddLine(absl::string_view key, absl::string_view value, std::string* out) {
  if (!value.empty()) absl::StrAppendFormat(out, "%-13s%s\n", absl::StrCat(key, ":"), value);
}

std::string Indent(absl::string_view text) {
  std::string out;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    absl::StrAppend(&out, "    ", Printable(line), "\n");
  }
  return out;
}

std::string TailOf(const v1::ExitRecord& exit) {
  std::string tail = exit.stderr_tail();
  while (!tail.empty() && tail.back() == '\n') tail.pop_back();
  return tail;
}

// As docs/errors.md names it.
std::string CauseName(v1::ExitCause cause) {
  return std::string(absl::StripSuffix(v1::ExitCause_Name(cause), "_CAUSE"));
}

std::string ExitText(const v1::ExitRecord& exit) {
  std::vector<std::string> parts;
  if (exit.cause() != v1::EXIT_CAUSE_UNSPECIFIED) parts.push_back(CauseName(exit.cause()));
  if (exit.rank() >= 0) parts.push_back(absl::StrCat("rank ", exit.rank()));
  if (!exit.node().empty()) parts.push_back(absl::StrCat("node ", exit.node()));
  if (exit.signal() != 0) parts.push_back(absl::StrCat("signal ", exit.signal()));
  if (exit.signal() == 0 && exit.exit_code() != 0) {
    parts.push_back(absl::StrCat("exit code ", exit.exit_code()));
  }
  return absl::StrJoin(parts, ", ");
}

// "2 cores, 4 GiB, 1 GPU (A100)": what one replica asks for.
std::string NeedsOf(const v1::Resources& resources) {
  std::vector<std::string> parts;
  if (resources.cpu_milli() > 0) {
    parts.push_back(absl::StrFormat("%g %s", static_cast<double>(resources.cpu_milli()) / 1000,
                                    resources.cpu_milli() == 1000 ? "core" : "cores"));
  }
  if (resources.memory_bytes() > 0) parts.push_back(BytesText(resources.memory_bytes()));
  std::string gpus;
  if (resources.gpu_milli() > 0) {
    gpus = absl::StrFormat("%g GPU", static_cast<double>(resources.gpu_milli()) / 1000);
  } else if (resources.gpu_count() > 0) {
    gpus = absl::StrCat(
        resources.gpu_count(), " ",
        resources.gpu_profile().empty() ? "GPU" : absl::StrCat(resources.gpu_profile(), " slice"),
        resources.gpu_count() == 1 ? "" : "s");
  }
  if (!gpus.empty() && resources.gpu_models_size() > 0) {
    absl::StrAppend(&gpus, " (", absl::StrJoin(resources.gpu_models(), " or "), ")");
  }
  if (!gpus.empty()) parts.push_back(gpus);
  return absl::StrJoin(parts, ", ");
}

// "worker 3 x 2 cores, 4 GiB"
std::string PoolText(const v1::WorkerPool& pool) {
  const std::string needs = NeedsOf(pool.resources());
  return absl::StrCat(pool.role(), pool.role().empty() ? "" : " ",
                      std::max(1, pool.replica_count()), " x ",
                      needs.empty() ? "nothing asked for" : needs);
}

// As how many ranks it runs, on what, and for how long at most.
void AddShape(const v1::JobSpec& spec, std::string* out) {
  const v1::Launch& launch = spec.launch();
  AddLine("ranks",
          absl::StrCat(RanksOf(spec), spec.has_study_spec() ? " a trial" : "",
                       launch.min_replicas() > 0
                           ? absl::StrCat(", at least ", launch.min_replicas(), " replicas")
                           : ""),
          out);
  for (const v1::WorkerPool& pool : spec.worker_pools()) AddLine("replicas", PoolText(pool), out);
  const v1::Scheduling& scheduling = spec.scheduling();
  if (scheduling.timeout().seconds() > 0) {
    AddLine("time limit", ShortDuration(absl::Seconds(scheduling.timeout().seconds())), out);
  }
  if (scheduling.max_wait().seconds() > 0) {
    AddLine("max wait", ShortDuration(absl::Seconds(scheduling.max_wait().seconds())), out);
  }
  if (scheduling.preemptible()) AddLine("preemptible", "yes", out);
}

std::string AttemptLines(const v1::Job& job, absl::Time now) {
  std::string out;
  for (const v1::AttemptSummary& attempt : job.attempts()) {
    absl::StrAppend(&out, "  ", attempt.state(), " on ", absl::StrJoin(attempt.nodes(), ","));
    if (attempt.has_start_time()) {
      const absl::Time end = attempt.has_end_time() ? TimeOf(attempt.end_time()) : now;
      absl::StrAppend(&out, " for ", ShortDuration(end - TimeOf(attempt.start_time())));
    }
    if (attempt.checkpoint_step() > 0) {
      absl::StrAppend(&out, ", checkpoint at step ", attempt.checkpoint_step());
    }
    if (attempt.exit().cause() != v1::EXIT_CAUSE_UNSPECIFIED) {
      absl::StrAppend(&out, ": ", ExitText(attempt.exit()));
    }
    out += "\n";
  }
  return out;
}

std::string TimelineLines(const v1::Job& job) {
  std::string out;
  for (const v1::TimelineEvent& event : job.timeline()) {
    absl::StrAppend(
        &out, "  ", absl::FormatTime("%H:%M:%E3S", TimeOf(event.time()), absl::LocalTimeZone()),
        "  ", event.what(), event.detail().empty() ? "" : "  ", Printable(event.detail()), "\n");
  }
  return out;
}

// The stable reason that a job's error names, "trial 1: METRIC_MISSING: ..."; JOB_FAILED when none.
std::string ReasonIn(absl::string_view message) {
  for (const char* reason : {"ARGUMENT_REFUSED", "METRIC_MISSING", "MODULE_NOT_FOUND",
                             "OUTPUT_NOT_WRITABLE", "TIMED_OUT", "SCHEDULER_UNREACHABLE"}) {
    const size_t at = message.find(absl::StrCat(reason, ": "));
    if (at == absl::string_view::npos) continue;
    const absl::string_view before = message.substr(0, at);
    const bool of_a_trial =
        absl::StartsWith(before, "trial ") || absl::StrContains(before, " trial ");
    if (at == 0 || (of_a_trial && absl::EndsWith(before, ": "))) return reason;
  }
  return "JOB_FAILED";
}

}  // namespace

std::string ShortName(absl::string_view name) {
  return std::string(name.substr(name.rfind('/') + 1));  // npos + 1 is 0
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string ShortTime(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", TimeOf(time), absl::LocalTimeZone());
}

std::string ShortDuration(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrFormat("%dm%02ds", seconds / 60, seconds % 60);
  if (seconds < 86400) return absl::StrFormat("%dh%02dm", seconds / 3600, seconds / 60 % 60);
  return absl::StrFormat("%dd%02dh", seconds / 86400, seconds / 3600 % 24);
}

bool IsTuning(const v1::Job& job) { return job.spec().has_study_spec() || !job.study().empty(); }

Table JobTable(const std::vector<const v1::Job*>& jobs, absl::Time now) {
  Table table;
  table.headers = {"JOB", "STATE", "CREATED", "TIME", "TRIALS", "DETAIL"};
  table.right = {false, false, false, true, true, false};
  for (const v1::Job* job : jobs) {
    table.rows.push_back({ShortName(job->name()), v1::JobState_Name(job->state()),
                          ShortTime(job->create_time()), AgeOf(*job, now), TrialsOf(*job),
                          DetailOf(*job)});
    table.names.push_back(job->name());
  }
  return table;
}

std::string JobPage(const v1::Job& job, absl::Time now) {
  std::string out;
  AddLine("jobId", ShortName(job.name()), &out);
  AddLine("state", v1::JobState_Name(job.state()), &out);
  if (job.state() == v1::QUEUED) AddLine("waiting", job.waiting_reason(), &out);
  if (job.priority() != 0) AddLine("priority", absl::StrCat(job.priority()), &out);
  AddLine("queue", job.queue(), &out);
  if (job.on_hold()) AddLine("hold", "until it is released", &out);
  for (const std::string& name : job.waits_for()) AddLine("after", ShortName(name), &out);
  AddLine("created", ShortTime(job.create_time()), &out);
  AddLine("started", ShortTime(job.start_time()), &out);
  AddLine("ended", ShortTime(job.end_time()), &out);
  AddLine("time", AgeOf(job, now), &out);
  if (job.device_us() > 0) {
    AddLine("used", absl::StrFormat("%.3f GPU hours", static_cast<double>(job.device_us()) / 3.6e9),
            &out);
  } else if (job.cpu_us() > 0) {
    AddLine("used", absl::StrFormat("%.3f core hours", static_cast<double>(job.cpu_us()) / 3.6e9),
            &out);
  }
  AddLine("by", job.principal(), &out);
  AddLine("tier", job.spec().scale_tier(), &out);
  AddLine("module", job.spec().program().python_module(), &out);
  AddLine("command", absl::StrJoin(job.spec().program().command(), " "), &out);
  AddLine("args", absl::StrJoin(job.spec().program().args(), " "), &out);
  AddShape(job.spec(), &out);
  const int held = job.trials().held();
  AddLine("trials", absl::StrCat(TrialsOf(job), held > 0 ? absl::StrCat(", ", held, " held") : ""),
          &out);
  AddLine("output", job.output_uri(), &out);
  for (const auto& [key, value] : job.labels())
    AddLine("label", absl::StrCat(key, "=", value), &out);
  if (job.attempts_size() > 0) absl::StrAppend(&out, "attempts:\n", AttemptLines(job, now));
  if (job.timeline_size() > 0) absl::StrAppend(&out, "timeline:\n", TimelineLines(job));
  if (job.error().cause() != v1::EXIT_CAUSE_UNSPECIFIED || !job.error().message().empty()) {
    absl::StrAppend(&out, "error:       ", job.error().message(), "\n");
    AddLine("where", ExitText(job.error()), &out);
    if (const std::string tail = TailOf(job.error()); !tail.empty()) {
      absl::StrAppend(&out, "  last of stderr:\n", Indent(tail));
    }
  }
  return out;
}

absl::Status VerdictOf(const v1::Job& job, bool log_shown) {
  if (job.state() == v1::SUCCEEDED) return absl::OkStatus();
  const std::string id = ShortName(job.name());
  std::string message = absl::StrCat(id, " ended as ", v1::JobState_Name(job.state()));
  if (!job.error().message().empty()) absl::StrAppend(&message, ": ", job.error().message());
  if (const std::string where = ExitText(job.error()); !where.empty()) {
    absl::StrAppend(&message, "\n  where: ", where);
  }
  if (const std::string tail = TailOf(job.error()); !tail.empty() && !log_shown) {
    std::string indented = Indent(tail);
    indented.pop_back();
    absl::StrAppend(&message, "\n  last of stderr:\n", indented);
  }
  if (job.state() == v1::EXPIRED) {
    return MakeError(absl::StatusCode::kResourceExhausted, "EXPIRED", message,
                     absl::StrCat("submit it with a longer maxWait, or ask for less; history: "
                                  "trainyard jobs describe ",
                                  id));
  }
  return MakeError(absl::StatusCode::kAborted, ReasonIn(job.error().message()), message,
                   absl::StrCat("whole log: trainyard jobs logs ", id,
                                "; history: trainyard jobs describe ", id));
}

}  // namespace trainyard::cli
