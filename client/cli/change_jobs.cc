// See change_jobs.h.
#include "client/cli/change_jobs.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

void Print(Context* context, const std::vector<v1::Job>& jobs, absl::string_view outcome) {
  if (!context->format_given) {
    if (context->quiet) return;
    for (const v1::Job& job : jobs) {
      context->console().ErrLine(
          absl::StrCat(ShortName(job.name()), ": ",
                       outcome.empty() ? v1::JobState_Name(job.state()) : std::string(outcome)));
    }
    return;
  }
  std::vector<const v1::Job*> pointers;
  for (const v1::Job& job : jobs) pointers.push_back(&job);
  PrintList(&context->console(), context->format,
            {"jobs", {pointers.begin(), pointers.end()}, JobTable(pointers, absl::Now())});
}

}  // namespace

absl::Status ChangeJobs(Context* context, const Arguments& arguments, JobChange change,
                        absl::string_view outcome) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  std::vector<v1::Job> jobs;
  v1::Faults faults;
  absl::Status first;
  for (size_t i = 0; i < arguments.words().size(); ++i) {
    // Each job needs a request id of its own.
    const std::string request_id = context->request_id.empty() || i == 0
                                       ? context->request_id
                                       : absl::StrCat(context->request_id, ".", i + 1);
    const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(i));
    absl::StatusOr<v1::Job> job =
        name.ok() ? change(*client, *name, request_id) : absl::StatusOr<v1::Job>(name.status());
    if (job.ok()) {
      jobs.push_back(*std::move(job));
      continue;
    }
    faults.MergeFrom(FaultsOf(job.status()));
    first.Update(job.status());
  }
  Print(context, jobs, outcome);
  return first.ok() ? first : MakeError(first.code(), faults);
}

}  // namespace trainyard::cli
