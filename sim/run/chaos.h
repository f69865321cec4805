// Who breaks what and when: faults that begin by themselves, each with its own pace. Those that
// come with a message, a commit or a step of a process are where these happen. Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_CHAOS_H_
#define TRAINYARD_SIM_RUN_CHAOS_H_

#include <functional>
#include <memory>
#include <vector>

#include "sim/run/context.h"
#include "sim/run/machine.h"
#include "sim/run/network.h"
#include "sim/run/scheduler_process.h"

namespace trainyard::sim {

class Chaos {
 public:
  Chaos(Context* context, Network* network, SchedulerProcess* scheduler,
        std::vector<std::unique_ptr<Machine>>* machines);

  void Start();
  // Everything that is broken is mended.
  void MendAll();

 private:
  void Every(Fault fault, int64_t mean_us, std::function<void()> work);
  void Node(Fault fault, int64_t mean_us, std::function<void(int, Machine*)> work);
  // Ends what began, unless all was mended before.
  void Later(int64_t delay_us, std::function<void()> work);
  void StartNetwork();
  void StartNodes();
  void StartScheduler();
  int64_t Time(int64_t low, int64_t high) { return Between(&random_, low, high); }

  Context* const context_;
  Network* const network_;
  SchedulerProcess* const scheduler_;
  std::vector<std::unique_ptr<Machine>>* const machines_;
  Random random_;
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_CHAOS_H_
