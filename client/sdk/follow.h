// Following a job for as long as it takes: its log lines, its states. Both survive a scheduler that
// goes away and comes back: the log resumes at the last cursor, the watch at the last revision, so
// that nothing is lost and nothing comes twice.
// Blocking; thread-safe as the client is.
#ifndef TRAINYARD_CLIENT_SDK_FOLLOW_H_
#define TRAINYARD_CLIENT_SDK_FOLLOW_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/sdk/client.h"

namespace trainyard::client {

bool IsTerminal(v1::JobState state);

// How long a scheduler that was reached before may be away before following gives up.
inline constexpr absl::Duration kFollowPatience = absl::Minutes(15);

// Calls `sink` for each line, and `after_batch` once no further line is at hand; ends when the log
// has ended (or, without request.follow, at its present end), or when `sink` returns false. Errors
// of the server are returned; of UNAVAILABLE only those before the first answer.
absl::Status FollowLogs(
    Client* client, v1::TailLogsRequest request, absl::FunctionRef<bool(const v1::LogLine&)> sink,
    absl::FunctionRef<void()> after_batch = [] {});

// Waits until `done` says so of the job (called for each state seen), or until `deadline`:
// DEADLINE_EXCEEDED (TIMED_OUT) with the last state in its message.
absl::StatusOr<v1::Job> WaitForJob(Client* client, const std::string& name, absl::Time deadline,
                                   absl::FunctionRef<bool(const v1::Job&)> done);
// The same, and calls `tick` with the last state each time `every` has passed; an error of it ends
// the wait and is returned.
absl::StatusOr<v1::Job> WaitForJob(Client* client, const std::string& name, absl::Time deadline,
                                   absl::FunctionRef<bool(const v1::Job&)> done,
                                   absl::Duration every,
                                   absl::FunctionRef<absl::Status(const v1::Job&)> tick);

}  // namespace trainyard::client

#endif  // TRAINYARD_CLIENT_SDK_FOLLOW_H_
