// See queues.h.
#include "scheduler/api/queues.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/random.h"
#include "scheduler/api/convert.h"
#include "scheduler/api/quota_use.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/types.h"
#include "scheduler/placement/policy.h"

namespace trainyard::api {
namespace {

constexpr char kQueues[] = "queues/";
constexpr char kQuotas[] = "quotas/";
constexpr char kReservations[] = "reservations/";

absl::Status MayRead(const core::Principal& principal) {
  return core::CheckAccess(principal, core::Action::kRead, principal.project, "");
}

// "night" and "queues/night" both name the queue.
std::string KeyOf(absl::string_view prefix, absl::string_view name) {
  return absl::StartsWith(name, prefix) ? std::string(name) : absl::StrCat(prefix, name);
}

// Posts the setting and answers with it as it is then.
template <typename Message>
void Set(const Context& context, const core::Principal& principal, absl::string_view request_id,
         const google::protobuf::Message& request, core::SetSetting body,
         const std::function<Message(const journal::v1::SettingRow&)>& answer, Done<Message> done) {
  const std::string key = body.setting.key();
  context.runtime->Post(MakeCommand(principal, request_id, request, std::move(body)),
                        [context, key, answer, done](const absl::StatusOr<core::Reply>& reply) {
                          if (!reply.ok()) return done(reply.status());
                          const core::SettingPtr row = context.runtime->view().Setting(key);
                          if (row == nullptr) return done(NotFound("setting", key));
                          done(answer(*row));
                        });
}

void Delete(const Context& context, const core::Principal& principal, absl::string_view request_id,
            const google::protobuf::Message& request, std::string key,
            Done<google::protobuf::Empty> done) {
  context.runtime->Post(
      MakeCommand(principal, request_id, request, core::DeleteSetting{std::move(key)}),
      [done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        done(google::protobuf::Empty());
      });
}

// How many runs of the queue wait and run.
void CountRuns(const runtime::View& view, std::map<std::string, v1::Queue*>* queues) {
  for (const core::RunPtr& run : view.LiveRuns()) {
    const core::JobPtr job = view.Job(run->job_uid());
    const core::SpecPtr spec = view.Spec(run->job_uid());
    if (job == nullptr || spec == nullptr) continue;
    const auto found = queues->find(core::QueueOf(*job, *spec));
    if (found == queues->end()) continue;
    v1::Queue* const queue = found->second;
    if (run->state() == journal::v1::R_ACTIVE) {
      queue->set_running(queue->running() + 1);
    } else if (run->state() != journal::v1::R_DONE) {
      queue->set_waiting(queue->waiting() + 1);
    }
  }
}

}  // namespace

void SetJobQueueing(const Context& context, const core::Principal& principal,
                    const v1::SetJobQueueingRequest& request, Done<v1::Job> done) {
  absl::StatusOr<core::JobPtr> job =
      FindJob(context, principal, core::Action::kChange, request.name());
  if (!job.ok()) return done(job.status());
  core::SetQueueing body{(*job)->project(), (*job)->job_id(), {}, 0};
  if (!request.etag().empty() && !absl::SimpleAtoi(request.etag(), &body.etag)) {
    return done(MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                          absl::StrCat("etag \"", request.etag(), "\" is not one of a job"),
                          "use the etag of the job as it was read, or leave it out", "etag"));
  }
  journal::v1::Queueing& wish = body.queueing;
  if (request.has_priority()) wish.set_priority(request.priority());
  if (request.has_hold()) wish.set_hold(request.hold());
  if (request.has_queue()) {
    wish.set_queue(std::string(absl::StripPrefix(request.queue(), kQueues)));
  }
  if (request.has_max_wait()) wish.set_max_wait_us(core::MicrosOf(request.max_wait()));
  if (request.has_timeout()) wish.set_timeout_us(core::MicrosOf(request.timeout()));
  const uint64_t uid = (*job)->uid();
  context.runtime->Post(
      MakeCommand(principal, request.request_id(), request, std::move(body)),
      [context, uid, done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        const core::JobPtr row = context.runtime->view().Job(uid);
        done(row == nullptr ? v1::Job() : JobOf(context.runtime->view(), *row, v1::FULL_VIEW));
      });
}

void SetQueue(const Context& context, const core::Principal& principal,
              const v1::SetQueueRequest& request, Done<v1::Queue> done) {
  const std::string& policy = request.queue().policy();
  if (!policy.empty() && !placement::PolicyNamed(policy).has_value()) {
    return done(MakeError(
        absl::StatusCode::kInvalidArgument, "BAD_ENUM", absl::StrCat("there is no policy ", policy),
        absl::StrCat("choose one of ", absl::StrJoin(placement::PolicyNames(), ", ")),
        "queue.policy"));
  }
  core::SetSetting body;
  body.setting.set_key(KeyOf(kQueues, request.queue().name()));
  v1::Queue* const queue = body.setting.mutable_queue();
  *queue = request.queue();
  queue->set_name(body.setting.key());
  queue->clear_waiting();
  queue->clear_running();
  Set<v1::Queue>(
      context, principal, request.request_id(), request, std::move(body),
      [context](const journal::v1::SettingRow& row) {
        v1::Queue made = row.queue();
        std::map<std::string, v1::Queue*> one = {
            {std::string(absl::StripPrefix(row.key(), kQueues)), &made}};
        CountRuns(context.runtime->view(), &one);
        return made;
      },
      std::move(done));
}

absl::StatusOr<v1::Queue> GetQueue(const Context& context, const core::Principal& principal,
                                   const v1::GetQueueRequest& request) {
  if (absl::Status status = MayRead(principal); !status.ok()) return status;
  const runtime::View& view = context.runtime->view();
  const core::SettingPtr row = view.Setting(KeyOf(kQueues, request.name()));
  if (row == nullptr) return NotFound("queue", request.name());
  v1::Queue queue = row->queue();
  std::map<std::string, v1::Queue*> one = {
      {std::string(absl::StripPrefix(row->key(), kQueues)), &queue}};
  CountRuns(view, &one);
  return queue;
}

void DeleteQueue(const Context& context, const core::Principal& principal,
                 const v1::DeleteQueueRequest& request, Done<google::protobuf::Empty> done) {
  Delete(context, principal, request.request_id(), request, KeyOf(kQueues, request.name()),
         std::move(done));
}

absl::StatusOr<v1::ListQueuesResponse> ListQueues(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ListQueuesRequest& /*request*/) {
  if (absl::Status status = MayRead(principal); !status.ok()) return status;
  const runtime::View& view = context.runtime->view();
  v1::ListQueuesResponse response;
  for (const core::SettingPtr& row : view.SettingsBelow(kQueues)) {
    *response.add_queues() = row->queue();
  }
  std::map<std::string, v1::Queue*> all;
  for (v1::Queue& queue : *response.mutable_queues()) {
    all[std::string(absl::StripPrefix(queue.name(), kQueues))] = &queue;
  }
  CountRuns(view, &all);
  return response;
}

void SetQuota(const Context& context, const core::Principal& principal,
              const v1::SetQuotaRequest& request, Done<v1::Quota> done) {
  core::SetSetting body;
  body.setting.set_key(KeyOf(kQuotas, request.quota().name()));
  v1::Quota* const quota = body.setting.mutable_quota();
  *quota = request.quota();
  quota->set_name(body.setting.key());
  for (v1::Quota::Share& share : *quota->mutable_shares()) {
    share.clear_used_milli();
    share.clear_waiting_milli();
  }
  Set<v1::Quota>(
      context, principal, request.request_id(), request, std::move(body),
      [context](const journal::v1::SettingRow& row) {
        v1::Quota answer = row.quota();
        FillUse(context.runtime->view(), &answer);
        return answer;
      },
      std::move(done));
}

absl::StatusOr<v1::Quota> GetQuota(const Context& context, const core::Principal& principal,
                                   const v1::GetQuotaRequest& request) {
  if (absl::Status status = MayRead(principal); !status.ok()) return status;
  const core::SettingPtr row = context.runtime->view().Setting(KeyOf(kQuotas, request.name()));
  if (row == nullptr) return NotFound("quota", request.name());
  v1::Quota quota = row->quota();
  FillUse(context.runtime->view(), &quota);
  return quota;
}

void DeleteQuota(const Context& context, const core::Principal& principal,
                 const v1::DeleteQuotaRequest& request, Done<google::protobuf::Empty> done) {
  Delete(context, principal, request.request_id(), request, KeyOf(kQuotas, request.name()),
         std::move(done));
}

absl::StatusOr<v1::ListQuotasResponse> ListQuotas(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ListQuotasRequest& /*request*/) {
  if (absl::Status status = MayRead(principal); !status.ok()) return status;
  v1::ListQuotasResponse response;
  for (const core::SettingPtr& row : context.runtime->view().SettingsBelow(kQuotas)) {
    *response.add_quotas() = row->quota();
    FillUse(context.runtime->view(), response.mutable_quotas(response.quotas_size() - 1));
  }
  return response;
}

void CreateReservation(const Context& context, const core::Principal& principal,
                       const v1::CreateReservationRequest& request, Done<v1::Reservation> done) {
  core::SetSetting body;
  body.only_new = true;
  v1::Reservation* const reservation = body.setting.mutable_reservation();
  *reservation = request.reservation();
  if (reservation->name().empty()) {
    reservation->set_name(absl::StrCat(kReservations, "r", reservation->start_time().seconds()));
  }
  body.setting.set_key(KeyOf(kReservations, reservation->name()));
  reservation->set_name(body.setting.key());
  reservation->set_principal(principal.name);
  for (std::string& node : *reservation->mutable_nodes()) {
    node = std::string(absl::StripPrefix(node, "nodes/"));
  }
  Set<v1::Reservation>(
      context, principal, request.request_id(), request, std::move(body),
      [](const journal::v1::SettingRow& row) { return row.reservation(); }, std::move(done));
}

void DeleteReservation(const Context& context, const core::Principal& principal,
                       const v1::DeleteReservationRequest& request,
                       Done<google::protobuf::Empty> done) {
  Delete(context, principal, request.request_id(), request, KeyOf(kReservations, request.name()),
         std::move(done));
}

absl::StatusOr<v1::ListReservationsResponse> ListReservations(
    const Context& context, const core::Principal& principal,
    const v1::ListReservationsRequest& /*request*/) {
  if (absl::Status status = MayRead(principal); !status.ok()) return status;
  v1::ListReservationsResponse response;
  for (const core::SettingPtr& row : context.runtime->view().SettingsBelow(kReservations)) {
    *response.add_reservations() = row->reservation();
  }
  return response;
}

}  // namespace trainyard::api
