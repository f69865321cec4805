// See world.h.
#include "sim/run/world.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "glog/logging.h"
#include "sim/run/chaos.h"
#include "sim/run/checker.h"
#include "sim/run/machine.h"
#include "sim/run/network.h"
#include "sim/run/scheduler_process.h"
#include "sim/run/users.h"

namespace trainyard::sim {
namespace {

constexpr int64_t kHour = 3600 * kSecond;
constexpr int64_t kSettleMost = 3 * kHour;
constexpr int64_t kSettleLook = 10 * kSecond;
constexpr const char* kKindNames[kKinds] = {"timer",   "delivery", "disk",    "process",
                                            "planner", "fault",    "internal"};

class World {
 public:
  explicit World(const Options& options)
      : context_(options),
        network_(&context_, options.agents),
        checker_(&context_),
        scheduler_(&context_, &network_, &checker_,
                   [this](const StreamPtr& stream, const agent::v1::SchedulerMessage& message) {
                     MachineOf(stream)->Arrive(stream, message);
                   }),
        users_(&context_, &network_, &checker_, &scheduler_),
        chaos_(&context_, &network_, &scheduler_, &machines_) {
    for (int node = 0; node < options.agents; ++node) {
      machines_.push_back(
          std::make_unique<Machine>(&context_, &network_, &checker_, &scheduler_, node));
    }
    network_.OnBreak([this](const StreamPtr& stream) { scheduler_.Broken(stream); },
                     [this](const StreamPtr& stream) { MachineOf(stream)->Broken(stream); });
  }

  Report Play() {
    scheduler_.Start();
    for (const auto& machine : machines_) machine->PowerOn();
    users_.Start();
    chaos_.Start();
    RunUntil(static_cast<int64_t>(context_.options().hours * static_cast<double>(kHour)));
    if (!context_.violation().has_value()) Settle();
    return MakeReport();
  }

 private:
  Machine* MachineOf(const StreamPtr& stream) {
    return machines_[static_cast<size_t>(stream->node)].get();
  }

  void RunUntil(int64_t time_us) {
    while (!context_.violation().has_value() && context_.queue().RunOne(time_us)) {
    }
  }

  // Faults stop; everything must end.
  void Settle() {
    context_.Calm();
    chaos_.MendAll();
    RunUntil(context_.now_us() + 5 * 60 * kSecond);
    users_.GoHome();
    const int64_t limit = context_.now_us() + kSettleMost;
    bool settled = false;
    while (!settled && !context_.violation().has_value() && context_.now_us() < limit) {
      RunUntil(context_.now_us() + kSettleLook);
      settled = Settled();
    }
    if (context_.violation().has_value()) return;
    if (scheduler_.up()) checker_.Finished(scheduler_.state());
    // What is on disk gives the same state.
    scheduler_.Crash(kSecond);
    RunUntil(context_.now_us() + 60 * kSecond);
    if (!context_.violation().has_value() && !scheduler_.serving()) {
      context_.Violate("the scheduler does not come back");
    }
  }

  bool Settled() const {
    if (!scheduler_.quiet() || users_.open_calls() > 0) return false;
    const core::State& state = scheduler_.state();
    for (const auto& [uid, job] : state.jobs) {
      if (job->end_us() == 0) return false;
    }
    for (const auto& [id, agent] : state.agents) {
      if (!agent->connected() || agent->stale_size() > 0) return false;
    }
    for (const auto& machine : machines_) {
      if (!machine->on() || machine->live_supervisors() > 0) return false;
    }
    return state.node_use.empty();
  }

  Report MakeReport() const {
    Report report;
    report.seed = context_.options().seed;
    EventQueue& queue = const_cast<Context&>(context_).queue();
    report.simulated_hours = static_cast<double>(queue.now_us()) / static_cast<double>(kHour);
    report.events = queue.events();
    for (int i = 0; i < kKinds - 1; ++i) {
      report.events_by_kind[kKindNames[i]] = queue.events(static_cast<Kind>(i));
    }
    for (int i = 0; i < kFaults; ++i) {
      const Fault fault = static_cast<Fault>(i);
      if (context_.options().faults.contains(fault)) {
        report.faults[std::string(NameOf(fault))] = context_.count(fault);
      }
    }
    report.points = context_.points();
    report.answers = checker_.answers();
    report.submits = checker_.submits();
    report.publications = checker_.publications();
    report.stale_publications_refused = checker_.stale_publications_refused();
    report.recoveries = checker_.recoveries();
    report.state_hash = core::StateHash(checker_.state());
    report.history_hash = absl::StrFormat("%016x", queue.history());
    report.violation = context_.violation();
    if (report.violation.has_value()) report.last_events = context_.LastNotes();
    return report;
  }

  Context context_;
  Network network_;
  Checker checker_;
  SchedulerProcess scheduler_;
  std::vector<std::unique_ptr<Machine>> machines_;
  Users users_;
  Chaos chaos_;
};

}  // namespace

Report Play(const Options& options) {
  FLAGS_minloglevel = google::GLOG_ERROR;  // a world tells by its report what went on in it
  return World(options).Play();
}

}  // namespace trainyard::sim
