// See stopping.h.
#include "scheduler/tuning/stopping.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "scheduler/tuning/best.h"

namespace trainyard::tuning {
namespace {

constexpr int kMinTrialsDefault = 5;
constexpr double kFactorDefault = 3;

double Median(std::vector<double> values) {
  const size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + middle, values.end());
  const double upper = values[middle];
  if (values.size() % 2 == 1) return upper;
  const double lower = *std::max_element(values.begin(), values.begin() + middle);
  return lower / 2 + upper / 2;
}

// Mean value of the curve up to `step`; nothing when it has no point there.
std::optional<double> RunningAverage(const std::vector<CurvePoint>& curve, double step) {
  double mean = 0;
  int count = 0;
  for (const CurvePoint& point : curve) {
    if (point.step > step) break;
    ++count;
    mean += (point.value - mean) / count;
  }
  if (count == 0) return std::nullopt;
  return mean;
}

double BestOf(const std::vector<CurvePoint>& curve, double step) {
  double best = std::numeric_limits<double>::infinity();
  for (const CurvePoint& point : curve) {
    if (point.step <= step) best = std::min(best, point.value);
  }
  return best;
}

double Shown(const History& history, double value) { return history.maximizes(0) ? -value : value; }

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + 1e-9 * static_cast<double>(duration.nanos());
}

bool OldEnough(const v1::StudySpec::StoppingSpec& spec, const Entry& entry) {
  return entry.running && !entry.curve.empty() &&
         static_cast<int>(entry.curve.size()) >= spec.min_measurement_count() &&
         entry.curve.back().step >= static_cast<double>(spec.min_steps());
}

}  // namespace

std::vector<StopAdvice> MedianStops(const v1::StudySpec::StoppingSpec& spec,
                                    const History& history) {
  const int min_trials = spec.min_trials() > 0 ? spec.min_trials() : kMinTrialsDefault;
  std::vector<const Entry*> finished;
  for (const auto& [id, entry] : history.entries()) {
    if (entry.status == Entry::kSucceeded && !entry.stopped_early && !entry.curve.empty()) {
      finished.push_back(&entry);
    }
  }
  std::vector<StopAdvice> stops;
  if (static_cast<int>(finished.size()) < min_trials) return stops;
  std::map<double, std::vector<double>> averages_at;  // many trials stand at the same step
  for (const auto& [id, entry] : history.entries()) {
    if (!OldEnough(spec, entry)) continue;
    const double step = entry.curve.back().step;
    auto [it, is_new] = averages_at.try_emplace(step);
    if (is_new) {
      for (const Entry* other : finished) {
        const auto average = RunningAverage(other->curve, step);
        if (average.has_value()) it->second.push_back(*average);
      }
    }
    if (static_cast<int>(it->second.size()) < min_trials) continue;
    const double median = Median(it->second);
    const double best = BestOf(entry.curve, step);
    if (!(best > median)) continue;
    stops.push_back(
        {id, absl::StrFormat("best %.6g is %s the median %.6g of %d trials at step %.10g",
                             Shown(history, best), history.maximizes(0) ? "below" : "above",
                             Shown(history, median), it->second.size(), step)});
  }
  return stops;
}

Rungs::Rungs(const v1::StudySpec::StoppingSpec& spec, const History& history, int brackets)
    : spec_(spec),
      history_(history),
      brackets_(brackets),
      factor_(spec.reduction_factor() > 1 ? spec.reduction_factor() : kFactorDefault) {
  double last = static_cast<double>(spec.max_steps());
  if (last <= 0) {
    for (const auto& [id, entry] : history.entries()) {
      if (!entry.curve.empty()) last = std::max(last, entry.curve.back().step);
    }
  }
  double step = std::max<double>(1, static_cast<double>(spec.min_steps()));
  for (; step < last; step *= factor_) steps_.push_back(step);
  scores_.assign(steps_.size(), std::vector<std::vector<double>>(static_cast<size_t>(brackets)));
  for (const auto& [id, entry] : history.entries()) {
    for (size_t k = 0; k < steps_.size(); ++k) {
      if (Judges(k, entry)) ScoresFor(k, id)->push_back(BestOf(entry.curve, steps_[k]));
    }
  }
}

bool Rungs::Judges(size_t k, const Entry& entry) const {
  return entry.id % brackets_ <= static_cast<int>(k) && !entry.curve.empty() &&
         entry.curve.back().step >= steps_[k];
}

std::vector<double>* Rungs::ScoresFor(size_t k, int32_t id) {
  return &scores_[k][static_cast<size_t>(id % brackets_)];
}

Rungs::Verdict Rungs::At(size_t k, const Entry& entry) {
  std::vector<double>& peers = *ScoresFor(k, entry.id);
  Verdict verdict;
  verdict.own = BestOf(entry.curve, steps_[k]);
  verdict.peers = peers.size();
  verdict.kept = static_cast<size_t>(std::floor(static_cast<double>(peers.size()) / factor_));
  if (verdict.kept == 0) return verdict;  // too few have come this far to judge
  const auto last = peers.begin() + static_cast<int64_t>(verdict.kept) - 1;
  std::nth_element(peers.begin(), last, peers.end());
  verdict.is_in = verdict.own <= *last;
  return verdict;
}

std::vector<StopAdvice> Rungs::Stops() {
  std::vector<StopAdvice> stops;
  for (const auto& [id, entry] : history_.entries()) {
    if (!OldEnough(spec_, entry)) continue;
    for (size_t k = 0; k < steps_.size(); ++k) {
      // What went on from a rung is judged again at the next one.
      if (!Judges(k, entry) || steps_[k] <= entry.resumed_from) continue;
      const Verdict verdict = At(k, entry);
      if (verdict.is_in) continue;
      stops.push_back(
          {id,
           absl::StrFormat("best %.6g at rung %.10g is not in the first %d of %d",
                           Shown(history_, verdict.own), steps_[k], verdict.kept, verdict.peers),
           /*may_resume=*/true});
      break;
    }
  }
  return stops;
}

std::vector<int32_t> Rungs::Resumes() {
  struct Held {
    size_t rung;
    double own;
    int32_t id;
  };
  std::vector<Held> held;
  for (const auto& [id, entry] : history_.entries()) {
    if (!entry.held) continue;
    size_t k = steps_.size();
    while (k > 0 && !Judges(k - 1, entry)) --k;
    if (k == 0) continue;
    const Verdict verdict = At(k - 1, entry);
    if (verdict.kept > 0 && verdict.is_in) held.push_back({k - 1, verdict.own, id});
  }
  std::stable_sort(held.begin(), held.end(), [](const Held& a, const Held& b) {
    return a.rung > b.rung || (a.rung == b.rung && a.own < b.own);
  });
  std::vector<int32_t> ids;
  for (const Held& one : held) ids.push_back(one.id);
  return ids;
}

bool MayStop(const v1::StudySpec::StudyStopping& spec, const History& history,
             double elapsed_seconds) {
  return history.ended() >= spec.min_trials() &&
         (!spec.has_minimum_runtime() || elapsed_seconds >= Seconds(spec.minimum_runtime()));
}

StudyStop AdviseStudyStop(const v1::StudySpec& study, const History& history,
                          double elapsed_seconds) {
  const v1::StudySpec::StudyStopping& spec = study.study_stopping();
  if (spec.should_stop_asap()) return {true, "the study was asked to stop"};
  if (spec.max_trials() > 0 && history.ended() >= spec.max_trials()) {
    return {true, absl::StrCat("all ", spec.max_trials(), " trials have ended")};
  }
  if (spec.has_maximum_runtime() && elapsed_seconds >= Seconds(spec.maximum_runtime())) {
    return {true, absl::StrFormat("the study ran for its maximum of %.10g s",
                                  Seconds(spec.maximum_runtime()))};
  }
  if (!MayStop(spec, history, elapsed_seconds) || history.succeeded() == 0) return {};
  const double idle = Seconds(spec.max_duration_no_progress());
  if (spec.max_trials_no_progress() <= 0 && idle <= 0) return {};
  const Progress last = LastProgress(study, history);
  int64_t since = 0;
  for (auto it = history.entries().upper_bound(last.trial); it != history.entries().end(); ++it) {
    if (it->second.status != Entry::kPending && !it->second.held) ++since;
  }
  if (spec.max_trials_no_progress() > 0 && since >= spec.max_trials_no_progress()) {
    return {true,
            absl::StrCat("no progress in the last ", since, " trials, since trial ", last.trial)};
  }
  if (idle > 0 && elapsed_seconds - last.seconds >= idle) {
    return {true, absl::StrFormat("no progress for %.10g s, since trial %d", idle, last.trial)};
  }
  return {};
}

}  // namespace trainyard::tuning
