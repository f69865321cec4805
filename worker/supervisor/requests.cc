// See requests.h.
#include "worker/supervisor/requests.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace trainyard::worker {
namespace {

using nlohmann::json;
using Kind = Request::Kind;

constexpr size_t kMetricsMax = 1000;
constexpr size_t kNameMax = 256;

Request Invalid(const std::string& what) {
  Request request;
  request.error = what;
  return request;
}

// Throws nlohmann's errors for a missing or wrongly typed field.
std::vector<std::pair<std::string, double>> MetricsOf(const json& value) {
  std::vector<std::pair<std::string, double>> metrics;
  for (const auto& [name, number] : value.items()) {
    if (name.empty() || name.size() > kNameMax || metrics.size() == kMetricsMax) {
      throw json::other_error::create(501, "metrics: at most 1000, with names of 1 to 256 bytes",
                                      &value);
    }
    if (!number.is_string()) {
      metrics.emplace_back(name, number.get<double>());
      continue;
    }
    const std::string text = number.get<std::string>();
    if (text != "nan" && text != "inf" && text != "-inf") {
      throw json::other_error::create(
          501, "a value is a number or one of \"nan\", \"inf\", \"-inf\"", &number);
    }
    metrics.emplace_back(name, std::strtod(text.c_str(), nullptr));
  }
  return metrics;
}

Request HelloOf(const json& body) {
  Request request;
  request.kind = Kind::kHello;
  request.rank = body.at("rank").get<int32_t>();
  request.pid = body.value("pid", 0);
  return request;
}

Request ReportOf(const json& body) {
  Request request;
  request.kind = Kind::kReport;
  request.step = body.value("step", int64_t{0});
  request.rank = body.value("rank", -1);
  request.metrics = MetricsOf(body.at("metrics"));
  return request;
}

Request CheckpointOf(const json& body) {
  Request request;
  request.kind = Kind::kCheckpoint;
  request.step = body.at("step").get<int64_t>();
  request.path = body.value("path", "");
  return request;
}

Request RankEndOf(Kind kind, const json& body) {
  Request request;
  request.kind = kind;
  request.rank = body.at("rank").get<int32_t>();
  request.status = body.at("status").get<int32_t>();
  request.time_ns = body.value("time_ns", int64_t{0});
  request.path = body.value("path", "");
  return request;
}

Request StopOf(const json& body) {
  Request request;
  request.kind = Kind::kStop;
  request.reason = body.at("reason").get<std::string>();
  request.millis = body.value("grace_ms", int64_t{-1});
  return request;
}

Request LeaseOf(const json& body) {
  Request request;
  request.kind = Kind::kLease;
  request.millis = body.at("ms").get<int64_t>();
  return request;
}

Request SpawnOf(const json& body) {
  Request request;
  request.kind = Kind::kSpawn;
  request.host = body.at("host").get<std::string>();
  request.words = body.at("words").get<std::vector<std::string>>();
  return request;
}

Request DaemonOf(const json& body) {
  Request request;
  request.kind = Kind::kDaemon;
  request.words = body.at("argv").get<std::vector<std::string>>();
  return request;
}

Request SpawnFailedOf(const json& body) {
  Request request;
  request.kind = Kind::kSpawnFailed;
  request.reason = body.at("message").get<std::string>();
  return request;
}

Request Simple(Kind kind) {
  Request request;
  request.kind = kind;
  return request;
}

// A request is an object with exactly one key.
template <typename Dispatch>
Request Parse(const std::string& line, const std::string& expected, Dispatch dispatch) try {
  const json value = json::parse(line);
  if (!value.is_object() || value.size() != 1) {
    return Invalid("a request is a JSON object with one key: " + expected);
  }
  return dispatch(value.begin().key(), value.begin().value());
} catch (const json::exception& fault) {
  return Invalid(fault.what());
}

constexpr char kReporterKeys[] = "hello, report, checkpoint or should_stop";
constexpr char kControlKeys[] = "stop, lease, early_stop, daemon or spawn_failed";

}  // namespace

Request ParseReporterRequest(const std::string& line) {
  return Parse(line, kReporterKeys, [](const std::string& key, const json& body) {
    if (key == "hello") return HelloOf(body);
    if (key == "report") return ReportOf(body);
    if (key == "checkpoint") return CheckpointOf(body);
    if (key == "should_stop") return Simple(Kind::kShouldStop);
    if (key == "exited") return RankEndOf(Kind::kRankExited, body);
    if (key == "exec_failed") return RankEndOf(Kind::kRankFailed, body);
    if (key == "spawn") return SpawnOf(body);
    return Invalid("unknown request \"" + key + "\"; expected " + kReporterKeys);
  });
}

Request ParseControlRequest(const std::string& line) {
  return Parse(line, kControlKeys, [](const std::string& key, const json& body) {
    if (key == "stop") return StopOf(body);
    if (key == "lease") return LeaseOf(body);
    if (key == "early_stop") return Simple(Kind::kEarlyStop);
    if (key == "daemon") return DaemonOf(body);
    if (key == "spawn_failed") return SpawnFailedOf(body);
    return Invalid("unknown request \"" + key + "\"; expected " + kControlKeys);
  });
}

std::string OkReply() { return "{\"ok\":true}"; }
std::string ReportReply(bool should_stop) {
  return should_stop ? "{\"ok\":true,\"should_stop\":true}" : "{\"ok\":true,\"should_stop\":false}";
}
std::string ShouldStopReply(bool should_stop) {
  return should_stop ? "{\"should_stop\":true}" : "{\"should_stop\":false}";
}
std::string ErrorReply(const std::string& what) {
  return json{{"error", what}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace trainyard::worker
