// What past runs tell about those to come: how long runs take, and how far start estimates were
// off. Used for estimates only; no decision trusts it. Pure; bounded memory; not thread-safe.
//  - Run times: histograms with four bins an octave, by user and name, by user and size, by size,
//  and
//    of all; the first that saw enough answers (Helios' QSSF predicts from user and name too). What
//    a run is still going to take is read from the runs that took longer than it has so far.
//  - Starts: the ratio of actual to predicted wait, in windows by predicted wait. The band's tails
//    are widened after every miss and narrowed after every hit so that misses approach 20 in 100
//    (adaptive conformal inference, Gibbs and Candes 2021).
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_HISTORY_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_HISTORY_H_

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "scheduler/placement/snapshot.h"

namespace trainyard::placement {

class RunTimeHistory {
 public:
  void ObserveRun(absl::string_view principal, absl::string_view name, double devices,
                  int64_t ran_us);
  // What a run that has worked for `elapsed_us` still has to do; not known without history.
  RunTimeGuess Remaining(absl::string_view principal, absl::string_view name, double devices,
                         int64_t elapsed_us) const;

  struct Band {
    int64_t low_us = 0;
    int64_t high_us = 0;
  };
  // Waits between which 80 of 100 lie that were predicted to be `predicted_us`.
  Band BandOf(int64_t predicted_us) const;
  // A run that was predicted to wait so long at one time started after `actual_us`; `band` is what
  // was said then.
  void ObserveStart(int64_t predicted_us, const Band& band, int64_t actual_us);
  int64_t starts() const { return starts_; }
  int64_t hits() const { return hits_; }

 private:
  static constexpr int kBins = 160;
  struct Histogram {
    std::array<uint32_t, kBins> bins{};
    uint32_t total = 0;
  };
  static int BinOf(int64_t us);
  static int64_t Quantile(const Histogram& histogram, int64_t elapsed_us, double share);
  const Histogram* Best(absl::string_view principal, absl::string_view name, double devices,
                        int64_t elapsed_us) const;

  std::map<std::string, Histogram, std::less<>> histograms_;
  std::map<int, std::deque<double>> ratios_;  // logarithms, by predicted wait
  double miss_ = 0.2;  // tails of the window that are left out, both together
  int64_t starts_ = 0;
  int64_t hits_ = 0;
};

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_HISTORY_H_
