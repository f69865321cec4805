// trainyard version: of this client and, when one answers, of the scheduler; an error when the two
// are too far apart to work together.
#include "common/version.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

nlohmann::ordered_json ServerJson(const v1::ServerInfo& server) {
  return nlohmann::ordered_json::parse(JsonOf(server, /*indented=*/false), nullptr, false);
}

absl::StatusOr<v1::ServerInfo> AskServer(Context* context, const Arguments& arguments) {
  if (arguments.Has("client")) return absl::NotFoundError("not asked");
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  return (*client)->GetServerInfo({});
}

void PrintMessage(Console* console, Format format, const absl::StatusOr<v1::ServerInfo>& server) {
  nlohmann::ordered_json out = {{"client", {{"version", BuildVersion()}}}};
  if (server.ok()) out["server"] = ServerJson(*server);
  if (format == Format::kYaml) return console->Out(YamlOfJson(out.dump()));
  console->OutLine(format == Format::kJsonLines ? out.dump() : out.dump(2));
}

void PrintLines(Console* console, Format format, const absl::StatusOr<v1::ServerInfo>& server) {
  Table table;
  table.headers = {"SIDE", "VERSION"};
  table.rows = {{"client", BuildVersion()}};
  if (server.ok()) table.rows.push_back({"server", server->version()});
  for (const auto& row : table.rows) table.names.push_back(absl::StrCat(row[0], " ", row[1]));
  if (format == Format::kCsv) return PrintTable(console, format, table);
  for (const std::string& line : table.names) console->OutLine(line);
}

absl::Status Version(Context* context, const Arguments& arguments) {
  Console& console = context->console();
  const absl::StatusOr<v1::ServerInfo> server = AskServer(context, arguments);
  const Format format = arguments.Has("json") ? Format::kJson : context->format;
  if (format == Format::kJson || format == Format::kJsonLines || format == Format::kYaml) {
    PrintMessage(&console, format, server);
  } else {
    PrintLines(&console, format, server);
    if (!server.ok() && !arguments.Has("client")) {
      console.ErrLine(absl::StrCat("no server: ", server.status().message()));
    }
  }
  return server.ok() ? CheckNeighbours(BuildVersion(), server->version()) : absl::OkStatus();
}

}  // namespace

Command VersionCommand() {
  Command command;
  command.words = "version";
  command.summary = "Print the versions of client and server.";
  command.examples = {"trainyard version", "trainyard version --client",
                      "trainyard version --json"};
  command.flags = {{.name = "json", .help = "the same as -o json"},
                   {.name = "client", .help = "do not ask the server"}};
  command.notes = {
      "Versions of one minor step work together. Exit code 6 when the two are further apart."};
  command.run = Version;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
