// See study_stream.h; also the command trainyard study stream.
#include "client/cli/study_stream.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/sdk/client.h"
#include "common/errors.h"

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

// JSON has no nan and no infinities; the wire has them as text.
Json NumberJson(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
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
  if (trial.origin() > 0) out["origin"] = trial.origin();
  if (!with_metrics) return out;
  out["metrics"] = Json::object();
  for (const v1::MetricValue& metric : trial.final_measurement().metrics()) {
    out["metrics"][metric.metric_id()] = NumberJson(metric.value());
  }
  return out;
}

absl::StatusOr<int32_t> NumberOf(const Json& request, const char* key, int32_t max) {
  const Json& value = request[key];
  if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > max) {
    return Wrong(absl::StrCat("\"", key, "\" must be a whole number from 1 to ", max));
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
    double number = 0;
    const bool is_text = value.is_string() && absl::SimpleAtod(value.get<std::string>(), &number);
    if (!is_text && !value.is_number()) {
      return Wrong(absl::StrCat("metric \"", name, "\" must be a number, \"nan\" or \"inf\""));
    }
    v1::MetricValue* metric = measurement.add_metrics();
    metric->set_metric_id(name);
    metric->set_value(is_text ? number : value.get<double>());
  }
  return measurement;
}

// One study and who asks it.
struct Desk {
  client::Client* client;
  const std::string& study;
  const std::string& client_id;

  std::string TrialName(int32_t trial) const { return absl::StrCat(study, "/trials/", trial); }

  absl::StatusOr<Json> Ask(const Json& request) const {
    const absl::StatusOr<int32_t> count = NumberOf(request, "ask", kAskMax);
    if (!count.ok()) return count.status();
    v1::SuggestTrialsRequest suggest;
    suggest.set_parent(study);
    suggest.set_count(*count);
    suggest.set_client_id(client_id);
    const auto response = client->SuggestTrials(suggest);
    if (!response.ok() && ReasonOf(response.status()) == "STUDY_COMPLETE") {
      // That a study is over is no mistake.
      return Json{{"trials", Json::array()}, {"study_complete", response.status().message()}};
    }
    if (!response.ok()) return response.status();
    Json trials = Json::array();
    for (const v1::Trial& trial : response->trials()) trials.push_back(TrialJson(trial, false));
    return Json{{"trials", trials}};
  }

  absl::StatusOr<Json> Tell(const Json& request) const {
    const absl::StatusOr<int32_t> trial = NumberOf(request, "tell", INT32_MAX);
    if (!trial.ok()) return trial.status();
    const absl::StatusOr<v1::Measurement> measurement = MeasurementIn(request);
    if (!measurement.ok()) return measurement.status();
    if (measurement->metrics().empty()) return Wrong("\"metrics\" is missing");
    v1::AddMeasurementRequest add;
    add.set_trial_name(TrialName(*trial));
    *add.mutable_measurement() = *measurement;
    const auto response = client->AddMeasurement(add);
    if (!response.ok()) return response.status();
    return Json{{"ok", true}, {"should_stop", response->should_stop()}};
  }

  absl::StatusOr<Json> Complete(const Json& request) const {
    const absl::StatusOr<int32_t> trial = NumberOf(request, "complete", INT32_MAX);
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
    return Json{{"ok", true}};
  }

  absl::StatusOr<Json> ShouldStop(const Json& request) const {
    const absl::StatusOr<int32_t> trial = NumberOf(request, "should_stop", INT32_MAX);
    if (!trial.ok()) return trial.status();
    v1::ShouldStopRequest ask;
    ask.set_trial_name(TrialName(*trial));
    const auto response = client->ShouldStop(ask);
    if (!response.ok()) return response.status();
    return Json{{"should_stop", response->should_stop()}};
  }

  absl::StatusOr<Json> Best(const Json& request) const {
    const absl::StatusOr<int32_t> count = NumberOf(request, "best", kAskMax);
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
  StudyStream stream(*client, *study, arguments.Get("client-id"));
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
  const Json request = Json::parse(line, nullptr, false);
  absl::StatusOr<Json> answer = request.is_discarded()
                                    ? absl::StatusOr<Json>(Wrong("the line is not valid JSON"))
                                    : Desk{client_, study_, client_id_}.Answer(request);
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
                    .help = "who asks; asking again gives the same open trials"}};
  command.run = Stream;
  command.notes = {"One reply line per request line:",
                   "{\"ask\": 2}, {\"tell\": 1, \"step\": 5, \"metrics\": {\"loss\": 0.31}},",
                   "{\"complete\": 1, \"metrics\": {\"loss\": 0.2}} (or \"infeasible\": \"why\"),",
                   "{\"should_stop\": 1}, {\"best\": 1}. Anything wrong is answered with "
                   "{\"error\": {\"reason\": ..., \"message\": ...}} and the stream goes on."};
  return command;
}

}  // namespace trainyard::cli
