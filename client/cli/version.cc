// trainyard version: of this client and, when one answers, of the scheduler.
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

constexpr char kVersion[] = TRAINYARD_VERSION;

nlohmann::ordered_json ServerJson(const v1::ServerInfo& server) {
  return nlohmann::ordered_json::parse(JsonOf(server, /*indented=*/false), nullptr, false);
}

absl::Status Version(Context* context, const Arguments& arguments) {
  Console& console = context->console();
  const bool json = arguments.Has("json") || context->format == Format::kJson ||
                    context->format == Format::kJsonLines;
  absl::StatusOr<v1::ServerInfo> server = absl::NotFoundError("not asked");
  if (!arguments.Has("client")) {
    const absl::StatusOr<client::Client*> client = context->Connect();
    server = client.ok() ? (*client)->GetServerInfo({})
                         : absl::StatusOr<v1::ServerInfo>(client.status());
  }
  if (json || context->format == Format::kYaml) {
    nlohmann::ordered_json out = {{"client", {{"version", kVersion}}}};
    if (server.ok()) out["server"] = ServerJson(*server);
    if (context->format == Format::kYaml && !json) {
      console.Out(YamlOfJson(out.dump()));
    } else {
      console.OutLine(context->format == Format::kJsonLines ? out.dump() : out.dump(2));
    }
    return absl::OkStatus();
  }
  console.OutLine(absl::StrCat("client ", kVersion));
  if (server.ok()) {
    console.OutLine(absl::StrCat("server ", server->version()));
  } else if (!arguments.Has("client")) {
    console.ErrLine(absl::StrCat("no server: ", server.status().message()));
  }
  return absl::OkStatus();
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
  command.run = Version;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
