// See earlier_study.h.
#include "scheduler/tuning/earlier_study.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"

namespace trainyard::tuning {
namespace {

using Json = nlohmann::ordered_json;

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

std::optional<v1::ParameterValue> ReadParameter(const std::string& id, const Json& value) {
  v1::ParameterValue parameter;
  parameter.set_parameter_id(id);
  if (value.is_string()) {
    parameter.set_text(value.get<std::string>());
  } else if (value.is_number_integer()) {
    parameter.set_integer(value.get<int64_t>());
  } else if (value.is_number()) {
    parameter.set_number(value.get<double>());
  } else {
    return std::nullopt;
  }
  return parameter;
}

absl::StatusOr<TrialRecord> ReadTrial(const Json& json, int32_t id) {
  const std::string place = absl::StrCat("trials[", id - 1, "]");
  TrialRecord record;
  record.id = id;
  const bool failed = json.is_object() && json.contains("infeasible");
  if (!json.is_object() || !json.contains("parameters") || !json["parameters"].is_object() ||
      (!failed && (!json.contains("metrics") || !json["metrics"].is_object()))) {
    return Wrong(absl::StrCat(place, " lacks \"parameters\" or \"metrics\""));
  }
  for (const auto& [name, value] : json["parameters"].items()) {
    const auto parameter = ReadParameter(name, value);
    if (!parameter.has_value()) {
      return Wrong(absl::StrCat(place, ".parameters.", name, " is no number and no text"));
    }
    record.parameters.push_back(*parameter);
  }
  record.state = failed ? v1::INFEASIBLE : v1::TRIAL_SUCCEEDED;
  if (failed) return record;
  for (const auto& [name, value] : json["metrics"].items()) {
    if (!value.is_number()) return Wrong(absl::StrCat(place, ".metrics.", name, " is no number"));
    auto* metric = record.final_measurement.has_value()
                       ? record.final_measurement->add_metrics()
                       : record.final_measurement.emplace().add_metrics();
    metric->set_metric_id(name);
    metric->set_value(value.get<double>());
  }
  return record;
}

}  // namespace

absl::StatusOr<EarlierStudyText> ParseEarlierStudy(absl::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("spec") || !json["spec"].is_object() ||
      !json.contains("trials") || !json["trials"].is_array()) {
    return Wrong("no JSON object with \"spec\" and \"trials\"");
  }
  EarlierStudyText study;
  study.spec_text = json["spec"].dump(-1, ' ', false, Json::error_handler_t::replace);
  for (const Json& trial : json["trials"]) {
    auto record = ReadTrial(trial, static_cast<int32_t>(study.trials.size()) + 1);
    if (!record.ok()) return record.status();
    study.trials.push_back(*std::move(record));
  }
  return study;
}

}  // namespace trainyard::tuning
