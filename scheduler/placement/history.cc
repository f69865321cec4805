// See history.h.
#include "scheduler/placement/history.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"

namespace trainyard::placement {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kLeastWaitUs = 30 * kSecondUs;  // shorter ones are all alike
constexpr uint32_t kEnough = 12;
constexpr size_t kWindow = 150;
constexpr size_t kFew = 25;
constexpr size_t kKeysMax = 20'000;
// Less than the 20 in 100 that may miss: what is learned comes late, when the load has changed.
constexpr double kTarget = 0.17;
constexpr double kStep = 0.03;

int SizeClass(double devices) { return static_cast<int>(std::lround(std::log2(devices + 1) * 2)); }

double Ratio(int64_t actual_us, int64_t predicted_us) {
  return std::log(static_cast<double>(std::max(kLeastWaitUs, actual_us)) /
                  static_cast<double>(std::max(kLeastWaitUs, predicted_us)));
}

int WaitClass(int64_t predicted_us) {
  const double seconds = static_cast<double>(std::max(kLeastWaitUs, predicted_us)) / kSecondUs;
  return static_cast<int>(std::log2(seconds) / 1.5);
}

}  // namespace

int RunTimeHistory::BinOf(int64_t us) {
  const double seconds = std::max(1.0, static_cast<double>(us) / kSecondUs);
  return std::min(kBins - 1, static_cast<int>(std::log2(seconds) * 4));
}

void RunTimeHistory::ObserveRun(absl::string_view principal, absl::string_view name, double devices,
                                int64_t ran_us) {
  const int bin = BinOf(ran_us);
  const int size = SizeClass(devices);
  for (const std::string& key :
       {absl::StrCat("n/", principal, "/", name), absl::StrCat("u/", principal, "/", size),
        absl::StrCat("s/", size), std::string("all")}) {
    if (histograms_.size() >= kKeysMax && !histograms_.contains(key)) continue;
    Histogram& histogram = histograms_[key];
    ++histogram.bins[static_cast<size_t>(bin)];
    if (++histogram.total < 4096) continue;
    histogram.total = 0;  // the old counts half
    for (uint32_t& count : histogram.bins) histogram.total += count /= 2;
  }
}

const RunTimeHistory::Histogram* RunTimeHistory::Best(absl::string_view principal,
                                                      absl::string_view name, double devices,
                                                      int64_t elapsed_us) const {
  const int size = SizeClass(devices);
  const int bin = BinOf(elapsed_us);
  const Histogram* few = nullptr;  // the nearest that saw anything at all
  for (const std::string& key :
       {absl::StrCat("n/", principal, "/", name), absl::StrCat("u/", principal, "/", size),
        absl::StrCat("s/", size), std::string("all")}) {
    if (key == "n//" || key == absl::StrCat("u//", size)) continue;  // nobody's name
    const auto found = histograms_.find(key);
    if (found == histograms_.end()) continue;
    uint32_t longer = 0;
    for (int i = bin; i < kBins; ++i) longer += found->second.bins[static_cast<size_t>(i)];
    if (longer >= kEnough) return &found->second;
    if (few == nullptr && longer > 0) few = &found->second;
  }
  // A few runs tell something of a whole one, and nothing of how long one goes on that is longer.
  return elapsed_us == 0 ? few : nullptr;
}

// Of what is left, among the runs that took longer than `elapsed_us`.
int64_t RunTimeHistory::Quantile(const Histogram& histogram, int64_t elapsed_us, double share) {
  const int from = elapsed_us > 0 ? BinOf(elapsed_us) : 0;
  double total = 0;
  for (int i = from; i < kBins; ++i) total += histogram.bins[static_cast<size_t>(i)];
  double sum = 0;
  for (int i = from; i < kBins; ++i) {
    sum += histogram.bins[static_cast<size_t>(i)];
    if (sum < share * total) continue;
    const double middle = std::exp2((i + 0.5) / 4) * kSecondUs;
    return std::max<int64_t>(kSecondUs, static_cast<int64_t>(middle) - elapsed_us);
  }
  return elapsed_us;
}

RunTimeGuess RunTimeHistory::Remaining(absl::string_view principal, absl::string_view name,
                                       double devices, int64_t elapsed_us) const {
  const Histogram* histogram = Best(principal, name, devices, elapsed_us);
  if (histogram == nullptr) return {};
  return {Quantile(*histogram, elapsed_us, 0.1), Quantile(*histogram, elapsed_us, 0.5),
          Quantile(*histogram, elapsed_us, 0.9)};
}

RunTimeHistory::Band RunTimeHistory::BandOf(int64_t predicted_us) const {
  const auto found = ratios_.find(WaitClass(predicted_us));
  const auto base = static_cast<double>(std::max(kLeastWaitUs, predicted_us));
  if (found == ratios_.end() || found->second.size() < kFew) {
    return {predicted_us / 8, static_cast<int64_t>(base * 3)};
  }
  std::vector<double> sorted(found->second.begin(), found->second.end());
  std::sort(sorted.begin(), sorted.end());
  const auto at = [&](double share) {
    const auto last = static_cast<double>(sorted.size() - 1);
    return sorted[static_cast<size_t>(std::clamp(share, 0.0, 1.0) * last + 0.5)];
  };
  // Beyond the window the tails go on: they widen by as much as is missing.
  const double beyond = std::exp(4 * std::max(0.0, -miss_));
  const double low = base * std::exp(at(miss_ / 2)) / beyond;
  const double high = base * std::exp(at(1 - miss_ / 2)) * beyond;
  // A wait below the shortest that is told apart counts as none.
  return {low <= static_cast<double>(kLeastWaitUs) ? 0 : static_cast<int64_t>(low),
          static_cast<int64_t>(high)};
}

void RunTimeHistory::ObserveStart(int64_t predicted_us, const Band& band, int64_t actual_us) {
  std::deque<double>& window = ratios_[WaitClass(predicted_us)];
  window.push_back(Ratio(actual_us, predicted_us));
  if (window.size() > kWindow) window.pop_front();
  const bool hit = actual_us >= band.low_us && actual_us <= band.high_us;
  ++starts_;
  hits_ += hit ? 1 : 0;
  miss_ = std::clamp(miss_ + kStep * (kTarget - (hit ? 0 : 1)), -0.5, 0.6);
}

}  // namespace trainyard::placement
