// See quota_use.h.
#include "scheduler/api/quota_use.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "scheduler/core/ledger.h"
#include "scheduler/core/ranks.h"

namespace trainyard::api {
namespace {

// Who is below a place: empty fields are no condition.
struct Place {
  std::string team;
  std::string project;
  std::string user;
};

Place PlaceOf(const std::string& name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  Place place;
  if (parts.size() == 3 && parts[1] == "teams") place.team = parts[2];
  if (parts.size() >= 3 && parts[1] == "projects") place.project = parts[2];
  if (parts.size() == 5) place.user = parts[4];
  return place;
}

bool IsBelow(const Place& place, const journal::v1::JobRow& job, const std::string& team) {
  return (place.team.empty() || place.team == team) &&
         (place.project.empty() || place.project == job.project()) &&
         (place.user.empty() || place.user == job.principal());
}

int64_t PartOf(const core::Holding& holding, const std::string& model) {
  if (model == "cpu") return holding.cpu_milli;
  if (model.empty()) return holding.AllDeviceMilli();
  const auto found = holding.device_milli.find(model);
  return found == holding.device_milli.end() ? 0 : found->second;
}

// What the ranks of a waiting run ask for; a choice of models counts as its first.
core::Holding Wanted(const v1::JobSpec& spec) {
  core::Holding wanted;
  for (const core::RankNeed& need : core::RanksOf(spec)) {
    wanted.cpu_milli += need.cpu_milli;
    const int64_t milli = need.gpu_milli > 0 ? need.gpu_milli : int64_t{1000} * need.gpu_count;
    if (milli == 0) continue;
    const bool named = need.resources != nullptr && need.resources->gpu_models_size() > 0;
    wanted.device_milli[named ? need.resources->gpu_models(0) : ""] += milli;
  }
  return wanted;
}

}  // namespace

void FillUse(const runtime::View& view, v1::Quota* quota) {
  const Place place = PlaceOf(quota->name());
  std::map<std::string, std::string> teams;
  for (const journal::v1::ProjectRow& project : view.Projects()) {
    teams[project.project_id()] = project.team();
  }
  for (const core::RunPtr& run : view.LiveRuns()) {
    const core::JobPtr job = view.Job(run->job_uid());
    if (job == nullptr || !IsBelow(place, *job, teams[job->project()])) continue;
    core::Holding holding;
    const bool runs = run->state() == journal::v1::R_ACTIVE;
    if (runs) {
      holding = core::HoldingOf(run->attempt(),
                                [&](const std::string& node_id) { return view.Agent(node_id); });
    } else if (run->state() == journal::v1::R_WAITING) {
      const core::SpecPtr spec = view.Spec(run->job_uid());
      if (spec != nullptr) holding = Wanted(*spec);
    }
    for (v1::Quota::Share& share : *quota->mutable_shares()) {
      const int64_t milli = PartOf(holding, share.model());
      if (runs) {
        share.set_used_milli(share.used_milli() + milli);
      } else {
        share.set_waiting_milli(share.waiting_milli() + milli);
      }
    }
  }
}

}  // namespace trainyard::api
