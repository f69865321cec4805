// Why a job does not run yet, told while somebody waits for it: one line on stderr whenever the
// reason changes. One thread at a time.
#ifndef TRAINYARD_CLIENT_CLI_WAITING_H_
#define TRAINYARD_CLIENT_CLI_WAITING_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/cli/context.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::client {
class Client;
}

namespace trainyard::cli {

// How often a waiting job is asked about.
inline constexpr absl::Duration kWaitingPoll = absl::Milliseconds(500);

// Whether nothing about the nodes is about to change: there are some, and none is away. Otherwise a
// job that fits none may well fit one in a moment.
bool NodesAreSteady(client::Client* client);

// Whether a reason for waiting does not pass by itself: NO_CAPACITY, QUOTA_BELOW_NEED.
bool IsNever(absl::string_view reason);

// A reason, with its sentence; empty when there is none.
struct Never {
  std::string reason;
  std::string why;
};

// A job that never starts as the cluster is; it stays queued. Exit code 9.
absl::Status NeverError(const std::string& job_id, const Never& never);

// Why the job could never start in this cluster; empty when it could, when nobody can say, and for
// a job so small that any node could run it.
Never WhyNever(Context* context, const v1::JobSpec& spec);

class WaitingTeller {
 public:
  // `say` gets each new line, without its end. `patient`: a job that no node could ever run is
  // waited for all the same.
  WaitingTeller(client::Client* client, bool patient,
                absl::FunctionRef<void(absl::string_view)> say);

  // Looks at the job once. NeverError (exit code 9) when the job could never start; while nodes
  // come and go, when it has been so for some seconds. The job stays queued.
  absl::Status Look(const v1::Job& job);

 private:
  client::Client* client_;
  bool patient_;
  absl::FunctionRef<void(absl::string_view)> say_;
  std::string told_;
  Never last_;            // the reason and sentence of the last whole answer
  std::string sentence_;  // the job's own then
  absl::Time hopeless_since_ = absl::InfiniteFuture();
};

// WaitForJob that tells on stderr why the job waits.
absl::StatusOr<v1::Job> WaitTelling(Context* context, client::Client* client,
                                    const std::string& name, absl::Time deadline, bool patient,
                                    absl::FunctionRef<bool(const v1::Job&)> done);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_WAITING_H_
