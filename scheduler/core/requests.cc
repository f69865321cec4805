// See requests.h.
#include "scheduler/core/requests.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/sha256.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

constexpr size_t kRequestIdMax = 128;

ShortId KeyOf(const Command& command) {
  return ShortKey(absl::StrCat(command.principal.name, "\n", command.request_id));
}

std::string HashOf(const Command& command) { return Sha256Of(command.body_hash).substr(0, 8); }

// Name of a job or study in memory; "" when it has left: then its uid is the answer.
std::string NameOf(const State& state, uint64_t uid) {
  if (const auto job = state.jobs.find(uid); job != state.jobs.end()) {
    return FormatJob(job->second->project(), job->second->job_id());
  }
  const auto study = state.studies.find(uid);
  if (study == state.studies.end()) return "";
  return FormatStudy(study->second->project(), study->second->study_id());
}

}  // namespace

absl::StatusOr<std::optional<Reply>> FindAnswer(const State& state, const Command& command,
                                                int64_t now_us) {
  if (command.request_id.empty()) return std::nullopt;
  if (command.request_id.size() > kRequestIdMax) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     absl::StrCat("the request id has ", command.request_id.size(), " characters"),
                     absl::StrCat("use at most ", kRequestIdMax), "request_id");
  }
  const ShortId key = KeyOf(command);
  const auto found = state.requests.find(key);
  if (found == state.requests.end()) return std::nullopt;
  const SeenRequest& request = found->second;
  if (request.time_us < now_us - kRequestKeepUs) return std::nullopt;
  if (ShortHash(HashOf(command)) != request.body_hash) {
    return MakeError(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
                     absl::StrCat("request id ", command.request_id,
                                  " was used before for a request with another content"),
                     "use a new request id for each new request", "request_id");
  }
  Reply reply;
  reply.uid = request.uid;
  reply.name = NameOf(state, request.uid);
  if (const auto more = state.long_requests.find(key); more != state.long_requests.end()) {
    const records::RequestRow& row = *more->second;
    if (!row.result().empty()) reply.name = row.result();
    reply.trials.assign(row.trials().begin(), row.trials().end());
  }
  reply.repeated = true;
  return reply;
}

void RememberAnswer(const Reply& reply, Draft* draft) {
  const Command& command = draft->command();
  // An ask that was answered in part is asked again with the same id.
  if (command.request_id.empty() || draft->events().empty() || reply.short_by > 0) return;
  records::RequestRow* request = draft->events().back().mutable_request();
  request->set_key(KeyBytes(KeyOf(command)));
  request->set_body_hash(HashOf(command));
  // The name of a job or study is found by its uid: submits and tells are too many to keep it for
  // each.
  const bool is_known =
      draft->events().front().has_job_created() || reply.name == NameOf(draft->state(), reply.uid);
  if (!is_known) request->set_result(reply.name);
  request->set_time_us(draft->now_us());
  request->set_uid(reply.uid);
  for (const int32_t trial : reply.trials) request->add_trials(trial);
}

}  // namespace trainyard::core
