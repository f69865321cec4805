// See refusals.h.
#include "scheduler/runtime/refusals.h"

#include "absl/strings/str_cat.h"

namespace trainyard::runtime {

bool Refusals::Note(const core::Refusal& refusal, int64_t now_us) {
  Entry& entry = by_run_[refusal.run_uid];
  entry.until_us = now_us + kRememberedUs;
  if (refusal.node_id.empty() || !entry.nodes.insert(refusal.node_id).second) {
    entry.left_out = true;
  }
  return entry.words.insert(absl::StrCat(refusal.node_id, "\n", refusal.why)).second;
}

void Refusals::Apply(placement::Snapshot* snapshot) {
  std::erase_if(by_run_, [&](const auto& it) { return it.second.until_us <= snapshot->now_us; });
  if (by_run_.empty()) return;
  std::erase_if(snapshot->waiting, [&](placement::WaitingRun& run) {
    const auto found = by_run_.find(run.run_uid);
    if (found == by_run_.end()) return false;
    for (const std::string& node : found->second.nodes) run.avoid_nodes.push_back(node);
    return found->second.left_out;
  });
}

int64_t Refusals::NextUs() const {
  int64_t next = 0;
  for (const auto& [run_uid, entry] : by_run_) {
    if (next == 0 || entry.until_us < next) next = entry.until_us;
  }
  return next;
}

placement::Explanation Refusals::ExplanationOf(const core::Refusal& refusal) {
  placement::Explanation explanation;
  explanation.run_uid = refusal.run_uid;
  explanation.reason = "WAITING_FOR_RESOURCES";
  explanation.message =
      absl::StrCat("it was to start, but ", refusal.why, "; it is planned ",
                   refusal.node_id.empty() ? "again within a minute" : "on other nodes");
  return explanation;
}

}  // namespace trainyard::runtime
