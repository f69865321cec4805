// trainyard jobs list (and hp-tuning-jobs list, custom-jobs list): jobs, newest first.
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

constexpr int kPageSize = 1000;

enum class Kind { kAll, kTuning, kPlain };

bool Matches(const v1::Job& job, Kind kind) {
  return kind == Kind::kAll || IsTuning(job) == (kind == Kind::kTuning);
}

// Pages through the list until `limit` jobs (0: all) match.
absl::StatusOr<std::vector<v1::Job>> Fetch(client::Client* client, v1::ListJobsRequest request,
                                           Kind kind, int64_t limit) {
  std::vector<v1::Job> jobs;
  do {
    absl::StatusOr<v1::ListJobsResponse> page = client->ListJobs(request);
    if (!page.ok()) return page.status();
    for (v1::Job& job : *page->mutable_jobs()) {
      if (Matches(job, kind)) jobs.push_back(std::move(job));
      if (limit > 0 && static_cast<int64_t>(jobs.size()) == limit) return jobs;
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return jobs;
}

std::string FilterOf(const Arguments& arguments) {
  std::string filter = arguments.Get("filter");
  if (arguments.Has("state")) {
    absl::StrAppend(&filter, filter.empty() ? "" : " AND ", "state:", arguments.Get("state"));
  }
  return filter;
}

absl::Status ListJobs(Context* context, const Arguments& arguments, Kind kind) {
  const absl::StatusOr<int64_t> limit = arguments.Int("limit", 0, 0, INT64_MAX);
  if (!limit.ok()) return limit.status();
  const absl::StatusOr<std::string> parent = context->Parent();
  if (!parent.ok()) return parent.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::ListJobsRequest request;
  request.set_parent(*parent);
  request.set_page_size(*limit > 0 && *limit < kPageSize && kind == Kind::kAll
                            ? static_cast<int>(*limit)
                            : kPageSize);
  request.set_filter(FilterOf(arguments));
  const bool whole = context->format == Format::kJson || context->format == Format::kYaml ||
                     context->format == Format::kJsonLines;
  request.set_view(whole ? v1::FULL_VIEW : v1::BASIC_VIEW);
  const absl::StatusOr<std::vector<v1::Job>> jobs = Fetch(*client, request, kind, *limit);
  if (!jobs.ok()) return jobs.status();
  std::vector<const v1::Job*> pointers;
  for (const v1::Job& job : *jobs) pointers.push_back(&job);
  PrintList(&context->console(), context->format,
            {{pointers.begin(), pointers.end()}, JobTable(pointers, absl::Now())});
  if (jobs->empty() && context->format == Format::kTable) {
    context->console().ErrLine(
        request.filter().empty() ? "No jobs. Submit one: trainyard run PROGRAM" : "No job is so.");
  }
  return absl::OkStatus();
}

std::vector<Flag> ListFlags() {
  return {
      {.name = "filter", .value = "TEXT", .help = "for example \"state:FAILED AND jobId:rnn*\""},
      {.name = "state",
       .value = "STATE",
       .choices = "QUEUED|PREPARING|RUNNING|SUCCEEDED|FAILED|CANCELLING|CANCELLED|PAUSED|EXPIRED"},
      {.name = "limit", .value = "N", .help = "at most so many"},
      {.name = "page-size", .value = "N", .quiet = true},
      {.name = "region", .value = "R", .quiet = true},
      {.name = "sort-by", .value = "FIELD", .quiet = true},
  };
}

Command Make(const char* words, const char* summary, std::vector<const char*> examples,
             absl::Status (*run)(Context*, const Arguments&)) {
  Command command;
  command.words = words;
  command.summary = summary;
  command.examples = std::move(examples);
  command.flags = ListFlags();
  command.run = run;
  command.prints = true;
  return command;
}

}  // namespace

Command JobsListCommand() {
  return Make("jobs list", "List jobs, newest first.",
              {"trainyard jobs list", "trainyard jobs list --state RUNNING -o name",
               "trainyard jobs list --filter 'state:FAILED AND jobId:rnn*' -o json"},
              [](Context* context, const Arguments& arguments) {
                return ListJobs(context, arguments, Kind::kAll);
              });
}

Command HpTuningJobsListCommand() {
  return Make("hp-tuning-jobs list", "List tuning jobs, newest first.",
              {"trainyard hp-tuning-jobs list", "trainyard hp-tuning-jobs list -o csv"},
              [](Context* context, const Arguments& arguments) {
                return ListJobs(context, arguments, Kind::kTuning);
              });
}

Command CustomJobsListCommand() {
  return Make("custom-jobs list", "List jobs that are no tuning jobs, newest first.",
              {"trainyard custom-jobs list", "trainyard custom-jobs list --limit 5"},
              [](Context* context, const Arguments& arguments) {
                return ListJobs(context, arguments, Kind::kPlain);
              });
}

}  // namespace trainyard::cli
