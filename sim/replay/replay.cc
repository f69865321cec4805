// See replay.h.
#include "sim/replay/replay.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "sim/replay/passes.h"

namespace trainyard::replay {
namespace {

using Maker = std::function<std::unique_ptr<Pass>(const Options&)>;

const std::map<std::string, Maker>& Makers() {
  static const auto* const makers = new std::map<std::string, Maker>{
      {"fifo", [](const Options&) { return MakeFifoPass(); }},
      {"skip", [](const Options&) { return MakeSkipPass(false); }},
      {"sjf", [](const Options&) { return MakeSkipPass(true); }},
      {"easy", [](const Options&) { return MakeEasyPass(); }},
      {"srsf", [](const Options& options) { return MakeSrsfPass(options); }},
      {"las", [](const Options& options) { return MakeLasPass(options, false); }},
      {"lasfifo", [](const Options& options) { return MakeLasPass(options, true); }},
  };
  return *makers;
}

}  // namespace

const std::vector<std::string>& PolicyNames() {
  static const auto* const names = [] {
    auto* list = new std::vector<std::string>;
    for (const auto& [name, maker] : Makers()) list->push_back(name);
    list->push_back("conservative");
    list->push_back("fair");
    list->push_back("las-r");
    return list;
  }();
  return *names;
}

absl::StatusOr<Outcome> Replay(const std::vector<TraceJob>& trace, const Options& options) {
  const auto maker = options.planner ? Makers().end() : Makers().find(options.policy);
  if (maker == Makers().end() && !placement::PolicyNamed(options.policy).has_value()) {
    const std::string nearest = NearestName(options.policy, PolicyNames());
    return MakeError(
        absl::StatusCode::kInvalidArgument, "BAD_ENUM",
        absl::StrCat("no policy \"", options.policy, "\""),
        absl::StrCat(nearest.empty() ? "" : absl::StrCat("did you mean ", nearest, "? "), "one of ",
                     absl::StrJoin(PolicyNames(), ", ")),
        "policy");
  }
  if (options.nodes < 1 || options.gpus_per_node < 1 || trace.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     "a replay needs a node, a GPU and a job", "give --nodes and --gpus-per-node");
  }
  const Pool empty(options.nodes, options.gpus_per_node, options.pack);
  for (const TraceJob& job : trace) {
    if (!empty.Fits(job.gpus)) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "NO_CAPACITY",
          absl::StrCat("job ", job.id, " asks for ", job.gpus, " GPUs; the cluster has ",
                       int64_t{options.nodes} * options.gpus_per_node),
          "give more --nodes");
    }
  }
  if (maker == Makers().end()) {
    placement::Policy policy = *placement::PolicyNamed(options.policy);
    for (const auto& [name, value] : options.parameters) {
      if (!placement::SetParameter(name, value, &policy)) {
        return MakeError(absl::StatusCode::kInvalidArgument, "BAD_ENUM",
                         absl::StrCat("a policy has no parameter \"", name, "\""),
                         absl::StrCat("one of ", absl::StrJoin(placement::ParameterNames(), ", ")),
                         "set");
      }
    }
    return ReplayWithPlanner(trace, options, policy);
  }
  const std::unique_ptr<Pass> pass = maker->second(options);
  Engine engine(trace, options);
  return engine.Run(pass.get());
}

}  // namespace trainyard::replay
