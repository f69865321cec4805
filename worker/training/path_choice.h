// Which of two ways a collective over private memory takes, by the size of its data: each way is
// tried a few times in real calls, then the one that was faster by the byte stays. Both ways give
// the same bits, so a choice can change nothing but time.
//  - Which way begins changes from pair to pair of tries: what a change of the machine's load does
//    to one way it does to the other. After kSettledCalls both are tried anew, so that a busy
//    moment does not decide for ever.
//  - All ranks take the same way: rank 0 alone measures and says before the first meeting of a call
//    which way the next call of that kind and size takes; the others read it behind that meeting.
//    Two places are used in turn: one is written again only when all ranks are in the next call.
//  - What was found is remembered for the same host and number of ranks (route_table.h): rank 0
//    shows what it remembers before its first meeting, the others read it behind it.
// One thread at a time per rank.
#ifndef TRAINYARD_WORKER_TRAINING_PATH_CHOICE_H_
#define TRAINYARD_WORKER_TRAINING_PATH_CHOICE_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "worker/training/gang_sync.h"

namespace trainyard::training {

enum class Path : uint8_t { kStaged, kDirect };

class PathChoice {
 public:
  static constexpr size_t kClasses = 64;
  static constexpr size_t kCollectives = 4;  // those that move data, in the order of Collective
  // In the shared region, zeroed: what rank 0 says.
  struct Said {
    std::atomic<uint8_t> path[2];
    std::atomic<uint8_t> known[kCollectives * kClasses];  // 0 unknown, else 1 + the path
  };

  // `memory`: the file in which rank 0 remembers choices; empty: none.
  PathChoice(Said* said, bool decides, std::string memory = "");

  // Begins with what rank 0 remembers. All ranks call it before the first Take() or not at all,
  // behind a meeting that came after rank 0's constructor.
  void Recall();

  // The way of this call.
  Path Take(Collective collective, size_t bytes);
  // A meeting of the call; the first one carries the choice.
  absl::Status Meet(GangSync* sync, const Call& call);
  // The call that Take() began is through.
  void Done();
  // Tries before a choice is final, of each way; the first of each is no measurement.
  static constexpr int kTries = 5;
  // How long a choice holds: trying anew costs at most 0.5 % of the calls.
  static constexpr int kSettledCalls = 1000;

 private:
  struct Kind {
    Path next = Path::kStaged;
    int calls[2] = {0, 0};
    double best[2] = {0, 0};  // seconds a byte
    int settled = 0;          // calls since the choice
  };
  void Keep(const Kind& kind);
  Path Wanted(const Kind& kind) const;
  void Say();
  void Hear();

  Said* const said_;
  const bool decides_;
  const std::string memory_;
  size_t collective_ = 0, class_ = 0;  // of the call under way
  double bytes_ = 1;                   // likewise
  Path path_ = Path::kStaged;
  size_t turn_ = 0;
  bool first_ = false;  // the next meeting is the first of the call
  std::chrono::steady_clock::time_point start_;
  std::array<std::array<Kind, kClasses>, kCollectives> kinds_;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_PATH_CHOICE_H_
