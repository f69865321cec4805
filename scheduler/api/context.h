// What every verb of the API needs, and the shape of asynchronous answers. No gRPC here: a verb has
// one meaning whatever carries it. All verbs may be called from any thread; answers to writes come
// on the commit thread and must not block.
#ifndef TRAINYARD_SCHEDULER_API_CONTEXT_H_
#define TRAINYARD_SCHEDULER_API_CONTEXT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "google/protobuf/message.h"
#include "scheduler/api/best.h"
#include "scheduler/core/core.h"
#include "scheduler/runtime/runtime.h"
#include "scheduler/store/store.h"

namespace trainyard::api {

struct Context {
  runtime::Runtime* runtime = nullptr;
  store::Store* store = nullptr;
  const Clock* clock = &RealClock();
  std::string secret;        // signs grants
  std::string http_address;  // of the store, host:port
  std::string version;
  std::string join_address;    // what a new agent connects to
  std::string ca_certificate;  // PEM, empty without TLS
  absl::Time start_time;
  std::shared_ptr<BestBook> best = std::make_shared<BestBook>();
};

template <typename Response>
using Done = std::function<void(absl::StatusOr<Response>)>;

inline constexpr int kPageDefault = 100;
inline constexpr int kPageMax = 1000;
inline constexpr int kBatchMax = 1000;

// `asked` 0: the default; beyond the maximum: the maximum. INVALID_ARGUMENT when negative.
absl::StatusOr<int> PageSize(int asked);
// A page token is the last uid shown. INVALID_ARGUMENT when it is not one of ours.
absl::StatusOr<uint64_t> PageStart(absl::string_view token);

// A command of `principal`; the hash is over the request without its request id.
core::Command MakeCommand(const core::Principal& principal, absl::string_view request_id,
                          const google::protobuf::Message& request, core::CommandBody body);

// "projects/p" -> "p"; "" -> "default".
absl::StatusOr<std::string> ProjectOf(absl::string_view parent);

absl::Status NotFound(absl::string_view what, absl::string_view name);

// NOT_FOUND with the nearest name when there is no such project; "" is every project.
absl::Status CheckProject(const runtime::View& view, const std::string& project);

// Job, study or trial by its full name, after the access check for `action`.
struct FoundTrial {
  core::StudyPtr study;
  core::TrialPtr trial;
};
absl::StatusOr<core::JobPtr> FindJob(const Context& context, const core::Principal& principal,
                                     core::Action action, absl::string_view name);
absl::StatusOr<core::StudyPtr> FindStudy(const Context& context, const core::Principal& principal,
                                         core::Action action, absl::string_view name);
absl::StatusOr<FoundTrial> FindTrial(const Context& context, const core::Principal& principal,
                                     core::Action action, absl::string_view name);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_CONTEXT_H_
