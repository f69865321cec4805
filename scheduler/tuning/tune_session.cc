// See tune_session.h.
#include "scheduler/tuning/tune_session.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/json_line.h"
#include "common/json_number.h"

namespace trainyard::tuning {
namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t kAskMax = 10000;
constexpr int64_t kBestMax = 1000;
constexpr int64_t kIdMax = std::numeric_limits<int32_t>::max() - kAskMax;
constexpr const char* kVerbs[] = {"ask", "tell", "complete", "should_stop", "best"};

absl::Status Wrong(absl::string_view message, absl::string_view fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT", message, fix);
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json ToJson(const std::vector<v1::ParameterValue>& parameters) {
  Json out = Json::object();
  for (const auto& p : parameters) {
    if (p.value_case() == v1::ParameterValue::kText) {
      out[p.parameter_id()] = p.text();
    } else if (p.value_case() == v1::ParameterValue::kInteger) {
      out[p.parameter_id()] = p.integer();
    } else {
      out[p.parameter_id()] = p.number();
    }
  }
  return out;
}

// In order of step; metrics told of a step again take the place of what was told before.
void Keep(v1::Measurement measurement, std::vector<v1::Measurement>* kept) {
  const auto at =
      std::lower_bound(kept->begin(), kept->end(), measurement.step(),
                       [](const v1::Measurement& one, int64_t step) { return one.step() < step; });
  if (at == kept->end() || at->step() != measurement.step()) {
    kept->insert(at, std::move(measurement));
    return;
  }
  for (const v1::MetricValue& metric : measurement.metrics()) {
    const auto same = std::find_if(
        at->mutable_metrics()->begin(), at->mutable_metrics()->end(),
        [&](const v1::MetricValue& old) { return old.metric_id() == metric.metric_id(); });
    if (same == at->mutable_metrics()->end()) {
      *at->add_metrics() = metric;
    } else {
      same->set_value(metric.value());
    }
  }
}

std::optional<double> Find(const v1::Measurement& measurement, const std::string& metric_id) {
  for (const v1::MetricValue& metric : measurement.metrics()) {
    if (metric.metric_id() == metric_id) return metric.value();
  }
  return std::nullopt;
}

// What a trial is judged by that ends without a last measurement: the newest, or with selection
// BEST the best by the first metric, with what it lacks from the nearest step before, else after.
v1::Measurement Judged(const v1::StudySpec& spec, const std::vector<v1::Measurement>& told) {
  const v1::StudySpec::Metric& first = spec.metrics(0);
  size_t chosen = told.size() - 1;
  std::optional<double> best;
  for (size_t i = 0; i < told.size() && spec.selection() == v1::StudySpec::BEST; ++i) {
    const std::optional<double> value = Find(told[i], first.metric_id());
    if (!value.has_value() || !std::isfinite(*value)) continue;
    const bool less = first.goal() != v1::StudySpec::MAXIMIZE;
    if (best.has_value() && !(less ? *value < *best : *value > *best)) continue;
    best = value;
    chosen = i;
  }
  v1::Measurement judged = told[chosen];
  for (const v1::StudySpec::Metric& metric : spec.metrics()) {
    if (Find(judged, metric.metric_id()).has_value()) continue;
    std::optional<double> near;
    for (size_t i = 0; i < told.size() && (i <= chosen || !near.has_value()); ++i) {
      if (const auto value = Find(told[i], metric.metric_id()); value.has_value()) near = value;
    }
    if (!near.has_value()) continue;
    judged.add_metrics()->set_metric_id(metric.metric_id());
    judged.mutable_metrics()->rbegin()->set_value(*near);
  }
  return judged;
}

}  // namespace

struct TuneSession::Request {
  Json body;
  std::string verb;

  // The number under the verb.
  absl::StatusOr<int64_t> Number(int64_t least, int64_t most) const {
    const Json& value = body[verb];
    if (!value.is_number_integer()) {
      return Wrong(absl::StrCat("\"", verb, "\" needs a whole number, not ", Dump(value)),
                   absl::StrCat("for example {\"", verb, "\": 1}"));
    }
    const bool too_large =
        value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(most);
    if (too_large || value.get<int64_t>() < least || value.get<int64_t>() > most) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
          absl::StrCat("\"", verb, "\": ", Dump(value), " is outside ", least, " to ", most),
          "use a number inside");
    }
    return value.get<int64_t>();
  }
};

TuneSession::TuneSession(const v1::StudySpec& spec, std::unique_ptr<Optimizer> optimizer)
    : spec_(spec), optimizer_(std::move(optimizer)) {}
TuneSession::~TuneSession() = default;

absl::StatusOr<std::unique_ptr<TuneSession>> TuneSession::Make(
    const v1::StudySpec& spec, uint64_t seed, const std::vector<EarlierStudy>& earlier) {
  auto optimizer = MakeOptimizer(spec, seed, earlier);
  if (!optimizer.ok()) return optimizer.status();
  return std::unique_ptr<TuneSession>(new TuneSession(spec, *std::move(optimizer)));
}

std::string TuneSession::Handle(absl::string_view line, double elapsed_seconds) {
  Request request;
  std::string twice;
  request.body = ParseJsonLine(line, &twice);
  Reply reply = twice.empty() ? Answer(request, elapsed_seconds)
                              : Reply(Wrong(absl::StrCat(twice, " stands twice in one object"),
                                            "name each thing once"));
  if (reply.ok()) return *std::move(reply);
  const v1::Faults faults = FaultsOf(reply.status());
  Json error;
  error["error"]["reason"] = faults.faults(0).reason();
  error["error"]["message"] = FormatFaults(faults);
  return Dump(error);
}

TuneSession::Reply TuneSession::Answer(const Request& given, double elapsed_seconds) {
  const std::string known = absl::StrJoin(kVerbs, ", ");
  if (given.body.is_discarded()) {
    return Wrong("the line is not JSON", "send one JSON object a line");
  }
  if (!given.body.is_object()) {
    return Wrong("the line is no JSON object", "for example {\"ask\": 1}");
  }
  Request request = given;
  for (const char* verb : kVerbs) {
    if (!request.body.contains(verb)) continue;
    if (!request.verb.empty()) {
      return Wrong(absl::StrCat("both \"", request.verb, "\" and \"", verb, "\" in one request"),
                   "send two lines");
    }
    request.verb = verb;
  }
  if (request.verb == "ask") return Ask(request, elapsed_seconds);
  if (request.verb == "tell") return Tell(request);
  if (request.verb == "complete") return Complete(request, elapsed_seconds);
  if (request.verb == "should_stop") return ShouldStop(request);
  if (request.verb == "best") return Best(request);
  return Wrong("the request names no verb", absl::StrCat("one of ", known));
}

TuneSession::Reply TuneSession::Ask(const Request& request, double elapsed_seconds) {
  auto count = request.Number(1, kAskMax);
  if (!count.ok()) return count.status();
  Json reply;
  reply["trials"] = Json::array();
  const StudyStop stop = optimizer_->AdviseStudy(elapsed_seconds);
  if (stop.stop) {
    reply["study_complete"] = stop.reason;
    return Dump(reply);
  }
  const int32_t first = trials_.empty() ? 1 : trials_.rbegin()->first + 1;
  if (first > kIdMax) {
    return MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                     "the study has no trial numbers left", "begin a new study");
  }
  auto result = optimizer_->Suggest(first, static_cast<int>(*count));
  if (!result.ok()) return result.status();
  int32_t id = first;
  for (Suggestion& suggestion : result->suggestions) {
    Json trial;
    trial["id"] = id;
    trial["parameters"] = ToJson(suggestion.parameters);
    if (suggestion.same_as > 0) trial["same_as"] = suggestion.same_as;
    if (suggestion.origin > 0) trial["origin"] = suggestion.origin;
    reply["trials"].push_back(std::move(trial));
    TrialRecord record;
    record.id = id;
    record.state = v1::ACTIVE;
    record.parameters = std::move(suggestion.parameters);
    optimizer_->Observe(record);
    trials_[id++] = std::move(record);
  }
  if (result->exhausted) reply["study_complete"] = "every point of the search space was tried";
  return Dump(reply);
}

absl::StatusOr<TrialRecord*> TuneSession::FindOpen(int64_t id, absl::string_view verb) {
  const auto it = trials_.find(static_cast<int32_t>(id));
  if (it == trials_.end()) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no trial ", id), "ask for it first");
  }
  if (it->second.state != v1::ACTIVE) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TRIAL_TERMINAL",
                     absl::StrCat("trial ", id, " has ended; it takes no \"", verb, "\""),
                     "ask for a new trial");
  }
  return &it->second;
}

absl::StatusOr<v1::Measurement> TuneSession::ReadMeasurement(const Request& request) const {
  const auto metrics = request.body.find("metrics");
  if (metrics == request.body.end() || !metrics->is_object()) {
    return Wrong("\"metrics\" is absent or no object", "for example \"metrics\": {\"loss\": 0.2}");
  }
  v1::Measurement measurement;
  bool has_study_metric = false;
  std::vector<std::string> ids;
  for (const auto& metric : spec_.metrics()) ids.push_back(metric.metric_id());
  for (const auto& [name, value] : metrics->items()) {
    const std::optional<double> number = NumberOfJson(value);
    if (!number.has_value()) {
      return Wrong(absl::StrCat("metric \"", name, "\" is ", Dump(value), ", not a number"),
                   "numbers, or \"nan\", \"inf\", \"-inf\"");
    }
    auto* metric = measurement.add_metrics();
    metric->set_metric_id(name);
    metric->set_value(*number);
    has_study_metric = has_study_metric || std::find(ids.begin(), ids.end(), name) != ids.end();
  }
  if (!has_study_metric) {
    return MakeError(absl::StatusCode::kInvalidArgument, "METRIC_MISSING",
                     "none of the metrics is one of the study's",
                     absl::StrCat("the study has ", absl::StrJoin(ids, ", ")));
  }
  if (const auto step = request.body.find("step"); step != request.body.end()) {
    if (!step->is_number_integer() || step->get<int64_t>() < 0) {
      return Wrong("\"step\" is no whole number from 0", "count epochs or batches");
    }
    measurement.set_step(step->get<int64_t>());
  }
  if (const auto elapsed = request.body.find("elapsed"); elapsed != request.body.end()) {
    const double seconds = elapsed->is_number() ? elapsed->get<double>() : -1;
    if (!(seconds >= 0 && seconds < 1e12)) return Wrong("\"elapsed\" is no time", "seconds");
    measurement.mutable_elapsed()->set_seconds(static_cast<int64_t>(seconds));
    measurement.mutable_elapsed()->set_nanos(
        static_cast<int32_t>((seconds - std::floor(seconds)) * 1e9));
  }
  return measurement;
}

bool TuneSession::StopAdvised(int32_t id) {
  if (stop_advised_.count(id) > 0) return true;
  for (const StopAdvice& advice : optimizer_->AdviseStops()) stop_advised_.insert(advice.trial);
  return stop_advised_.count(id) > 0;
}

TuneSession::Reply TuneSession::Tell(const Request& request) {
  auto id = request.Number(1, kIdMax);
  if (!id.ok()) return id.status();
  auto trial = FindOpen(*id, "tell");
  if (!trial.ok()) return trial.status();
  auto measurement = ReadMeasurement(request);
  if (!measurement.ok()) return measurement.status();
  if (!request.body.contains("step")) {
    const auto& told = (*trial)->measurements;
    measurement->set_step(told.empty() ? 1 : told.back().step() + 1);
  }
  Keep(*std::move(measurement), &(*trial)->measurements);
  optimizer_->Observe(**trial);
  Json reply;
  reply["ok"] = true;
  reply["should_stop"] = StopAdvised((*trial)->id);
  return Dump(reply);
}

TuneSession::Reply TuneSession::Complete(const Request& request, double elapsed_seconds) {
  auto id = request.Number(1, kIdMax);
  if (!id.ok()) return id.status();
  auto trial = FindOpen(*id, "complete");
  if (!trial.ok()) return trial.status();
  const auto infeasible = request.body.find("infeasible");
  const auto metrics = request.body.find("metrics");
  const bool measured =
      metrics != request.body.end() && !(metrics->is_object() && metrics->empty());
  if (infeasible != request.body.end()) {
    if (!infeasible->is_string()) {
      return Wrong("\"infeasible\" must say why", "for example \"infeasible\": \"diverged\"");
    }
    if (metrics != request.body.end()) {
      return Wrong("both \"metrics\" and \"infeasible\"", "a trial either measured or failed");
    }
    (*trial)->state = v1::INFEASIBLE;
  } else if (!measured && !(*trial)->measurements.empty()) {
    (*trial)->state = v1::TRIAL_SUCCEEDED;
    (*trial)->final_measurement = Judged(spec_, (*trial)->measurements);
  } else if (!measured) {
    return MakeError(absl::StatusCode::kInvalidArgument, "METRIC_MISSING",
                     "the trial has no measurement", "\"metrics\", or \"infeasible\": \"why\"");
  } else {
    auto measurement = ReadMeasurement(request);
    if (!measurement.ok()) return measurement.status();
    (*trial)->state = v1::TRIAL_SUCCEEDED;
    (*trial)->final_measurement = *std::move(measurement);
  }
  (*trial)->stopped_early = stop_advised_.erase((*trial)->id) > 0;
  (*trial)->end_seconds = elapsed_seconds;
  optimizer_->Observe(**trial);
  return std::string("{\"ok\":true}");
}

TuneSession::Reply TuneSession::ShouldStop(const Request& request) {
  auto id = request.Number(1, kIdMax);
  if (!id.ok()) return id.status();
  const auto known = trials_.find(static_cast<int32_t>(*id));
  Json reply;
  reply["should_stop"] = true;  // of one that has ended
  if (known == trials_.end() || known->second.state == v1::ACTIVE) {
    auto trial = FindOpen(*id, "should_stop");
    if (!trial.ok()) return trial.status();
    reply["should_stop"] = StopAdvised((*trial)->id);
  }
  return Dump(reply);
}

TuneSession::Reply TuneSession::Best(const Request& request) {
  auto count = request.Number(0, kBestMax);
  if (!count.ok()) return count.status();
  Json reply;
  reply["trials"] = Json::array();
  for (const int32_t id : optimizer_->Best(static_cast<int>(*count))) {
    const TrialRecord& record = trials_.at(id);
    Json trial;
    trial["id"] = id;
    trial["parameters"] = ToJson(record.parameters);
    trial["metrics"] = Json::object();
    for (const auto& metric : record.final_measurement->metrics()) {
      trial["metrics"][metric.metric_id()] = JsonOfNumber(metric.value());
    }
    reply["trials"].push_back(std::move(trial));
  }
  return Dump(reply);
}

}  // namespace trainyard::tuning
