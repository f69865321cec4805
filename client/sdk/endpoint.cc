// See endpoint.h.
#include "client/sdk/endpoint.h"

#include <arpa/inet.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/sdk/settings.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::client {
namespace {

absl::Status NothingNamed(const std::string& state_folder) {
  return MakeError(
      absl::StatusCode::kUnavailable, "NOT_RUNNING",
      absl::StrCat("no scheduler to talk to: no --endpoint, no TRAINYARD_ENDPOINT, no endpoint in "
                   "the config file, and no embedded cluster runs here (looked for ",
                   JoinPath(state_folder, "endpoint.json"), ")"),
      "start one on this machine: trainyard up; or name one: --endpoint HOST:PORT; "
      "look closer: trainyard doctor");
}

std::string FirstWord(const std::string& text) {
  return std::string(absl::StripAsciiWhitespace(text));
}

// Splits an optional scheme off and decides about TLS.
absl::Status SetAddress(absl::string_view text, Endpoint* endpoint) {
  if (absl::StartsWith(text, "unix:")) {
    endpoint->address = std::string(text);
    return absl::OkStatus();
  }
  const bool asks_tls =
      absl::ConsumePrefix(&text, "https://") || absl::ConsumePrefix(&text, "grpcs://");
  const bool asks_plain =
      !asks_tls && (absl::ConsumePrefix(&text, "http://") || absl::ConsumePrefix(&text, "grpc://"));
  absl::ConsumeSuffix(&text, "/");
  int port = 0;
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 1 || port > 65535) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("\"", text, "\" (", endpoint->address_source,
                                  ") is no address of a scheduler"),
                     "write HOST:PORT, https://HOST:PORT or unix:/path/to/socket", "endpoint");
  }
  if (asks_plain && !IsLoopback(text)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "INSECURE_ADDRESS",
                     absl::StrCat("a token is never sent in the clear to ", text, " (",
                                  endpoint->address_source, ")"),
                     absl::StrCat("write https://", text, " or ", text), "endpoint");
  }
  endpoint->address = std::string(text);
  endpoint->tls = asks_tls || !IsLoopback(text);
  return absl::OkStatus();
}

struct Named {
  std::string value;
  std::string source;
};

Named FirstOf(const std::string& flag, const char* flag_name, const Environment& environment,
              const char* variable, const Settings& settings, const std::string& setting,
              const std::string& file) {
  if (!flag.empty()) return {flag, flag_name};
  if (std::string value = environment(variable); !value.empty()) return {value, variable};
  if (const auto found = settings.find(setting); found != settings.end()) {
    return {found->second, absl::StrCat(setting, " in ", file)};
  }
  return {};
}

// The token for `endpoint` when neither flag, variable nor setting gave one.
absl::Status FindToken(const Settings& settings, const std::string& config,
                       const std::string& state, const absl::StatusOr<EmbeddedEndpoint>& embedded,
                       Endpoint* endpoint) {
  std::string file;
  if (const auto found = settings.find("token_file"); found != settings.end()) {
    file = found->second;
    endpoint->token_source = absl::StrCat("token_file in ", config);
  } else if (embedded.ok() &&
             (endpoint->address == embedded->grpc || endpoint->address == embedded->grpc_tcp)) {
    file = JoinPath(state, "token");
    endpoint->token_source = file;
  }
  if (file.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> token = ReadFile(file);
  if (!token.ok()) {
    return MakeError(absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED",
                     absl::StrCat("the token cannot be read: ", token.status().message()),
                     "run as the user who started the cluster, or give --token or TRAINYARD_TOKEN");
  }
  endpoint->token = FirstWord(*token);
  return absl::OkStatus();
}

}  // namespace

// Numbers alone: a name such as 127.example.org is anybody's.
bool IsLoopback(absl::string_view address) {
  in_addr parsed;
  const std::string host(address.substr(0, address.rfind(':')));
  return host == "localhost" || host == "[::1]" ||
         (absl::StartsWith(host, "127.") && inet_pton(AF_INET, host.c_str(), &parsed) == 1);
}

absl::Status CheckAddress(absl::string_view text, absl::string_view source) {
  Endpoint endpoint;
  endpoint.address_source = std::string(source);
  return SetAddress(text, &endpoint);
}

Environment ProcessEnvironment() {
  return [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
}

std::string StateFolder(const Environment& environment) {
  if (std::string folder = environment("TRAINYARD_STATE"); !folder.empty()) return folder;
  std::string base = environment("XDG_STATE_HOME");
  if (base.empty()) base = JoinPath(environment("HOME"), ".local/state");
  return JoinPath(base, "trainyard");
}

std::string ConfigFile(const Environment& environment) {
  std::string base = environment("XDG_CONFIG_HOME");
  if (base.empty()) base = JoinPath(environment("HOME"), ".config");
  return JoinPath(base, "trainyard/config.yaml");
}

absl::StatusOr<EmbeddedEndpoint> ReadEmbeddedEndpoint(const std::string& state_folder) {
  const std::string path = JoinPath(state_folder, "endpoint.json");
  if (!Exists(path)) return absl::NotFoundError(absl::StrCat("no ", path));
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object() || !json.value("grpc", nlohmann::json()).is_string()) {
    return absl::InternalError(absl::StrCat(path, " is damaged"));
  }
  const auto text_of = [&json](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto number_of = [&json](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_number() ? found->get<uint64_t>() : uint64_t{0};
  };
  return EmbeddedEndpoint{text_of("grpc"), text_of("grpc_tcp"), text_of("http"),
                          static_cast<int64_t>(number_of("pid")), number_of("incarnation")};
}

absl::StatusOr<Endpoint> FindEndpoint(const EndpointFlags& flags,
                                      const Environment& whole_environment) {
  const std::string state = StateFolder(whole_environment);
  const std::string config = ConfigFile(whole_environment);
  const absl::StatusOr<Settings> settings =
      flags.embedded ? absl::StatusOr<Settings>(Settings()) : ReadSettings(config);
  if (!settings.ok()) return settings.status();
  const Environment environment =
      flags.embedded ? Environment([](const char*) { return std::string(); }) : whole_environment;
  const absl::StatusOr<EmbeddedEndpoint> embedded = ReadEmbeddedEndpoint(state);

  Endpoint endpoint;
  Named address = FirstOf(flags.endpoint, "--endpoint", environment, "TRAINYARD_ENDPOINT",
                          *settings, "endpoint", config);
  if (address.value.empty()) {
    if (!embedded.ok()) {
      return absl::IsNotFound(embedded.status()) ? NothingNamed(state) : embedded.status();
    }
    address = {embedded->grpc, JoinPath(state, "endpoint.json")};
  }
  endpoint.address_source = address.source;
  if (absl::Status status = SetAddress(address.value, &endpoint); !status.ok()) return status;

  const Named token =
      FirstOf(flags.token, "--token", environment, "TRAINYARD_TOKEN", *settings, "token", config);
  endpoint.token = FirstWord(token.value);
  endpoint.token_source = token.source;
  if (endpoint.token.empty()) {
    if (absl::Status status = FindToken(*settings, config, state, embedded, &endpoint);
        !status.ok()) {
      return status;
    }
  }
  const Named project = FirstOf(flags.project, "--project", environment, "TRAINYARD_PROJECT",
                                *settings, "project", config);
  // As it is listed, "projects/vision", or its id alone.
  if (!project.value.empty()) {
    endpoint.project = std::string(absl::StripPrefix(project.value, "projects/"));
  }
  endpoint.ca_file = FirstOf(flags.ca_file, "--ca-file", environment, "TRAINYARD_CA_FILE",
                             *settings, "ca_file", config)
                         .value;
  if (!endpoint.ca_file.empty() && !ReadFile(endpoint.ca_file).ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("the CA file ", endpoint.ca_file, " cannot be read"),
                     "give the PEM file of the cluster's CA with --ca-file", "ca_file");
  }
  // Who names an authority means TLS, on this machine too.
  if (!endpoint.ca_file.empty() && !absl::StartsWith(endpoint.address, "unix:")) {
    endpoint.tls = true;
  }
  return endpoint;
}

}  // namespace trainyard::client
