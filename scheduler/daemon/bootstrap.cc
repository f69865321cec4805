// See bootstrap.h.
#include "scheduler/daemon/bootstrap.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/names.h"
#include "common/sha256.h"
#include "common/spec/spec.h"
#include "glog/logging.h"

namespace trainyard::daemon {
namespace {

absl::Status Admit(runtime::Runtime* runtime, absl::string_view secret, absl::string_view prefix,
                   journal::v1::TokenRow row) {
  const core::TokenPtr known = runtime->view().TokenByHash(Sha256Of(secret));
  if (known != nullptr && known->revoked()) {
    LOG(WARNING) << "the token in the state folder's " << prefix
                 << " file was revoked and stays so;"
                 << " remove the file to have a new one made";
    return absl::OkStatus();
  }
  if (known != nullptr && known->node_id() == row.node_id()) return absl::OkStatus();
  row.set_hash(Sha256Of(secret));
  row.set_id(absl::StrCat(prefix, HexOf(row.hash()).substr(0, 12)));
  return Await(runtime, core::CreateToken{std::move(row)});
}

}  // namespace

absl::Status Await(runtime::Runtime* runtime, core::CommandBody body) {
  core::Command command;
  command.principal.name = "system";
  command.principal.role = v1::ADMIN;
  command.principal.is_system = true;
  command.body = std::move(body);
  struct Waiting {
    Mutex mutex;
    CondVar changed;
    bool answered = false;
    absl::Status status;
  };
  auto waiting = std::make_shared<Waiting>();
  runtime->Post(std::move(command), [waiting](const absl::StatusOr<core::Reply>& reply) {
    MutexLock lock(&waiting->mutex);
    waiting->answered = true;
    waiting->status = reply.status();
    waiting->changed.NotifyAll();
  });
  MutexLock lock(&waiting->mutex);
  while (!waiting->answered) waiting->changed.Wait(&waiting->mutex);
  return waiting->status;
}

absl::Status SeedSettings(runtime::Runtime* runtime) {
  const std::vector<journal::v1::ProjectRow> projects = runtime->view().Projects();
  const bool has_default = std::any_of(projects.begin(), projects.end(), [](const auto& project) {
    return project.project_id() == "default";
  });
  if (!has_default) {
    absl::Status status = Await(runtime, core::CreateProject{"default", ""});
    if (!status.ok()) return status;
  }
  // Tiers seed the first start alone; later ones are an administrator's to change.
  if (!runtime->view().Tiers().empty()) return absl::OkStatus();
  for (const v1::ScaleTier& tier : spec::DefaultTiers()) {
    absl::Status status = Await(runtime, core::SetTier{tier});
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status AdmitOwner(runtime::Runtime* runtime, absl::string_view secret) {
  journal::v1::TokenRow row;
  row.set_user("owner");
  row.set_role(v1::ADMIN);
  return Admit(runtime, secret, "owner", std::move(row));
}

absl::Status AdmitAgent(runtime::Runtime* runtime, absl::string_view secret,
                        const std::string& node_id) {
  absl::Status status = CheckId("embedded_node", node_id);
  if (!status.ok()) return status;
  journal::v1::TokenRow row;
  row.set_role(v1::AGENT);
  row.set_node_id(node_id);
  return Admit(runtime, secret, "agent", std::move(row));
}

}  // namespace trainyard::daemon
