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

constexpr int64_t kClusterGpusMax = int64_t{1} << 24;

// An option without effect is refused: the figures would be taken for those of another policy.
absl::Status CheckUse(const Options& options, bool by_planner) {
  const bool levels =
      by_planner ? placement::PolicyNamed(options.policy)->order == placement::OrderBy::kAttained
                 : options.policy == "las" || options.policy == "lasfifo";
  if (!levels && (options.las_threshold.has_value() || options.las_gpu_exponent.has_value())) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("policy ", options.policy, " has no levels"),
                     "leave --las-threshold and --las-exponent out", "las-threshold");
  }
  if (!by_planner && !options.parameters.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("the exact ", options.policy, " has no parameters"),
                     "add --planner, or leave --set out", "set");
  }
  return absl::OkStatus();
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
  if (int64_t{options.nodes} * options.gpus_per_node > kClusterGpusMax) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     absl::StrCat(options.nodes, " nodes of ", options.gpus_per_node, " GPUs"),
                     absl::StrCat("at most ", kClusterGpusMax, " GPUs in all"));
  }
  if (absl::Status status = CheckUse(options, maker == Makers().end()); !status.ok()) return status;
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
    const double seconds = options.las_threshold.value_or(-1);
    if (seconds >= 0) placement::SetParameter("first_level", seconds, &policy);
    if (options.las_gpu_exponent.has_value()) policy.gpu_exponent = *options.las_gpu_exponent;
    return ReplayWithPlanner(trace, options, policy);
  }
  const std::unique_ptr<Pass> pass = maker->second(options);
  Engine engine(trace, options);
  return engine.Run(pass.get());
}

}  // namespace trainyard::replay
