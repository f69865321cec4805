// See waiting.h.
#include "client/cli/waiting.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

// A node that comes back, or joins, within this time is no reason to give up.
constexpr absl::Duration kHopelessAfter = absl::Seconds(5);

absl::Status NoCapacity(const std::string& id, const std::string& message) {
  return MakeError(
      absl::StatusCode::kResourceExhausted, "NO_CAPACITY", absl::StrCat(id, ": ", message),
      absl::StrCat("ask for less, or add such a node (what there is: trainyard nodes); it stays "
                   "queued until one joins; give it up: trainyard jobs cancel ",
                   id));
}

}  // namespace

WaitingTeller::WaitingTeller(client::Client* client, bool patient,
                             absl::FunctionRef<void(absl::string_view)> say)
    : client_(client), patient_(patient), say_(say) {}

absl::Status WaitingTeller::Look(const v1::Job& job) {
  const std::string id = ShortName(job.name());
  if (job.state() == v1::PAUSED) {
    const std::string line = absl::StrCat(id, " is paused; go on: trainyard jobs resume ", id);
    if (line != told_) say_(told_ = line);
    return absl::OkStatus();
  }
  if (job.state() != v1::QUEUED) {
    told_.clear();
    hopeless_since_ = absl::InfiniteFuture();
    return absl::OkStatus();
  }
  v1::ExplainJobRequest request;
  request.set_name(job.name());
  const absl::StatusOr<v1::ExplainJobResponse> why = client_->ExplainJob(request);
  if (!why.ok() || why->reason().empty()) return absl::OkStatus();  // it may run by now
  std::string line = absl::StrCat("waiting: ", why->message());
  if (why->queue_position() > 1) absl::StrAppend(&line, " (place ", why->queue_position(), ")");
  if (line != told_) say_(told_ = line);
  if (why->reason() != "NO_CAPACITY") {
    hopeless_since_ = absl::InfiniteFuture();
    return absl::OkStatus();
  }
  hopeless_since_ = std::min(hopeless_since_, absl::Now());
  const bool give_up = !patient_ && absl::Now() - hopeless_since_ >= kHopelessAfter;
  return give_up ? NoCapacity(id, why->message()) : absl::OkStatus();
}

absl::StatusOr<v1::Job> WaitTelling(Context* context, client::Client* client,
                                    const std::string& name, absl::Time deadline, bool patient,
                                    absl::FunctionRef<bool(const v1::Job&)> done) {
  Console& console = context->console();
  const auto say = [&](absl::string_view line) {
    if (!context->quiet) console.ErrLine(Styled(line, Style::kDim, console.err_color));
  };
  WaitingTeller teller(client, patient, say);
  return client::WaitForJob(client, name, deadline, done, kWaitingPoll,
                            [&](const v1::Job& job) { return teller.Look(job); });
}

}  // namespace trainyard::cli
