// See users.h.
#include "sim/run/users.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/sha256.h"

namespace trainyard::sim {
namespace {

constexpr double kMeanPauseUs = 12.0 * kSecond;
constexpr size_t kWaitingMax = 40;  // runs; nobody submits more
constexpr int64_t kTimeoutUs = 10 * kSecond;

void SetSeconds(int64_t seconds, google::protobuf::Duration* out) { out->set_seconds(seconds); }

}  // namespace

void Users::Start() {
  core::CreateProject project;
  project.project = "team";
  Place(Make(project));
  Next();
}

void Users::Next() {
  context_->queue().After(Exponential(&random_, kMeanPauseUs), Kind::kTimer, [this] {
    if (context_->calm()) return;
    const uint64_t dice = random_.Below(100);
    if (dice < 46) Submit();
    if (dice >= 46 && dice < 56) Cancel();
    if (dice >= 56 && dice < 64) Pause();
    if (dice >= 64 && dice < 68) Drain();
    if (dice >= 68 && dice < 75) Requeue();
    if (dice >= 75 && dice < 80) Administer();
    if (dice >= 80) AskAndTell();
    Next();
  });
}

Users::CallPtr Users::Make(core::CommandBody body) {
  auto call = std::make_shared<Call>();
  call->command.principal.name = "ada";
  call->command.principal.role = v1::ADMIN;
  call->command.request_id = absl::StrCat("request-", next_request_++);
  call->command.body_hash = Sha256Of(call->command.request_id);
  call->command.body = std::move(body);
  return call;
}

void Users::Place(const CallPtr& call) {
  ++open_calls_;
  Send(call);
}

void Users::Again(const CallPtr& call, int64_t after_us) {
  context_->queue().After(after_us, Kind::kTimer, [this, call, round = ++call->round] {
    if (!call->done && round == call->round) Send(call);
  });
}

void Users::Send(const CallPtr& call) {
  Again(call, kTimeoutUs);
  network_->SendAlone(-1, Way::kUp, [this, call] {
    scheduler_->Call(call->command, [this, call](const absl::StatusOr<core::Reply>& reply) {
      if (reply.ok() && call->left != nullptr) call->left(*reply);
      network_->SendAlone(-1, Way::kDown, [this, call, reply] {
        if (call->done) return;
        const bool try_again =
            absl::IsUnavailable(reply.status()) || absl::IsResourceExhausted(reply.status());
        if (try_again) return Again(call, kSecond);
        call->done = true;
        --open_calls_;
        if (reply.ok() && call->answered != nullptr) call->answered(*reply);
      });
    });
  });
}

void Users::AddStudy(v1::JobSpec* spec) {
  v1::StudySpec* const study = spec->mutable_study_spec();
  study->set_algorithm(random_.Below(2) == 0 ? v1::StudySpec::RANDOM : v1::StudySpec::SOBOL);
  v1::StudySpec::Metric* const metric = study->add_metrics();
  metric->set_metric_id("accuracy");
  metric->set_goal(v1::StudySpec::MAXIMIZE);
  v1::StudySpec::Parameter* const rate = study->add_parameters();
  rate->set_parameter_id("rate");
  rate->mutable_double_range()->set_min(0);
  rate->mutable_double_range()->set_max(1);
  if (random_.Below(2) == 0) {
    study->mutable_stopping()->set_kind(v1::StudySpec::MEDIAN);
    study->mutable_stopping()->set_min_trials(2);
  }
  spec->set_max_trial_count(Between(&random_, 2, 6));
  spec->set_parallel_trial_count(Between(&random_, 1, 3));
}

v1::JobSpec Users::RandomSpec() {
  v1::JobSpec spec;
  spec.mutable_program()->add_command("train");
  spec.mutable_program()->add_args(absl::StrCat(Between(&random_, 2, 120)));
  v1::WorkerPool* const pool = spec.add_worker_pools();
  pool->set_role("master");
  pool->set_replica_count(1);
  pool->mutable_resources()->set_cpu_milli(1000);
  pool->mutable_resources()->set_gpu_count(static_cast<int32_t>(random_.Below(3)));
  const uint64_t dice = random_.Below(10);
  if (dice >= 5 && dice < 9) {  // a gang, over several nodes when its ranks are large
    v1::WorkerPool* const workers = spec.add_worker_pools();
    *workers = *pool;
    workers->set_role("worker");
    workers->set_replica_count(static_cast<int32_t>(Between(&random_, 1, 4)));
    spec.mutable_launch()->set_launcher(v1::DIRECT);
    if (random_.Below(2) == 0) spec.mutable_launch()->set_placement(v1::SPREAD);
    if (random_.Below(3) == 0) spec.mutable_launch()->set_min_replicas(1);  // elastic
  }
  if (dice == 9) AddStudy(&spec);
  v1::Scheduling* const scheduling = spec.mutable_scheduling();
  SetSeconds(Between(&random_, 120, 600), scheduling->mutable_timeout());
  SetSeconds(Between(&random_, 1, 6), scheduling->mutable_grace());
  SetSeconds(60, scheduling->mutable_staging_timeout());
  SetSeconds(60, scheduling->mutable_publish_timeout());
  SetSeconds(120, scheduling->mutable_stop_after());
  if (random_.Below(8) == 0) SetSeconds(60, scheduling->mutable_max_wait());
  scheduling->set_priority(static_cast<int32_t>(random_.Below(3) * 100));
  scheduling->set_preemptible(random_.Below(2) == 0);
  scheduling->set_max_retries(static_cast<int32_t>(random_.Below(3)));
  scheduling->set_strict_lease(random_.Below(3) == 0);
  AddWishes(scheduling);
  return spec;
}

void Users::Submit() {
  if (checker_->state().waiting_runs.size() > kWaitingMax) return;
  const CallPtr call = Make(core::SubmitJob{"team", "", RandomSpec(), false});
  call->left = [this, id = call->command.request_id](const core::Reply& reply) {
    checker_->SubmitAnswered(id, reply.uid);
  };
  Place(call);
}

// Also one that has ended.
std::string Users::RandomJob() {
  const auto& jobs = checker_->state().jobs;
  if (jobs.empty()) return "";
  std::vector<uint64_t> uids;
  for (const auto& [uid, job] : jobs) uids.push_back(uid);
  std::sort(uids.begin(), uids.end());
  return jobs.at(uids[random_.Below(uids.size())])->job_id();
}

void Users::Cancel() {
  const std::string job = RandomJob();
  if (job.empty()) return;
  const CallPtr call = Make(core::CancelJob{"team", job, "a user's wish"});
  call->left = [this](const core::Reply& reply) { checker_->CancelAnswered(reply.uid); };
  Place(call);
}

void Users::Pause() {
  const std::string job = RandomJob();
  if (!job.empty()) Place(Make(core::PauseJob{"team", job, random_.Below(3) > 0}));
}

std::string Users::RandomNode() {
  return NodeName(
      static_cast<int>(random_.Below(static_cast<uint64_t>(context_->options().agents))));
}

void Users::Drain() {
  core::DrainNode drain{RandomNode(), random_.Below(3) > 0, "a user's wish"};
  if (!drain.undo && random_.Below(2) == 0) {
    drain.deadline_us = checker_->state().server.last_us() + Between(&random_, 5, 90) * kSecond;
  }
  Place(Make(drain));
}

void Users::AskAndTell() {
  if (study_busy_) return;
  study_busy_ = true;
  if (study_uid_ == 0) {
    v1::JobSpec spec;
    AddStudy(&spec);
    spec.mutable_study_spec()->mutable_study_stopping()->set_max_trials(12);
    const std::string name = absl::StrCat("asked-", ++study_);
    const CallPtr call = Make(core::CreateStudy{"team", name, spec.study_spec()});
    call->answered = [this, name](const core::Reply& reply) {
      study_uid_ = reply.uid;
      study_name_ = name;
      study_busy_ = false;
    };
    return Place(call);
  }
  const std::string study = study_name_;
  const CallPtr call =
      Make(core::AskTrials{"team", study, static_cast<int32_t>(Between(&random_, 1, 2)), "bob"});
  call->answered = [this, study, uid = study_uid_](const core::Reply& reply) {
    study_busy_ = false;
    for (const int32_t trial : reply.trials) Tell(study, uid, trial);
    if (reply.trials.empty()) study_uid_ = 0;  // it is over
  };
  // A restore may have taken the study away.
  context_->queue().After(60 * kSecond, Kind::kTimer, [this, call] {
    if (call->done && std::exchange(study_busy_, false)) study_uid_ = 0;
  });
  Place(call);
}

void Users::Tell(const std::string& study, uint64_t study_uid, int32_t trial) {
  v1::Measurement point;
  point.set_step(1);
  point.add_metrics()->set_metric_id("accuracy");
  point.mutable_metrics(0)->set_value(random_.Uniform());
  Place(Make(core::AddMeasurement{"team", study, trial, point}));
  const bool infeasible = random_.Below(5) == 0;
  const CallPtr end = Make(core::CompleteTrial{"team", study, trial, true, point, infeasible, ""});
  end->left = [this, uid = study_uid, trial](const core::Reply&) {
    checker_->CompleteAnswered(uid, trial);
  };
  Place(end);
}

void Users::GoHome() {
  const std::map<uint64_t, core::JobPtr> jobs(checker_->state().jobs.begin(),
                                              checker_->state().jobs.end());
  for (const auto& [uid, job] : jobs) {
    if (job->paused()) Place(Make(core::PauseJob{"team", job->job_id(), true}));
  }
  for (int node = 0; node < context_->options().agents; ++node) {
    Place(Make(core::DrainNode{NodeName(node), true, ""}));
  }
  LetAllStart(jobs);
}

}  // namespace trainyard::sim
