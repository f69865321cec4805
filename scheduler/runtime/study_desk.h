// Which studies the optimisers must think about, and what they are told: one job per study at a
// time, each carrying the trials that changed since the last one. The desk lives on the owner
// thread; Think() runs on any one thread at a time per study and answers with commands.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_STUDY_DESK_H_
#define TRAINYARD_SCHEDULER_RUNTIME_STUDY_DESK_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/core/command.h"
#include "scheduler/core/state.h"
#include "scheduler/runtime/view.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::runtime {

// The optimiser of one study, handed from job to job.
struct StudyBrain {
  std::unique_ptr<tuning::Optimizer> optimizer;
};

struct StudyJob {
  core::StudyPtr study;
  std::shared_ptr<StudyBrain> brain;
  std::vector<core::KeptTrial> changed;  // in order of id
  int32_t first_trial = 0;
  int count = 0;  // suggestions wanted
  double elapsed_seconds = 0;
};
struct StudyAnswer {
  uint64_t study_uid = 0;
  std::vector<core::CommandBody> commands;
  absl::Status status;
};
// Pure but for the brain. Stops and what goes on, then suggestions, then the end of the study.
// `view`: where earlier studies are read, once, when the optimiser is made.
StudyAnswer Think(const StudyJob& job, const View& view);

class StudyDesk {
 public:
  using Asked = std::function<void(absl::Status)>;

  // Notes what changed.
  void Update(const core::State& state, const core::Touched& touched);
  // Every live study, with all its trials: after recovery.
  void Refill(const core::State& state);
  // Somebody wants `count` more suggestions; `asked` is handed out by Finish() or Hopeless().
  void Ask(uint64_t study_uid, int count, Asked asked);
  // The job of a study has answered; returns those for whom it worked.
  std::vector<Asked> Finish(uint64_t study_uid);
  // Those who wait for studies that have ended: nobody thinks for them any more.
  std::vector<Asked> Hopeless(const core::State& state);
  // Jobs that may begin now; their studies are busy until Finish.
  std::vector<StudyJob> Collect(const core::State& state, int64_t now_us);

 private:
  struct Desk {
    std::shared_ptr<StudyBrain> brain = std::make_shared<StudyBrain>();
    std::set<int32_t> changed;
    bool busy = false;
    bool look = false;                          // a look is due although nothing changed
    std::deque<std::pair<int, Asked>> waiting;  // with how many each wants
    std::vector<Asked> served;                  // for whom the running job works
  };
  void LookAtTimed(int64_t now_us);

  std::map<uint64_t, Desk> desks_;
  std::set<uint64_t> timed_;  // live studies that may end by time alone
  int64_t next_look_us_ = 0;  // at those
  bool stirred_ = false;      // something changed since the last Collect
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_STUDY_DESK_H_
