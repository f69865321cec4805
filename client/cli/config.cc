// trainyard config list, get, set, unset: the user's settings, and where each value in force comes
// from.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "client/sdk/endpoint.h"
#include "client/sdk/settings.h"
#include "common/errors.h"
#include "common/names.h"

namespace trainyard::cli {
namespace {

absl::Status CheckKey(const std::string& key) {
  const std::vector<std::string>& names = client::SettingNames();
  for (const std::string& name : names) {
    if (key == name) return absl::OkStatus();
  }
  const std::string nearest = NearestName(key, names);
  return UsageError(absl::StrCat("unknown setting \"", key, "\""),
                    nearest.empty() ? absl::StrCat("one of: ", absl::StrJoin(names, ", "))
                                    : absl::StrCat("did you mean \"", nearest, "\"?"));
}

// A secret is shown by its end alone.
std::string Masked(const std::string& token) {
  if (token.empty()) return "";
  return token.size() > 12 ? absl::StrCat("...", token.substr(token.size() - 4)) : "...";
}

absl::Status ListSettings(Context* context, const Arguments&) {
  Table table;
  table.headers = {"SETTING", "VALUE", "FROM"};
  const auto add = [&table](const std::string& key, const std::string& value,
                            const std::string& from) {
    table.rows.push_back({key, value, from});
    table.names.push_back(key);
  };
  const absl::StatusOr<client::Endpoint> endpoint =
      client::FindEndpoint(context->endpoint_flags(), context->environment());
  if (endpoint.ok()) {
    add("endpoint", endpoint->address, endpoint->address_source);
    add("token", Masked(endpoint->token), endpoint->token_source);
    add("project", endpoint->project, "");
    add("ca_file", endpoint->ca_file, "");
  } else {
    add("endpoint", "", FaultsOf(endpoint.status()).faults(0).message());
  }
  add("config", client::ConfigFile(context->environment()), "");
  add("state", client::StateFolder(context->environment()), "");
  PrintTable(&context->console(), context->format, table);
  return absl::OkStatus();
}

absl::Status GetSetting(Context* context, const Arguments& arguments) {
  if (absl::Status status = CheckKey(arguments.Word(0)); !status.ok()) return status;
  const std::string file = client::ConfigFile(context->environment());
  const absl::StatusOr<client::Settings> settings = client::ReadSettings(file);
  if (!settings.ok()) return settings.status();
  const auto found = settings->find(arguments.Word(0));
  if (found == settings->end()) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("\"", arguments.Word(0), "\" is not set in ", file),
                     absl::StrCat("trainyard config set ", arguments.Word(0), " VALUE"));
  }
  context->console().OutLine(found->second);
  return absl::OkStatus();
}

// What every later command would stumble over.
absl::Status CheckValue(const std::string& key, const std::string& value) {
  if (value.empty()) {
    return UsageError(absl::StrCat("the value of ", key, " is empty"),
                      absl::StrCat("to remove it: trainyard config unset ", key), key);
  }
  if (key == "project") return CheckId("project", value);
  if (key != "endpoint") return absl::OkStatus();
  return client::CheckAddress(value, "the value");
}

absl::Status Change(Context* context, const Arguments& arguments, bool set) {
  if (absl::Status status = CheckKey(arguments.Word(0)); !status.ok()) return status;
  if (set) {
    absl::Status status = CheckValue(arguments.Word(0), arguments.Word(1));
    if (!status.ok()) return status;
  }
  const std::string file = client::ConfigFile(context->environment());
  absl::StatusOr<client::Settings> settings = client::ReadSettings(file);
  if (!settings.ok()) return settings.status();
  if (set) {
    (*settings)[arguments.Word(0)] = arguments.Word(1);
  } else {
    settings->erase(arguments.Word(0));
  }
  const absl::Status status = client::WriteSettings(file, *settings);
  if (status.ok() && !context->quiet) {
    context->console().ErrLine(
        absl::StrCat(arguments.Word(0), set ? " set in " : " unset in ", file));
  }
  return status;
}

Command Make(const char* words, const char* summary, const char* example) {
  Command command;
  command.words = words;
  command.summary = summary;
  command.examples = {example};
  command.notes = {
      "Settings: endpoint, token, token_file, ca_file, project. A flag beats its "
      "variable (TRAINYARD_ENDPOINT, TRAINYARD_TOKEN, TRAINYARD_PROJECT, "
      "TRAINYARD_CA_FILE), that beats the file."};
  return command;
}

}  // namespace

Command ConfigListCommand() {
  Command command = Make("config list", "Show the settings in force and where they come from.",
                         "trainyard config list");
  command.run = ListSettings;
  command.prints = true;
  return command;
}
Command ConfigGetCommand() {
  Command command =
      Make("config get", "Print one setting of the config file.", "trainyard config get project");
  command.positionals = {{.name = "SETTING"}};
  command.run = GetSetting;
  return command;
}
Command ConfigSetCommand() {
  Command command = Make("config set", "Write a setting to the config file.",
                         "trainyard config set endpoint https://trains.example.com:7450");
  command.positionals = {{.name = "SETTING"}, {.name = "VALUE"}};
  command.run = [](Context* context, const Arguments& arguments) {
    return Change(context, arguments, /*set=*/true);
  };
  return command;
}
Command ConfigUnsetCommand() {
  Command command = Make("config unset", "Remove a setting from the config file.",
                         "trainyard config unset project");
  command.positionals = {{.name = "SETTING"}};
  command.run = [](Context* context, const Arguments& arguments) {
    return Change(context, arguments, /*set=*/false);
  };
  return command;
}

}  // namespace trainyard::cli
