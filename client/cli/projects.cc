// trainyard projects list and create: the projects whose jobs the caller may see.
#include <string>
#include <vector>

#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

Table ProjectTable(const std::vector<const v1::Project*>& projects, const std::string& current) {
  Table table;
  table.headers = {"PROJECT", "RUN AS", "CURRENT"};
  for (const v1::Project* project : projects) {
    const std::string id = ShortName(project->name());
    table.rows.push_back(
        {id, project->run_as().empty() ? "-" : project->run_as(), id == current ? "*" : ""});
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
  PrintList(&context->console(), context->format,
            {"projects",
             {pointers.begin(), pointers.end()},
             ProjectTable(pointers, (*client)->endpoint().project)});
  return absl::OkStatus();
}

absl::Status CreateProject(Context* context, const Arguments& arguments) {
  v1::CreateProjectRequest request;
  request.set_project_id(arguments.Word(0));
  request.set_run_as(arguments.Get("run-as"));
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
  command.flags = {{.name = "run-as",
                    .value = "USER",
                    .help = "user of the nodes that its programs run as, where agents are root"}};
  command.run = CreateProject;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
