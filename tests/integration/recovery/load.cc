// See load.h.
#include "tests/integration/recovery/load.h"

#include "absl/strings/str_cat.h"

namespace trainyard::testing {
namespace {

constexpr char kNobody[] = "client";

v1::JobSpec NeverStarts(const std::string& id) {
  v1::JobSpec spec = SpecOf({"/bin/true"});
  spec.set_display_name(id);
  spec.mutable_worker_pools(0)->mutable_resources()->set_gpu_count(1);
  return spec;
}

double ValueOf(int number) { return 0.001 * number; }

}  // namespace

bool Submitter::Once(Api* api) {
  if (!to_cancel_.empty()) {
    Told& told = jobs_[to_cancel_];
    if (!api->Cancel(told.name, absl::StrCat("cancel-", to_cancel_)).ok()) return false;
    told.cancelled = true;
    to_cancel_.clear();
    return true;
  }
  const std::string id = absl::StrCat(name_, "-", next_);
  const auto job = api->Submit(NeverStarts(id), id);
  if (!job.ok()) {
    in_doubt_ = true;
    return false;
  }
  if (in_doubt_) ++repeated_;
  in_doubt_ = false;
  jobs_[id].name = job->name();
  if (next_++ % 3 == 0) to_cancel_ = id;
  return true;
}

std::string Submitter::Compare(const std::multimap<std::string, v1::Job>& all) const {
  std::string faults;
  for (const auto& [id, told] : jobs_) {
    const auto [from, to] = all.equal_range(id);
    if (from == to) {
      absl::StrAppend(&faults, id, " (", told.name, ") was acknowledged and is lost\n");
    } else if (std::next(from) != to) {
      absl::StrAppend(&faults, id, " gave two jobs\n");
    } else if (from->second.name() != told.name) {
      absl::StrAppend(&faults, id, " was ", told.name, " and is ", from->second.name(), "\n");
    } else if (told.cancelled != (from->second.state() == v1::CANCELLED) && told.name != "" &&
               id != to_cancel_) {
      absl::StrAppend(&faults, id, told.cancelled ? " was cancelled" : " was not cancelled",
                      " and is ", v1::JobState_Name(from->second.state()), "\n");
    }
  }
  return faults;
}

bool Runner::Once(Api* api, int64_t millis) {
  const std::string record = absl::StrCat(prefix_, "-", next_);
  // Asked again after no answer it is the same request: another program under its id is refused.
  if (!asked_millis_.has_value()) asked_millis_ = millis;
  const auto job = api->Submit(BeatSpec(record, {absl::StrCat("ms=", *asked_millis_)}), record);
  if (!job.ok()) return false;
  ++next_;
  asked_millis_.reset();
  jobs_[record] = job->name();
  return true;
}

absl::Status Teller::Start(Api* api) {
  v1::StudySpec spec;
  v1::StudySpec::Metric* const metric = spec.add_metrics();
  metric->set_metric_id("accuracy");
  metric->set_goal(v1::StudySpec::MAXIMIZE);
  v1::StudySpec::Parameter* const parameter = spec.add_parameters();
  parameter->set_parameter_id("x");
  parameter->mutable_double_range()->set_min(0);
  parameter->mutable_double_range()->set_max(1);
  spec.set_algorithm(v1::StudySpec::RANDOM);
  const auto study = api->CreateStudy("load", spec);
  if (!study.ok()) return study.status();
  study_ = study->name();
  return absl::OkStatus();
}

bool Teller::Once(Api* api) {
  if (open_.empty()) {
    // The same client is given its open trial again.
    const auto trials = api->Suggest(study_, 1, kNobody, absl::StrCat("suggest-", next_));
    if (!trials.ok() || trials->empty()) return false;
    open_ = trials->front().name();
    return true;
  }
  const auto told = api->Complete(open_, ValueOf(next_), absl::StrCat("complete-", next_));
  if (!told.ok()) return false;
  values_[open_] = ValueOf(next_);
  open_.clear();
  ++next_;
  return true;
}

std::string Teller::Compare(Api* api) const {
  const auto trials = api->Trials(study_);
  if (!trials.ok()) return trials.status().ToString();
  std::string faults;
  std::map<std::string, const v1::Trial*> by_name;
  for (const v1::Trial& trial : *trials) by_name[trial.name()] = &trial;
  // At most one trial beyond those acknowledged: the one whose answer was lost.
  if (by_name.size() > values_.size() + 1) {
    absl::StrAppend(&faults, by_name.size(), " trials, ", values_.size(), " were asked for\n");
  }
  for (const auto& [name, value] : values_) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) {
      absl::StrAppend(&faults, name, " was completed and is lost\n");
    } else if (found->second->state() != v1::TRIAL_SUCCEEDED ||
               found->second->final_measurement().metrics_size() != 1 ||
               found->second->final_measurement().metrics(0).value() != value) {
      absl::StrAppend(&faults, name, " is ", found->second->ShortDebugString(), "\n");
    }
  }
  return faults;
}

bool Administrator::Once(Api* api) {
  if (next_ == Wish::kToken) {
    const std::string user = absl::StrCat("user", number_);
    const auto token = api->CreateToken(user, v1::VIEWER, "default", absl::ZeroDuration(), user);
    if (!token.ok()) return false;
    tokens_[token->id()] = false;
    to_revoke_ = number_++ % 2 == 0 ? token->id() : "";
    next_ = to_revoke_.empty() ? Wish::kDrain : Wish::kRevoke;
  } else if (next_ == Wish::kRevoke) {
    if (!api->RevokeToken(to_revoke_).ok()) return false;
    tokens_[to_revoke_] = true;
    to_revoke_.clear();
    next_ = Wish::kDrain;
  } else {
    drain_in_doubt_ = true;
    if (!api->Drain(node_, drained_).ok()) return false;
    drained_ = !drained_;
    drain_in_doubt_ = false;
    ++drains_;
    next_ = Wish::kToken;
  }
  return true;
}

std::string Administrator::Compare(Api* api) const {
  std::string faults;
  const auto found = api->Tokens();
  if (!found.ok()) return found.status().ToString();
  std::map<std::string, bool> known;
  for (const v1::Token& token : *found) known[token.id()] = token.revoked();
  for (const auto& [id, revoked] : tokens_) {
    const auto at = known.find(id);
    if (at == known.end() && !revoked) {
      absl::StrAppend(&faults, "token ", id, " was acknowledged and is lost\n");
    } else if (at != known.end() && at->second != revoked && id != to_revoke_) {
      absl::StrAppend(&faults, "token ", id, revoked ? " was" : " was not", " revoked\n");
    }
  }
  const auto drained = [&] {
    const auto node = api->GetNode(node_);
    return node.ok() && (node->state() == v1::DRAINING || node->state() == v1::DRAINED);
  };
  // Its agent may not be back yet.
  if (!drain_in_doubt_ && !Eventually([&] { return drained() == drained_; })) {
    absl::StrAppend(&faults, node_, drained_ ? " was drained\n" : " was not drained\n");
  }
  return faults;
}

}  // namespace trainyard::testing
