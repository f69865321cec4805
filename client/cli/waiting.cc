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
constexpr int64_t kSmallBytes = int64_t{256} << 20;

// More than the smallest of nodes has: whether anybody could run it is worth asking.
bool IsDemanding(const v1::JobSpec& spec) {
  int64_t replicas = 0;
  for (const v1::WorkerPool& pool : spec.worker_pools()) {
    const v1::Resources& resources = pool.resources();
    replicas += pool.replica_count();
    if (resources.gpu_count() > 0 || resources.gpu_milli() > 0 || resources.cpu_milli() > 1000 ||
        resources.memory_bytes() > kSmallBytes || !pool.machine_type().empty()) {
      return true;
    }
  }
  const bool small_tier =
      spec.scale_tier().empty() || spec.scale_tier() == "BASIC" || spec.scale_tier() == "CUSTOM";
  return replicas * std::max(1, spec.launch().processes_per_replica()) > 1 ||
         !spec.scheduling().node_selector().empty() || !small_tier;
}

}  // namespace

bool NodesAreSteady(client::Client* client) {
  const absl::StatusOr<v1::ListNodesResponse> nodes = client->ListNodes({});
  if (!nodes.ok() || nodes->nodes().empty()) return false;
  return std::none_of(nodes->nodes().begin(), nodes->nodes().end(), [](const v1::Node& node) {
    return node.state() == v1::UNREACHABLE || node.state() == v1::NODE_STATE_UNSPECIFIED;
  });
}

bool IsNever(absl::string_view reason) {
  return reason == "NO_CAPACITY" || reason == "QUOTA_BELOW_NEED";
}

absl::Status NeverError(const std::string& job_id, const Never& never) {
  const absl::string_view mend =
      never.reason == "NO_CAPACITY"
          ? "add such a node (what there is: trainyard nodes); it stays queued until one joins"
          : "have the limit raised (trainyard quota list); it stays queued until then";
  return MakeError(
      absl::StatusCode::kResourceExhausted, never.reason, absl::StrCat(job_id, ": ", never.why),
      absl::StrCat("ask for less, or ", mend, "; give it up: trainyard jobs cancel ", job_id));
}

Never WhyNever(Context* context, const v1::JobSpec& spec) {
  if (!IsDemanding(spec)) return {};
  const absl::StatusOr<std::string> parent = context->Parent();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!parent.ok() || !client.ok()) return {};
  v1::PlanJobRequest request;
  request.set_parent(*parent);
  *request.mutable_spec() = spec;
  const absl::StatusOr<v1::ExplainJobResponse> answer = (*client)->PlanJob(request);
  if (!answer.ok() || !IsNever(answer->reason())) return {};
  if (answer->reason() == "NO_CAPACITY" && !NodesAreSteady(*client)) return {};
  return {answer->reason(), answer->message()};
}

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
    last_ = {};
    hopeless_since_ = absl::InfiniteFuture();
    return absl::OkStatus();
  }
  // The whole answer is a search for what would start the job: it is asked for when the sentence,
  // which every look brings, is another one.
  // One that has its place, and is in no queue, waits for nodes: those may cease to answer.
  const bool placed = job.queue_position() == 0 && last_.reason != "HELD";
  if (last_.reason.empty() || placed || job.waiting_reason() != sentence_) {
    v1::ExplainJobRequest request;
    request.set_name(job.name());
    const absl::StatusOr<v1::ExplainJobResponse> why = client_->ExplainJob(request);
    if (!why.ok() || why->reason().empty()) return absl::OkStatus();  // it may run by now
    last_ = {why->reason(), why->message()};
    sentence_ = job.waiting_reason();
  }
  std::string line = absl::StrCat("waiting: ", last_.why);
  if (job.queue_position() > 1) absl::StrAppend(&line, " (place ", job.queue_position(), ")");
  if (line != told_) say_(told_ = line);
  if (!IsNever(last_.reason)) {
    hopeless_since_ = absl::InfiniteFuture();
    return absl::OkStatus();
  }
  hopeless_since_ = std::min(hopeless_since_, absl::Now());
  const bool give_up =
      !patient_ && (absl::Now() - hopeless_since_ >= kHopelessAfter || NodesAreSteady(client_));
  return give_up ? NeverError(id, last_) : absl::OkStatus();
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
