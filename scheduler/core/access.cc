// The access rule: deny by default. See core.h.
//
//   role            may
//   VIEWER          read in its project
//   SUBMITTER       also submit in its project, and change what it made itself
//   PROJECT_ADMIN   also change everything in its project
//   ADMIN           everything people may do, in every project
//   AGENT           act for its own node (owner = node id), nothing else
//   ATTEMPT         report for its own run and epoch (owner = "run/epoch"), nothing else
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/core/core.h"

namespace trainyard::core {
namespace {

absl::string_view Needed(Action action) {
  switch (action) {
    case Action::kRead:
      return "VIEWER";
    case Action::kSubmit:
      return "SUBMITTER";
    case Action::kChange:
      return "PROJECT_ADMIN (or SUBMITTER for one's own)";
    case Action::kAdminister:
      return "ADMIN";
    case Action::kAgent:
      return "AGENT of that node";
    case Action::kReport:
      return "ATTEMPT of that run and epoch";
  }
  return "ADMIN";
}

bool InProject(const Principal& principal, absl::string_view project) {
  return principal.project.empty() || absl::string_view(principal.project) == project;
}

bool Owns(const Principal& principal, absl::string_view owner) {
  return !owner.empty() && absl::string_view(principal.name) == owner;
}

bool Allowed(const Principal& principal, Action action, absl::string_view project,
             absl::string_view owner) {
  if (principal.is_system) return true;
  const bool here = InProject(principal, project);
  switch (action) {
    case Action::kRead:
      return principal.role == v1::ADMIN ||
             (here && (principal.role == v1::VIEWER || principal.role == v1::SUBMITTER ||
                       principal.role == v1::PROJECT_ADMIN));
    case Action::kSubmit:
      return principal.role == v1::ADMIN ||
             (here && (principal.role == v1::SUBMITTER || principal.role == v1::PROJECT_ADMIN));
    case Action::kChange:
      return principal.role == v1::ADMIN || (here && principal.role == v1::PROJECT_ADMIN) ||
             (here && principal.role == v1::SUBMITTER && Owns(principal, owner));
    case Action::kAdminister:
      return principal.role == v1::ADMIN;
    case Action::kAgent:
      return principal.role == v1::AGENT && Owns(principal, owner);
    case Action::kReport:
      return principal.role == v1::ATTEMPT && Owns(principal, owner);
  }
  return false;
}

}  // namespace

absl::Status CheckAccess(const Principal& principal, Action action, absl::string_view project,
                         absl::string_view owner) {
  if (Allowed(principal, action, project, owner)) return absl::OkStatus();
  const std::string who = principal.name.empty() ? "the caller" : principal.name;
  std::string have = v1::Role_Name(principal.role);
  if (principal.role == v1::ROLE_UNSPECIFIED) have = "no role";
  if (!principal.project.empty()) absl::StrAppend(&have, " in project ", principal.project);
  const std::string where = project.empty() ? "" : absl::StrCat(" in project ", project);
  const bool elsewhere =
      !InProject(principal, project) && Allowed(principal, action, principal.project, owner);
  return MakeError(
      absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
      absl::StrCat("this needs the role ", Needed(action), where, "; ", who, " has ", have),
      elsewhere
          ? absl::StrCat("name its own project: --project ", principal.project,
                         ", or once and for all: trainyard config set project ", principal.project)
          : "ask an administrator for a token of that role");
}

}  // namespace trainyard::core
