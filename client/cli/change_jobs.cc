// See change_jobs.h.
#include "client/cli/change_jobs.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

void Print(Context* context, const std::vector<v1::Job>& jobs, JobOutcome outcome) {
  if (!context->format_given) {
    if (context->quiet) return;
    for (const v1::Job& job : jobs) {
      context->console().ErrLine(absl::StrCat(ShortName(job.name()), ": ", outcome(job)));
    }
    return;
  }
  std::vector<const v1::Job*> pointers;
  for (const v1::Job& job : jobs) pointers.push_back(&job);
  PrintList(&context->console(), context->format,
            {{pointers.begin(), pointers.end()}, JobTable(pointers, absl::Now())});
}

// The job when it has ended; nullopt when it has not, or cannot be read: then the change says why.
std::optional<v1::Job> Ended(client::Client* client, const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  absl::StatusOr<v1::Job> job = client->GetJob(request);
  if (!job.ok() || !client::IsTerminal(job->state())) return std::nullopt;
  return *std::move(job);
}

absl::Status NothingTo(const JobVerb& verb, const v1::Job& job) {
  const std::string id = ShortName(job.name());
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                   absl::StrCat(id, " has already ended as ", v1::JobState_Name(job.state()),
                                ": there is nothing to ", verb.verb),
                   absl::StrCat("what it did: trainyard jobs describe ", id,
                                "; to have it once more, submit it again"));
}

absl::StatusOr<v1::Job> ChangeOne(Context* context, client::Client* client, const std::string& word,
                                  const std::string& request_id, const JobVerb& verb,
                                  JobChange change) {
  const absl::StatusOr<std::string> name = context->JobNameOf(word);
  if (!name.ok()) return name.status();
  // A request that is repeated gets its first answer, whatever became of the job since.
  if (!request_id.empty()) return change(client, *name, request_id);
  const std::optional<v1::Job> ended = Ended(client, *name);
  const absl::StatusOr<v1::Job> changed = change(client, *name, request_id);
  // Who may not change the job is told that first.
  const bool refused =
      absl::IsPermissionDenied(changed.status()) || absl::IsUnauthenticated(changed.status());
  if (!ended.has_value() || refused) return changed;
  if (ended->state() != verb.done) return NothingTo(verb, *ended);
  context->console().Note(absl::StrCat(ShortName(*name), " had ended so before"));
  return *ended;
}

}  // namespace

std::string StateOutcome(const v1::Job& job) { return v1::JobState_Name(job.state()); }

absl::Status ChangeJobs(Context* context, const Arguments& arguments, const JobVerb& verb,
                        JobChange change, JobOutcome outcome) {
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
    absl::StatusOr<v1::Job> job =
        ChangeOne(context, *client, arguments.Word(i), request_id, verb, change);
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
