// trainyard projects list, create and update: the projects whose jobs the caller may see, and the
// team whose quota each is under.
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"
#include "common/names.h"

namespace trainyard::cli {
namespace {

Table ProjectTable(const std::vector<const v1::Project*>& projects, const std::string& current) {
  Table table;
  table.headers = {"PROJECT", "TEAM", "RUN AS", "CURRENT"};
  for (const v1::Project* project : projects) {
    const std::string id = ShortName(project->name());
    table.rows.push_back({id, project->team().empty() ? "-" : project->team(),
                          project->run_as().empty() ? "-" : project->run_as(),
                          id == current ? "*" : ""});
    table.names.push_back(project->name());
  }
  return table;
}

absl::Status ListProjects(Context* context, const Arguments&) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ListProjectsResponse> projects = (*client)->ListProjects({});
  if (!projects.ok()) return projects.status();
  std::vector<const v1::Project*> pointers;
  for (const v1::Project& project : projects->projects()) pointers.push_back(&project);
  PrintList(
      &context->console(), context->format,
      {{pointers.begin(), pointers.end()}, ProjectTable(pointers, (*client)->endpoint().project)});
  return absl::OkStatus();
}

absl::Status CreateProject(Context* context, const Arguments& arguments) {
  v1::CreateProjectRequest request;
  request.set_project_id(arguments.Word(0));
  request.set_run_as(arguments.Get("run-as"));
  request.set_team(arguments.Get("team"));
  request.set_request_id(context->request_id);
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Project> project = (*client)->CreateProject(request);
  if (!project.ok()) return project.status();
  const Table table = ProjectTable({&*project}, (*client)->endpoint().project);
  PrintOne(&context->console(), context->format, *project, project->name(),
           FormatTable(table, 0, context->console().out_color), table);
  if (!context->quiet && !context->format_given) {
    context->console().ErrLine("use it: --project " + arguments.Word(0) +
                               ", or trainyard config set project " + arguments.Word(0));
  }
  return absl::OkStatus();
}

absl::Status UpdateProject(Context* context, const Arguments& arguments) {
  const std::string word = arguments.Word(0);
  const std::string name = absl::StartsWith(word, "projects/") ? word : FormatProject(word);
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ListProjectsResponse> known = (*client)->ListProjects({});
  if (!known.ok()) return known.status();
  v1::UpdateProjectRequest request;
  request.mutable_project()->set_name(name);
  for (const v1::Project& project : known->projects()) {
    if (project.name() == name) *request.mutable_project() = project;
  }
  if (arguments.Has("team")) request.mutable_project()->set_team(arguments.Get("team"));
  if (arguments.Has("run-as")) request.mutable_project()->set_run_as(arguments.Get("run-as"));
  request.set_request_id(context->request_id);
  const absl::StatusOr<v1::Project> project = (*client)->UpdateProject(request);
  if (!project.ok()) return project.status();
  const Table table = ProjectTable({&*project}, (*client)->endpoint().project);
  PrintOne(&context->console(), context->format, *project, project->name(),
           FormatTable(table, 0, context->console().out_color), table);
  return absl::OkStatus();
}

std::vector<Flag> ProjectFlags() {
  return {{.name = "run-as",
           .value = "USER",
           .help = "user of the nodes that its programs run as, where agents are root"},
          {.name = "team", .value = "T", .help = "whose quota it is under; \"\": none"}};
}

}  // namespace

Command ProjectsListCommand() {
  Command command;
  command.words = "projects list";
  command.summary = "List the projects you may see; * marks the one commands use.";
  command.examples = {"trainyard projects", "trainyard projects list -o name"};
  command.run = ListProjects;
  command.prints = true;
  command.aliases = {"projects"};
  return command;
}

Command ProjectsCreateCommand() {
  Command command;
  command.words = "projects create";
  command.summary = "Make a project; needs the role ADMIN.";
  command.examples = {"trainyard projects create vision",
                      "trainyard projects create vision --run-as vision"};
  command.positionals = {{.name = "PROJECT"}};
  command.flags = ProjectFlags();
  command.run = CreateProject;
  command.prints = true;
  command.writes = true;
  return command;
}

Command ProjectsUpdateCommand() {
  Command command;
  command.words = "projects update";
  command.summary = "Change a project's team or user; needs the role ADMIN.";
  command.examples = {"trainyard projects update vision --team research"};
  command.positionals = {{.name = "PROJECT"}};
  command.flags = ProjectFlags();
  command.run = UpdateProject;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
