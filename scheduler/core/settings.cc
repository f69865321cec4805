// See settings.h; what is due by the clock is in settings_due.cc.
#include "scheduler/core/settings.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/names.h"
#include "scheduler/core/core.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

constexpr int64_t kMilliMax = int64_t{1} << 40;
constexpr int kSharesMax = 100;
constexpr int kWeightMax = 1'000'000;

absl::Status Wrong(absl::string_view reason, absl::string_view message, absl::string_view fix,
                   absl::string_view field) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message, fix, field);
}

absl::Status CheckQueueRow(const v1::Queue& queue, const State& state) {
  if (queue.priority() < -kPriorityMax || queue.priority() > kPriorityMax) {
    return Wrong("OUT_OF_RANGE", absl::StrCat(queue.priority(), " is outside -1000 to 1000"),
                 "choose another priority", "queue.priority");
  }
  const int64_t usual = MicrosOf(queue.timeout());
  const int64_t most = MicrosOf(queue.timeout_max());
  if (usual < 0 || most < 0 || (most > 0 && usual > most)) {
    return Wrong("OUT_OF_RANGE", "the usual time limit is longer than the longest, or negative",
                 "let the usual limit be at most the longest", "queue.timeout");
  }
  for (const std::string& project : queue.projects()) {
    if (state.projects.count(project) == 0) {
      return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                       absl::StrCat("there is no project ", project), "create it first",
                       "queue.projects");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckReservation(const v1::Reservation& reservation, const Draft& draft) {
  const int64_t from = reservation.start_time().seconds();
  const int64_t until = reservation.end_time().seconds();
  if (from <= 0 || until <= from) {
    return Wrong("OUT_OF_RANGE", "a reservation ends after it begins", "let it end after it begins",
                 "reservation.end_time");
  }
  if (until * kSecondUs <= draft.now_us()) {
    return Wrong("OUT_OF_RANGE", "the reservation is over already", "let it end later",
                 "reservation.end_time");
  }
  for (const std::string& node : reservation.nodes()) {
    if (draft.Agent(node) != nullptr) continue;
    std::vector<std::string> names;
    for (const auto& [name, row] : draft.state().agents) names.push_back(name);
    const std::string near = NearestName(node, names);
    return MakeError(
        absl::StatusCode::kNotFound, "NOT_FOUND", absl::StrCat("there is no node ", node),
        near.empty() ? "trainyard nodes shows them" : absl::StrCat("did you mean ", near, "?"),
        "reservation.nodes");
  }
  return absl::OkStatus();
}

// The place in the tree must name what exists: a project, or a team that some project is of.
absl::Status CheckQuotaName(const std::string& key, const State& state) {
  const std::vector<std::string> parts = absl::StrSplit(key, '/');
  if (parts.size() == 2 && parts[1] == "cluster") return absl::OkStatus();
  if (parts.size() == 3 && parts[1] == "teams") return CheckId("team", parts[2]);
  const bool is_project = parts.size() == 3 && parts[1] == "projects";
  const bool is_user = parts.size() == 5 && parts[1] == "projects" && parts[3] == "users";
  if (!is_project && !is_user) {
    return Wrong("BAD_NAME", absl::StrCat("\"", key, "\" is no place in the quota tree"),
                 "use quotas/cluster, quotas/teams/T, quotas/projects/P or "
                 "quotas/projects/P/users/U",
                 "quota.name");
  }
  if (state.projects.count(parts[2]) == 0) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no project ", parts[2]),
                     "create it first: trainyard projects create", "quota.name");
  }
  if (is_user && parts[4].empty()) {
    return Wrong("BAD_NAME", "the user has no name", "name a user", "quota.name");
  }
  return absl::OkStatus();
}

absl::Status CheckShares(const v1::Quota& quota, const std::string& key) {
  const bool of_user = absl::StrContains(key, "/users/");
  std::set<std::string> models;
  if (quota.shares_size() > kSharesMax) {
    return Wrong("OUT_OF_RANGE", absl::StrCat(quota.shares_size(), " models"),
                 absl::StrCat("name at most ", kSharesMax), "quota.shares");
  }
  for (const v1::Quota::Share& share : quota.shares()) {
    if (!models.insert(share.model()).second) {
      return Wrong("CONFLICT", absl::StrCat("model \"", share.model(), "\" stands twice"),
                   "name each model once", "quota.shares.model");
    }
    if (share.guarantee_milli() < 0 || share.guarantee_milli() > kMilliMax) {
      return Wrong("OUT_OF_RANGE", "a guarantee is zero or more devices", "give another one",
                   "quota.shares.guarantee_milli");
    }
    if (share.has_limit_milli() && share.limit_milli() < share.guarantee_milli()) {
      return Wrong("CONFLICT",
                   absl::StrFormat("the limit, %g devices, is below the guarantee, %g",
                                   static_cast<double>(share.limit_milli()) / 1000,
                                   static_cast<double>(share.guarantee_milli()) / 1000),
                   "raise the limit or lower the guarantee", "quota.shares.limit_milli");
    }
    if (share.weight() < 0 || share.weight() > kWeightMax) {
      return Wrong("OUT_OF_RANGE", "a weight is from 1 to 1,000,000", "give another one",
                   "quota.shares.weight");
    }
    if (share.weight() > 1 && (!of_user || !share.model().empty())) {
      return Wrong("BAD_VALUE", "a weight is of a user, of all GPUs together, by the policy fair",
                   "leave it out here", "quota.shares.weight");
    }
  }
  return absl::OkStatus();
}

int64_t GuaranteeOf(const v1::Quota& quota, absl::string_view model) {
  for (const v1::Quota::Share& share : quota.shares()) {
    if (share.model() == model) return share.guarantee_milli();
  }
  return 0;
}
bool Names(const v1::Quota& quota, absl::string_view model) {
  for (const v1::Quota::Share& share : quota.shares()) {
    if (share.model() == model) return true;
  }
  return false;
}

// What is promised to the children of a place must fit into what is promised to it.
absl::Status CheckFitsIntoTree(const v1::Quota& quota, const std::string& key, const State& state) {
  const auto quota_of = [&](const std::string& name) -> const v1::Quota* {
    if (name == key) return &quota;
    const auto found = state.settings.find(name);
    return found == state.settings.end() ? nullptr : &found->second->quota();
  };
  std::set<std::string> parents = {key, ParentOfQuota(key, state)};
  for (const std::string& parent : parents) {
    const v1::Quota* const above = parent.empty() ? nullptr : quota_of(parent);
    if (above == nullptr) continue;
    for (const v1::Quota::Share& share : above->shares()) {
      int64_t promised = key != parent && ParentOfQuota(key, state) == parent
                             ? GuaranteeOf(quota, share.model())
                             : 0;
      for (const auto& [name, row] : state.settings) {
        if (!row->has_quota() || name == key || ParentOfQuota(name, state) != parent) continue;
        promised += GuaranteeOf(row->quota(), share.model());
      }
      if (promised <= share.guarantee_milli() || !Names(*above, share.model())) continue;
      return Wrong(
          "QUOTA_TOO_LARGE",
          absl::StrCat("the places below ", parent, " are promised ", promised, " thousandths of ",
                       share.model().empty() ? "any GPU" : share.model(), ", it has itself ",
                       share.guarantee_milli()),
          "raise the guarantee above, or lower one below", "quota.shares");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSetting(const records::SettingRow& setting, const Draft& draft) {
  const State& state = draft.state();
  const std::string& key = setting.key();
  switch (setting.body_case()) {
    case records::SettingRow::kQueue:
      if (absl::Status status = CheckId("queue", absl::StripPrefix(key, "queues/")); !status.ok()) {
        return status;
      }
      return CheckQueueRow(setting.queue(), state);
    case records::SettingRow::kReservation:
      if (absl::Status status = CheckId("reservation", absl::StripPrefix(key, "reservations/"));
          !status.ok()) {
        return status;
      }
      return CheckReservation(setting.reservation(), draft);
    case records::SettingRow::kQuota:
      if (absl::Status status = CheckQuotaName(key, state); !status.ok()) return status;
      if (absl::Status status = CheckShares(setting.quota(), key); !status.ok()) return status;
      return CheckFitsIntoTree(setting.quota(), key, state);
    case records::SettingRow::BODY_NOT_SET:
      break;
  }
  return Wrong("INVALID_ARGUMENT", "the setting is empty", "say what it is", "");
}

absl::Status NoSuchSetting(const std::string& key, const State& state) {
  const std::string kind = key.substr(0, key.find('/'));
  std::vector<std::string> names;
  for (const auto& [name, row] : state.settings) {
    if (absl::StartsWith(name, absl::StrCat(kind, "/"))) names.push_back(name);
  }
  const std::string near = NearestName(key, names);
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND", absl::StrCat("there is no ", key),
                   near.empty() ? absl::StrCat("list the ", kind, " to see their names")
                                : absl::StrCat("did you mean ", near, "?"));
}

// A queue that live jobs are in stays: they would change their order without anybody's wish.
absl::Status CheckUnused(const std::string& key, const State& state) {
  if (!absl::StartsWith(key, "queues/")) return absl::OkStatus();
  for (const auto& [uid, job] : state.jobs) {
    if (IsTerminal(job->state())) continue;
    const std::string& queue = QueueOf(*job, *state.specs.at(uid));
    if (queue.empty() || QueueKey(queue) != key) continue;
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
        absl::StrCat("job ", FormatJob(job->project(), job->job_id()), " is in this queue"),
        "close the queue and wait, or move its jobs: trainyard jobs update J --queue Q");
  }
  return absl::OkStatus();
}

}  // namespace

std::string QueueKey(absl::string_view queue) { return absl::StrCat("queues/", queue); }

std::vector<std::string> QueueNames(const State& state) {
  std::vector<std::string> names;
  for (const auto& [key, row] : state.settings) {
    if (row->has_queue()) names.emplace_back(absl::StripPrefix(key, "queues/"));
  }
  return names;
}

std::string ParentOfQuota(absl::string_view key, const State& state) {
  const std::vector<std::string> parts = absl::StrSplit(key, '/');
  if (parts.size() == 5) return absl::StrCat("quotas/projects/", parts[2]);
  if (parts.size() != 3) return "";
  if (parts[1] == "projects") {
    const auto project = state.projects.find(parts[2]);
    if (project != state.projects.end() && !project->second.team().empty()) {
      return absl::StrCat("quotas/teams/", project->second.team());
    }
  }
  return "quotas/cluster";
}

absl::StatusOr<Reply> PutSetting(const SetSetting& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kAdminister, "", "");
  if (status.ok()) status = CheckSetting(command.setting, *draft);
  if (!status.ok()) return status;
  const std::string& key = command.setting.key();
  const SettingPtr old = draft->Setting(key);
  if (old != nullptr && command.only_new) {
    return MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
                     absl::StrCat("there is already ", key), "choose another name");
  }
  if (old == nullptr && draft->state().settings.size() >= kSettingsMax) {
    return MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                     absl::StrCat("the scheduler holds its ", kSettingsMax, " settings"),
                     "delete some first");
  }
  Reply reply;
  reply.name = key;
  if (old != nullptr && old->SerializeAsString() == command.setting.SerializeAsString()) {
    return reply;
  }
  records::Event event;
  *event.mutable_setting_set()->mutable_setting() = command.setting;
  draft->EmitUnread(std::move(event));
  return reply;
}

absl::StatusOr<Reply> DropSetting(const DeleteSetting& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kAdminister, "", "");
  if (status.ok() && draft->Setting(command.key) == nullptr) {
    status = NoSuchSetting(command.key, draft->state());
  }
  if (status.ok()) status = CheckUnused(command.key, draft->state());
  if (!status.ok()) return status;
  records::Event event;
  event.mutable_setting_deleted()->set_key(command.key);
  draft->EmitUnread(std::move(event));
  Reply reply;
  reply.name = command.key;
  return reply;
}

absl::StatusOr<Reply> ChangeProject(const SetProject& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kAdminister, "", "");
  if (status.ok() && !command.project.team().empty()) {
    status = CheckId("team", command.project.team());
  }
  if (!status.ok()) return status;
  const auto& projects = draft->state().projects;
  const auto old = projects.find(command.project.project_id());
  if (old == projects.end()) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no project ", command.project.project_id()),
                     "create it first: trainyard projects create");
  }
  Reply reply;
  reply.name = FormatProject(command.project.project_id());
  if (old->second.SerializeAsString() == command.project.SerializeAsString()) return reply;
  records::Event event;
  *event.mutable_project_created()->mutable_project() = command.project;
  draft->EmitUnread(std::move(event));
  return reply;
}

}  // namespace trainyard::core
