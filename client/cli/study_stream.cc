// See study_stream.h; also the command trainyard study stream.
#include "client/cli/study_stream.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/sdk/client.h"
#include "common/errors.h"
#include "common/json_line.h"
#include "common/json_number.h"

namespace trainyard::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kAskMax = 1000;
constexpr double kSecondsMax = 1e12;
constexpr const char* kVerbs[] = {"ask", "tell", "complete", "should_stop", "best"};

absl::Status Wrong(absl::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT", message, "");
}

Json ErrorOf(const absl::Status& status) {
  const v1::Faults faults = FaultsOf(status);
  std::string message;
  for (const v1::Fault& fault : faults.faults()) {
    absl::StrAppend(&message, message.empty() ? "" : "; ", fault.message());
    if (!fault.fix().empty()) absl::StrAppend(&message, " (", fault.fix(), ")");
  }
  return {{"error", {{"reason", ReasonOf(status)}, {"message", message}}}};
}

Json ParametersJson(const v1::Trial& trial) {
  Json out = Json::object();
  for (const v1::ParameterValue& value : trial.parameters()) {
    switch (value.value_case()) {
      case v1::ParameterValue::kNumber:
        out[value.parameter_id()] = value.number();
        break;
      case v1::ParameterValue::kInteger:
        out[value.parameter_id()] = value.integer();
        break;
      case v1::ParameterValue::kText:
        out[value.parameter_id()] = value.text();
        break;
      case v1::ParameterValue::VALUE_NOT_SET:
        break;
    }
  }
  return out;
}

Json TrialJson(const v1::Trial& trial, bool with_metrics) {
  Json out = {{"id", trial.id()}, {"parameters", ParametersJson(trial)}};
  if (trial.same_as() > 0) out["same_as"] = trial.same_as();
  if (trial.origin() > 0) out["origin"] = trial.origin();
  if (!with_metrics) return out;
  out["metrics"] = Json::object();
  for (const v1::MetricValue& metric : trial.final_measurement().metrics()) {
    out["metrics"][metric.metric_id()] = JsonOfNumber(metric.value());
  }
  return out;
}

absl::StatusOr<int32_t> NumberOf(const Json& request, const char* key, int32_t min, int32_t max) {
  const Json& value = request[key];
  const std::string expected = absl::StrCat("a whole number from ", min, " to ", max);
  if (!value.is_number_integer()) {
    return Wrong(absl::StrCat("\"", key, "\" must be ", expected));
  }
  const bool too_large =
      value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(max);
  if (too_large || value.get<int64_t>() < min || value.get<int64_t>() > max) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     absl::StrCat("\"", key, "\" is no ", expected.substr(2)), "");
  }
  return value.get<int32_t>();
}

absl::StatusOr<v1::Measurement> MeasurementIn(const Json& request) {
  v1::Measurement measurement;
  if (request.contains("step")) {
    const Json& step = request["step"];
    if (!step.is_number_integer() || step.get<int64_t>() < 0) {
      return Wrong("\"step\" must be a whole number from 0");
    }
    measurement.set_step(step.get<int64_t>());
  }
  if (request.contains("elapsed")) {
    const Json& elapsed = request["elapsed"];
    const double seconds = elapsed.is_number() ? elapsed.get<double>() : -1;
    if (!(seconds >= 0 && seconds < kSecondsMax)) {
      return Wrong("\"elapsed\" must be a number of seconds");
    }
    measurement.mutable_elapsed()->set_seconds(static_cast<int64_t>(seconds));
    measurement.mutable_elapsed()->set_nanos(
        static_cast<int32_t>((seconds - std::floor(seconds)) * 1e9));
  }
  const Json metrics = request.value("metrics", Json::object());
  if (!metrics.is_object()) return Wrong("\"metrics\" must be an object of numbers");
  for (const auto& [name, value] : metrics.items()) {
    const std::optional<double> number = NumberOfJson(value);
    if (!number.has_value()) {
      return Wrong(absl::StrCat("metric \"", name, "\" must be a number, \"nan\" or \"inf\""));
    }
    v1::MetricValue* metric = measurement.add_metrics();
    metric->set_metric_id(name);
    metric->set_value(*number);
  }
  return measurement;
}

// One study and who asks it.
struct Desk {
  client::Client* client;
  const std::string& study;
  const std::string& client_id;
  StudyStream::Given* given;

  std::string TrialName(int32_t trial) const { return absl::StrCat(study, "/trials/", trial); }

  // The server gives a client its open trials first; those that this stream gave out are not given
  // again, those of an earlier stream of the same client are.
  absl::StatusOr<Json> Ask(const Json& request) const {
    const absl::StatusOr<int32_t> count = NumberOf(request, "ask", 1, kAskMax);
    if (!count.ok()) return count.status();
    const auto wanted = static_cast<size_t>(*count);
    std::string over;
    if (given->ahead.size() < wanted) {
      const absl::Status status = Fetch(wanted, &over);
      if (!status.ok()) return status;
    }
    Json trials = Json::array();
    for (size_t i = 0; i < wanted && !given->ahead.empty(); ++i) {
      given->open.insert(given->ahead.front().id());
      trials.push_back(TrialJson(given->ahead.front(), false));
      given->ahead.pop_front();
    }
    Json reply = {{"trials", trials}};
    if (trials.empty() && !over.empty()) reply["study_complete"] = over;
    return reply;
  }

  // Fills what is ahead; `over` says why a study gives nothing more, which is no mistake.
  absl::Status Fetch(size_t wanted, std::string* over) const {
    v1::SuggestTrialsRequest suggest;
    suggest.set_parent(study);
    suggest.set_count(static_cast<int32_t>(
        std::min<size_t>(given->open.size() + wanted, static_cast<size_t>(kAskMax))));
    suggest.set_client_id(client_id);
    const auto response = client->SuggestTrials(suggest);
    if (!response.ok() && ReasonOf(response.status()) == "STUDY_COMPLETE") {
      *over = std::string(response.status().message());
      return absl::OkStatus();
    }
    if (!response.ok()) return response.status();
    std::set<int32_t> still_open;
    given->ahead.clear();
    for (const v1::Trial& trial : response->trials()) {
      if (given->open.count(trial.id()) > 0) {
        still_open.insert(trial.id());
      } else {
        given->ahead.push_back(trial);
      }
    }
    given->open = std::move(still_open);
    if (given->ahead.empty() && given->open.size() >= static_cast<size_t>(kAskMax)) {
      return MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                       absl::StrCat(given->open.size(), " trials are open already"),
                       "complete some of them first");
    }
    *over = "the study has no further trials";
    return absl::OkStatus();
  }

  absl::StatusOr<Json> Tell(const Json& request) const {
    const absl::StatusOr<int32_t> trial = NumberOf(request, "tell", 1, INT32_MAX);
    if (!trial.ok()) return trial.status();
    const absl::StatusOr<v1::Measurement> measurement = MeasurementIn(request);
    if (!measurement.ok()) return measurement.status();
    if (!request.contains("metrics")) return Wrong("\"metrics\" is missing");
    v1::AddMeasurementRequest add;
    add.set_trial_name(TrialName(*trial));
    *add.mutable_measurement() = *measurement;
    const auto response = client->AddMeasurement(add);
    if (!response.ok()) return response.status();
    return Json{{"ok", true}, {"should_stop", response->should_stop()}};
  }

  absl::StatusOr<Json> Complete(const Json& request) const {
    const absl::StatusOr<int32_t> trial = NumberOf(request, "complete", 1, INT32_MAX);
    if (!trial.ok()) return trial.status();
    const absl::StatusOr<v1::Measurement> measurement = MeasurementIn(request);
    if (!measurement.ok()) return measurement.status();
    v1::CompleteTrialRequest complete;
    complete.set_name(TrialName(*trial));
    if (!measurement->metrics().empty()) *complete.mutable_final_measurement() = *measurement;
    if (request.contains("infeasible")) {
      if (!request["infeasible"].is_string()) return Wrong("\"infeasible\" must say why");
      if (request.contains("metrics")) {
        return Wrong("a trial either measured or failed: \"metrics\" or \"infeasible\"");
      }
      complete.set_infeasible(true);
      complete.set_infeasible_reason(request["infeasible"].get<std::string>());
    }
    const auto response = client->CompleteTrial(complete);
    if (!response.ok()) return response.status();
    given->open.erase(*trial);
    return Json{{"ok", true}};
  }

  absl::StatusOr<Json> ShouldStop(const Json& request) const {
    const absl::StatusOr<int32_t> trial = NumberOf(request, "should_stop", 1, INT32_MAX);
    if (!trial.ok()) return trial.status();
    v1::ShouldStopRequest ask;
    ask.set_trial_name(TrialName(*trial));
    const auto response = client->ShouldStop(ask);
    if (!response.ok()) return response.status();
    return Json{{"should_stop", response->should_stop()}};
  }

  absl::StatusOr<Json> Best(const Json& request) const {
    const absl::StatusOr<int32_t> count = NumberOf(request, "best", 0, kAskMax);
    if (!count.ok()) return count.status();
    v1::ListBestTrialsRequest list;
    list.set_parent(study);
    list.set_count(*count);
    const auto response = client->ListBestTrials(list);
    if (!response.ok()) return response.status();
    Json trials = Json::array();
    for (const v1::Trial& trial : response->trials()) trials.push_back(TrialJson(trial, true));
    return Json{{"trials", trials}};
  }

  absl::StatusOr<Json> Answer(const Json& request) const {
    if (!request.is_object()) return Wrong("a line must be a JSON object");
    const auto asks = [&request](const char* verb) { return request.contains(verb); };
    if (std::count_if(std::begin(kVerbs), std::end(kVerbs), asks) > 1) {
      return Wrong("a line asks for one thing; send two lines");
    }
    if (request.contains("ask")) return Ask(request);
    if (request.contains("tell")) return Tell(request);
    if (request.contains("complete")) return Complete(request);
    if (request.contains("should_stop")) return ShouldStop(request);
    if (request.contains("best")) return Best(request);
    return Wrong("one of \"ask\", \"tell\", \"complete\", \"should_stop\", \"best\" is expected");
  }
};

absl::Status Stream(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> study = context->StudyNameOf(arguments.Word(0));
  if (!study.ok()) return study.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetStudyRequest request;
  request.set_name(*study);
  const absl::StatusOr<v1::Study> known = (*client)->GetStudy(request);
  if (!known.ok()) return known.status();
  // Streams that do not say who they are are different ones.
  const std::string id = arguments.Has("client-id")
                             ? arguments.Get("client-id")
                             : absl::StrCat("stream-", client::NewRequestId());
  StudyStream stream(*client, *study, id);
  Console& console = context->console();
  for (std::string line; console.ReadLine(&line);) {
    console.OutLine(stream.Reply(line));
    console.Flush();
  }
  return absl::OkStatus();
}

}  // namespace

StudyStream::StudyStream(client::Client* client, std::string study, std::string client_id)
    : client_(client), study_(std::move(study)), client_id_(std::move(client_id)) {}

std::string StudyStream::Reply(const std::string& line) {
  std::string twice;
  const Json request = ParseJsonLine(line, &twice);
  absl::StatusOr<Json> answer = Wrong("the line is not valid JSON");
  if (!twice.empty()) {
    answer = Wrong(absl::StrCat(twice, " stands twice in one object"));
  } else if (!request.is_discarded()) {
    answer = Desk{client_, study_, client_id_, &given_}.Answer(request);
  }
  const Json reply = answer.ok() ? *std::move(answer) : ErrorOf(answer.status());
  return reply.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Command StudyStreamCommand() {
  Command command;
  command.words = "study stream";
  command.summary = "Drive a study by JSON lines on stdin and stdout.";
  command.examples = {"echo '{\"ask\": 2}' | trainyard study stream lr_search"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}};
  command.flags = {{.name = "client-id",
                    .value = "ID",
                    .help = "who asks; a later stream with the same id is given its open trials "
                            "again; default: a new one"}};
  command.run = Stream;
  command.notes = {"One reply line per request line:",
                   "{\"ask\": 2}, {\"tell\": 1, \"step\": 5, \"metrics\": {\"loss\": 0.31}},",
                   "{\"complete\": 1, \"metrics\": {\"loss\": 0.2}} (or \"infeasible\": \"why\"),",
                   "{\"should_stop\": 1}, {\"best\": 1}. Anything wrong is answered with "
                   "{\"error\": {\"reason\": ..., \"message\": ...}} and the stream goes on."};
  return command;
}

}  // namespace trainyard::cli
