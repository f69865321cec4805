// See cluster_env.h.
#include "worker/core/cluster_env.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace trainyard::worker {
namespace {

using agent::v1::Assignment;
using agent::v1::RankSlot;
using nlohmann::json;

std::string TypeOf(const RankSlot& slot) {
  if (!slot.task_type().empty()) return slot.task_type();
  return slot.rank() == 0 ? "master" : "worker";
}

std::string PoolOf(const std::string& type) {
  if (type == "master" || type == "chief") return "workerpool0";
  return type == "evaluator" ? "workerpool3" : "workerpool1";
}

json JobOf(const Assignment& assignment) {
  json job = json::parse(assignment.job_spec_json(), nullptr, false);
  return job.is_discarded() ? json::object() : job;
}

json TaskOf(const Assignment& assignment, const std::string& type, int32_t index) {
  json task = {{"type", type}, {"index", index}};
  if (assignment.trial() > 0) task["trial"] = absl::StrCat(assignment.trial());
  return task;
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::string MasterAddress(const Assignment& assignment, const std::string& fallback) {
  for (const agent::v1::Peer& peer : assignment.peers()) {
    // A gang on one node stays on loopback.
    if (peer.member() == 0 && assignment.peers_size() > 1 && !peer.address().empty()) {
      return peer.address();
    }
  }
  return fallback;
}

int32_t MasterPort(const Assignment& assignment, int32_t fallback) {
  for (const agent::v1::Peer& peer : assignment.peers()) {
    if (peer.member() == 0 && assignment.peers_size() > 1 && peer.port() > 0) return peer.port();
  }
  return fallback;
}

ClusterView ViewOf(const Assignment& assignment, const std::string& fallback_address,
                   int32_t master_port) {
  std::map<int32_t, ClusterTask> tasks;
  const auto add = [&](int32_t rank, const std::string& host) {
    tasks[rank] = {rank, rank == 0 ? "master" : "worker",
                   absl::StrCat(host, ":", master_port + 1 + rank)};
  };
  for (const RankSlot& slot : assignment.ranks()) add(slot.rank(), fallback_address);
  for (const agent::v1::Peer& peer : assignment.peers()) {
    const bool alone = assignment.peers_size() < 2 || peer.address().empty();
    for (int32_t rank : peer.ranks()) add(rank, alone ? fallback_address : peer.address());
  }
  for (const RankSlot& slot : assignment.ranks()) tasks[slot.rank()].type = TypeOf(slot);
  ClusterView view;
  for (auto& [rank, task] : tasks) view.push_back(std::move(task));
  return view;
}

std::string TfConfig(const Assignment& assignment, const ClusterView& view, const RankSlot& slot) {
  json cluster = json::object();
  for (const ClusterTask& task : view) {
    if (task.type != "evaluator") cluster[task.type].push_back(task.address);
  }
  return Dump({{"cluster", cluster},
               {"task", TaskOf(assignment, TypeOf(slot), slot.task_index())},
               {"job", JobOf(assignment)},
               {"environment", "cloud"}});
}

std::string ClusterSpec(const Assignment& assignment, const ClusterView& view,
                        const RankSlot& slot) {
  json cluster = json::object();
  int32_t index = 0;
  const std::string pool = PoolOf(TypeOf(slot));
  for (const ClusterTask& task : view) {
    json& addresses = cluster[PoolOf(task.type)];
    if (task.rank == slot.rank()) index = static_cast<int32_t>(addresses.size());
    addresses.push_back(task.address);
  }
  return Dump({{"cluster", cluster},
               {"task", TaskOf(assignment, pool, index)},
               {"job", JobOf(assignment)},
               {"environment", "cloud"}});
}

}  // namespace trainyard::worker
