// The people of a simulated world: they submit runs, gangs and tuning jobs, cancel, pause, drain
// and ask and tell; every call is sent again with the same request id until it is answered.
// Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_USERS_H_
#define TRAINYARD_SIM_RUN_USERS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/run/checker.h"
#include "sim/run/context.h"
#include "sim/run/network.h"
#include "sim/run/scheduler_process.h"

namespace trainyard::sim {

// What users ask for, by name; "" of what they never do.
absl::string_view NameOf(const core::CommandBody& body);

class Users {
 public:
  Users(Context* context, Network* network, Checker* checker, SchedulerProcess* scheduler)
      : context_(context),
        network_(network),
        checker_(checker),
        scheduler_(scheduler),
        random_(MixSeed(context->options().seed, 0x75736572)) {}

  void Start();
  // No new work; what is paused goes on, what is drained comes back, studies are closed.
  void GoHome();
  // Calls that are not answered yet.
  int open_calls() const { return open_calls_; }

 private:
  struct Call {
    core::Command command;
    std::function<void(const core::Reply&)> left;      // as the reply leaves the scheduler
    std::function<void(const core::Reply&)> answered;  // as it arrives, once
    bool done = false;
    int round = 0;
  };
  using CallPtr = std::shared_ptr<Call>;

  void Next();
  CallPtr Make(core::CommandBody body);
  void Place(const CallPtr& call);
  void Send(const CallPtr& call);
  void Again(const CallPtr& call, int64_t after_us);

  void Submit();
  v1::JobSpec RandomSpec();
  void AddStudy(v1::JobSpec* spec);
  void Cancel();
  void Pause();
  void Drain();
  // users_queue.cc: what waits, and what administrators set.
  void AddWishes(v1::Scheduling* scheduling);
  void Requeue();
  void Administer();
  void SetQueue(bool may_stop);
  void SetQuota();
  void Reserve();
  void ChangeTokens();
  void LetAllStart(const std::map<uint64_t, core::JobPtr>& jobs);
  std::string RandomNode();
  void AskAndTell();
  void Tell(const std::string& study, uint64_t study_uid, int32_t trial);
  std::string RandomJob();

  Context* const context_;
  Network* const network_;
  Checker* const checker_;
  SchedulerProcess* const scheduler_;
  Random random_;
  uint64_t next_request_ = 1;
  int open_calls_ = 0;
  int tokens_ = 0;        // made
  int reservations_ = 0;  // made
  int study_ = 0;         // number of the ask and tell study; 0: none yet
  uint64_t study_uid_ = 0;
  std::string study_name_;  // of study_uid_
  bool study_busy_ = false;
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_USERS_H_
