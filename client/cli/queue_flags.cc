// See queue_flags.h.
#include "client/cli/queue_flags.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/cli/fault_list.h"
#include "client/cli/job_view.h"
#include "client/cli/waiting.h"
#include "client/sdk/client.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

constexpr int kPriorityMax = 1000;

absl::Status ReadSpan(const Arguments& arguments, const char* flag,
                      google::protobuf::Duration* span) {
  if (!arguments.Has(flag)) return absl::OkStatus();
  const absl::StatusOr<absl::Duration> value = arguments.Duration(flag, absl::ZeroDuration());
  if (!value.ok()) return value.status();
  span->set_seconds(absl::ToInt64Seconds(*value));
  return absl::OkStatus();
}

// "prepare,train:end"
absl::Status ReadAfter(const Arguments& arguments, v1::Scheduling* scheduling) {
  FaultList faults;
  if (arguments.Has("after")) scheduling->clear_after();
  for (const std::string& job : arguments.List("after")) {
    absl::string_view name = job;
    const bool on_end = absl::ConsumeSuffix(&name, ":end");
    if (const size_t colon = name.find(':'); colon != absl::string_view::npos) {
      const absl::string_view before = name.substr(0, colon);
      faults.Add(
          UsageError(absl::StrCat("--after: \"", name.substr(colon + 1), "\" is no condition"),
                     absl::StrCat("write ", before, " to wait for its success, or ", before,
                                  ":end to wait for its end")));
      continue;
    }
    v1::Dependency* const dependency = scheduling->add_after();
    dependency->set_job(std::string(name));
    if (on_end) dependency->set_on(v1::Dependency::END);
  }
  return faults.Take();
}

}  // namespace

std::vector<Flag> QueueFlags() {
  return {
      {.name = "priority", .value = "N", .help = "0 to 1000, higher first"},
      {.name = "queue", .value = "Q", .help = "the queue to wait in"},
      {.name = "hold", .help = "wait until trainyard jobs release"},
      {.name = "after",
       .value = "JOB,...",
       .help = "start when these succeeded; JOB:end: when it ended",
       .complete = Complete::kJob,
       .repeated = true},
      {.name = "max-wait", .value = "TIME", .help = "EXPIRED when it has not started by then"},
      {.name = "time-limit", .value = "TIME", .help = "how long it may run"},
      {.name = "patient", .help = "queue it also when no node could run it yet"},
      {.name = "plan", .help = "say when it would start, submit nothing"},
  };
}

absl::Status ReadQueueFlags(const Arguments& arguments, v1::JobSpec* spec) {
  FaultList faults;
  v1::Scheduling* const scheduling = spec->mutable_scheduling();
  const absl::StatusOr<int64_t> priority = arguments.Int("priority", -1, 0, kPriorityMax);
  if (faults.Add(priority) && *priority >= 0) {
    scheduling->set_priority(static_cast<int32_t>(*priority));
  }
  if (arguments.Has("queue")) scheduling->set_queue(arguments.Get("queue"));
  if (arguments.Has("hold")) scheduling->set_hold(true);
  faults.Add(ReadAfter(arguments, scheduling));
  if (arguments.Has("max-wait")) {
    faults.Add(ReadSpan(arguments, "max-wait", scheduling->mutable_max_wait()));
  }
  if (arguments.Has("time-limit")) {
    faults.Add(ReadSpan(arguments, "time-limit", scheduling->mutable_timeout()));
  }
  return faults.Take();
}

void NameQueueFlags(const Arguments& arguments, std::map<std::string, std::string>* flags) {
  for (const auto& [flag, field] :
       {std::pair("priority", "priority"), std::pair("queue", "queue"), std::pair("after", "after"),
        std::pair("max-wait", "maxWait"), std::pair("time-limit", "timeout")}) {
    if (!arguments.Has(flag)) continue;
    (*flags)[absl::StrCat("scheduling.", field)] = absl::StrCat("--", flag);
  }
}

absl::StatusOr<absl::Time> ReadTime(const Arguments& arguments, const std::string& flag) {
  const std::string text = arguments.Get(flag);
  const absl::Time now = absl::Now();
  const absl::TimeZone zone = absl::LocalTimeZone();
  if (!text.empty() && text[0] == '+') {
    Arguments span;
    span.Add(flag, text.substr(1));
    const absl::StatusOr<absl::Duration> later = span.Duration(flag, absl::ZeroDuration());
    if (!later.ok()) return later.status();
    return now + *later;
  }
  std::string error;
  absl::Time time;
  for (const char* format : {"%Y-%m-%dT%H:%M:%S%Ez", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M",
                             "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
    if (absl::ParseTime(format, text, zone, &time, &error)) return time;
  }
  const std::string today = absl::FormatTime("%Y-%m-%d ", now, zone);
  if (absl::ParseTime("%Y-%m-%d %H:%M", today + text, zone, &time, &error)) {
    return time > now ? time : time + absl::Hours(24);
  }
  return UsageError(absl::StrCat("--", flag, ": \"", text, "\" is no time"),
                    "write 18:00, 2026-12-01T18:00 or +2h");
}

std::string ExplanationText(const v1::ExplainJobResponse& answer) {
  std::string out = absl::StrCat(answer.message(), "\n");
  if (!answer.reason().empty()) absl::StrAppend(&out, "reason:      ", answer.reason(), "\n");
  if (answer.queue_position() > 0) {
    absl::StrAppend(&out, "place:       ", answer.queue_position(), "\n");
  }
  for (const std::string& blocker : answer.blockers()) {
    absl::StrAppend(&out, "behind:      ", ShortName(blocker), "\n");
  }
  if (answer.has_estimated_start()) {
    absl::StrAppend(&out, "expected:    ", ShortTime(answer.estimated_start()));
    if (answer.has_latest_start()) {
      absl::StrAppend(&out, " (8 of 10 between ", ShortTime(answer.earliest_start()), " and ",
                      ShortTime(answer.latest_start()), ")");
    } else if (answer.has_estimate_band()) {
      absl::StrAppend(&out, " ±", ShortDuration(absl::Seconds(answer.estimate_band().seconds())));
    }
    out += "\n";
  } else if (answer.reason() == "WAITING_FOR_RESOURCES" || answer.reason() == "WAITING_BEHIND" ||
             answer.reason() == "WAITING_FOR_PREEMPTION" ||
             answer.reason() == "WAITING_FOR_RESERVATION") {
    out += "expected:    unknown, until runs like those ahead have ended\n";
  }
  for (const std::string& change : answer.counterfactuals()) {
    absl::StrAppend(&out, "would start: ", change, "\n");
  }
  return out;
}

absl::Status ShowPlan(Context* context, const Submission& submission) {
  const absl::StatusOr<std::string> parent = context->Parent();
  if (!parent.ok()) return parent.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::PlanJobRequest request;
  request.set_parent(*parent);
  *request.mutable_spec() = submission.spec;
  const absl::StatusOr<v1::ExplainJobResponse> answer = (*client)->PlanJob(request);
  if (!answer.ok()) return NamedFaults(submission, answer.status());
  SayNotes(context, submission);
  Table table;
  table.headers = {"STARTS_NOW", "REASON", "PLACE", "NODES", "MESSAGE"};
  table.rows = {{answer->starts_now() ? "yes" : "no", answer->reason(),
                 absl::StrCat(answer->queue_position()), absl::StrJoin(answer->nodes(), " "),
                 answer->message()}};
  const bool never = IsNever(answer->reason());
  PrintOne(&context->console(), context->format, *answer, "",
           absl::StrCat(never ? "never: " : "", ExplanationText(*answer)), table);
  if (!never) return absl::OkStatus();
  const bool quota = answer->reason() != "NO_CAPACITY";
  return MakeError(
      absl::StatusCode::kResourceExhausted, answer->reason(),
      quota ? answer->message()
            : absl::StrCat("no node of this cluster could ever run it: ", answer->message()),
      quota ? "ask for less, or have the limit raised (trainyard quota list)"
            : "ask for less, or add such a node (what there is: trainyard nodes)");
}

}  // namespace trainyard::cli
