// What users wish of jobs that wait, and what administrators set: holds, dependencies, queues,
// quotas, reservations, tokens; see users.h.
#include <map>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/sha256.h"
#include "sim/run/users.h"

namespace trainyard::sim {
namespace {

constexpr char kQueue[] = "night";
constexpr char kQueueKey[] = "queues/night";
constexpr char kQuotaKey[] = "quotas/projects/team";

core::SetSetting QueueSetting(int32_t priority, bool stopped) {
  core::SetSetting set;
  set.setting.set_key(kQueueKey);
  v1::Queue* const queue = set.setting.mutable_queue();
  queue->set_name(kQueueKey);
  queue->set_priority(priority);
  queue->set_stopped(stopped);
  return set;
}

struct Namer {
  absl::string_view operator()(const core::CreateProject&) const { return "create-project"; }
  absl::string_view operator()(const core::SubmitJob&) const { return "submit"; }
  absl::string_view operator()(const core::CancelJob&) const { return "cancel"; }
  absl::string_view operator()(const core::PauseJob&) const { return "pause"; }
  absl::string_view operator()(const core::SetQueueing&) const { return "update"; }
  absl::string_view operator()(const core::DrainNode&) const { return "drain"; }
  absl::string_view operator()(const core::SetSetting& set) const {
    if (set.setting.has_queue()) return "set-queue";
    return set.setting.has_quota() ? "set-quota" : "reserve";
  }
  absl::string_view operator()(const core::DeleteSetting&) const { return "delete-quota"; }
  absl::string_view operator()(const core::CreateToken&) const { return "create-token"; }
  absl::string_view operator()(const core::RevokeToken&) const { return "revoke-token"; }
  absl::string_view operator()(const core::CreateStudy&) const { return "create-study"; }
  absl::string_view operator()(const core::AskTrials&) const { return "ask"; }
  absl::string_view operator()(const core::AddMeasurement&) const { return "tell"; }
  absl::string_view operator()(const core::CompleteTrial&) const { return "complete"; }
  template <class Other>
  absl::string_view operator()(const Other&) const {
    return "";
  }
};

}  // namespace

absl::string_view NameOf(const core::CommandBody& body) { return std::visit(Namer(), body); }

void Users::AddWishes(v1::Scheduling* scheduling) {
  if (random_.Below(10) == 0) scheduling->set_hold(true);
  const bool has_queue = checker_->state().settings.count(kQueueKey) > 0;
  if (has_queue && random_.Below(4) == 0) scheduling->set_queue(kQueue);
  if (random_.Below(8) != 0) return;
  const std::string first = RandomJob();
  if (first.empty()) return;
  v1::Dependency* const after = scheduling->add_after();
  after->set_job(first);
  after->set_on(random_.Below(2) == 0 ? v1::Dependency::END : v1::Dependency::SUCCESS);
}

void Users::Requeue() {
  core::SetQueueing change;
  change.project = "team";
  change.job_id = RandomJob();
  if (change.job_id.empty()) return;
  switch (random_.Below(4)) {
    case 0:
      change.queueing.set_hold(random_.Below(3) == 0);
      break;
    case 1:
      change.queueing.set_priority(static_cast<int32_t>(random_.Below(4) * 100));
      break;
    case 2:
      change.queueing.set_queue(random_.Below(2) == 0 ? "" : kQueue);
      break;
    default:
      change.queueing.set_timeout_us(Between(&random_, 60, 600) * kSecond);
      break;
  }
  Place(Make(std::move(change)));
}

void Users::Administer() {
  switch (random_.Below(4)) {
    case 0:
      return SetQueue(true);
    case 1:
      return SetQuota();
    case 2:
      return Reserve();
    default:
      return ChangeTokens();
  }
}

void Users::SetQueue(bool may_stop) {
  const int32_t priority = static_cast<int32_t>(random_.Below(3)) * 100 - 100;
  Place(Make(QueueSetting(priority, may_stop && random_.Below(4) == 0)));
}

// Of GPUs: sometimes less than a waiting job needs.
void Users::SetQuota() {
  if (random_.Below(3) == 0) return Place(Make(core::DeleteSetting{kQuotaKey}));
  core::SetSetting set;
  set.setting.set_key(kQuotaKey);
  v1::Quota* const quota = set.setting.mutable_quota();
  quota->set_name(kQuotaKey);
  v1::Quota::Share* const share = quota->add_shares();
  const int64_t limit = Between(&random_, 1, 12) * 1000;
  share->set_limit_milli(limit);
  share->set_guarantee_milli(random_.Below(2) == 0 ? limit / 2 : 0);
  Place(Make(std::move(set)));
}

// Over long before everything is to end.
void Users::Reserve() {
  core::SetSetting set;
  const std::string key = absl::StrCat("reservations/service-", ++reservations_);
  set.setting.set_key(key);
  v1::Reservation* const reservation = set.setting.mutable_reservation();
  reservation->set_name(key);
  reservation->add_nodes(RandomNode());
  const int64_t from = checker_->state().server.last_us() / kSecond + Between(&random_, 5, 90);
  reservation->mutable_start_time()->set_seconds(from);
  reservation->mutable_end_time()->set_seconds(from + Between(&random_, 10, 60));
  Place(Make(std::move(set)));
}

void Users::ChangeTokens() {
  if (tokens_ > 0 && random_.Below(2) == 0) {
    const uint64_t which = 1 + random_.Below(static_cast<uint64_t>(tokens_));
    return Place(Make(core::RevokeToken{absl::StrCat("token-", which)}));
  }
  core::CreateToken create;
  create.token.set_id(absl::StrCat("token-", ++tokens_));
  create.token.set_user("eve");
  create.token.set_role(v1::VIEWER);
  create.token.set_project("team");
  create.token.set_hash(Sha256Of(create.token.id()));
  Place(Make(std::move(create)));
}

// Nobody is held back any more: all that can start is to start and end.
void Users::LetAllStart(const std::map<uint64_t, core::JobPtr>& jobs) {
  Place(Make(QueueSetting(0, false)));
  Place(Make(core::DeleteSetting{kQuotaKey}));
  for (const auto& [uid, job] : jobs) {
    if (job->end_us() > 0) continue;
    core::SetQueueing release{"team", job->job_id(), {}, 0};
    release.queueing.set_hold(false);
    Place(Make(std::move(release)));
  }
}

}  // namespace trainyard::sim
