// See follow.h.
#include "client/sdk/follow.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/errors.h"

namespace trainyard::client {
namespace {

// Decides whether a broken stream is opened again, and waits before it is.
class Reconnect {
 public:
  // A reply came: patience and back-off start anew.
  void Answered() {
    answered_ = true;
    attempt_ = 0;
    away_since_ = absl::InfiniteFuture();
  }

  bool Again(const absl::Status& status, absl::Time deadline) {
    // A server that shuts down cancels its streams.
    const bool away = absl::IsUnavailable(status) || absl::IsCancelled(status);
    if (!answered_ || !away) return false;
    const absl::Time now = absl::Now();
    away_since_ = std::min(away_since_, now);
    if (now - away_since_ > kFollowPatience || now >= deadline) return false;
    const absl::Duration wait = absl::Milliseconds(50) * (1 << std::min(attempt_++, 4));
    absl::SleepFor(std::min(wait, deadline - now));
    return true;
  }

 private:
  bool answered_ = false;
  int attempt_ = 0;
  absl::Time away_since_ = absl::InfiniteFuture();
};

absl::Status TimedOut(const std::string& name, const v1::Job& last) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "TIMED_OUT",
                   absl::StrCat(name, " is still ", v1::JobState_Name(last.state())),
                   absl::StrCat("wait longer, or ask why it takes so long: trainyard jobs why ",
                                name.substr(name.rfind('/') + 1)));
}

}  // namespace

bool IsTerminal(v1::JobState state) {
  return state == v1::SUCCEEDED || state == v1::FAILED || state == v1::CANCELLED ||
         state == v1::EXPIRED;
}

absl::Status FollowLogs(Client* client, v1::TailLogsRequest request,
                        absl::FunctionRef<bool(const v1::LogLine&)> sink,
                        absl::FunctionRef<void()> after_batch) {
  Reconnect reconnect;
  bool ended = false;
  bool stopped = false;
  while (true) {
    const absl::Status status =
        client->TailLogs(request, [&](const v1::TailLogsResponse& response) {
          reconnect.Answered();
          for (const v1::LogLine& line : response.lines()) {
            if (!sink(line)) {
              stopped = true;
              return false;
            }
            request.set_cursor(line.cursor());
            request.set_tail_lines(0);
          }
          after_batch();
          ended = ended || response.end();
          return !ended;
        });
    if (ended || stopped || (status.ok() && !request.follow())) return absl::OkStatus();
    // A server that stops may end the stream of a follower in good order.
    const absl::Status why = status.ok() ? absl::UnavailableError("stream ended") : status;
    if (!reconnect.Again(why, absl::InfiniteFuture())) return status;
  }
}

absl::StatusOr<v1::Job> WaitForJob(Client* client, const std::string& name, absl::Time deadline,
                                   absl::FunctionRef<bool(const v1::Job&)> done) {
  return WaitForJob(client, name, deadline, done, absl::InfiniteDuration(),
                    [](const v1::Job&) { return absl::OkStatus(); });
}

absl::StatusOr<v1::Job> WaitForJob(Client* client, const std::string& name, absl::Time deadline,
                                   absl::FunctionRef<bool(const v1::Job&)> done,
                                   absl::Duration every,
                                   absl::FunctionRef<absl::Status(const v1::Job&)> tick) {
  Reconnect reconnect;
  v1::Job last;
  bool finished = false;
  v1::WatchJobRequest request;
  request.set_name(name);
  while (true) {
    const absl::Time until = std::min(deadline, absl::Now() + every);
    const absl::Status status = client->WatchJob(request, until, [&](const v1::Job& job) {
      reconnect.Answered();
      last = job;
      request.set_after_revision(job.revision());
      finished = done(job);
      return !finished;
    });
    if (finished || (status.ok() && IsTerminal(last.state()))) return last;
    if (absl::Now() >= deadline) return TimedOut(name, last);
    if (absl::IsDeadlineExceeded(status)) {
      if (absl::Status ticked = tick(last); !ticked.ok()) return ticked;
      continue;
    }
    // A stream that ended well before the terminal state is opened again like a broken one.
    const absl::Status why = status.ok() ? absl::UnavailableError("stream ended") : status;
    if (!reconnect.Again(why, deadline)) return status.ok() ? TimedOut(name, last) : status;
  }
}

}  // namespace trainyard::client
