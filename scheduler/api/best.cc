// See best.h.
#include "scheduler/api/best.h"

#include "scheduler/tuning/best.h"

namespace trainyard::api {
namespace {

constexpr int kPage = 1000;
constexpr size_t kKnownMax = 256;

// Tells the finder of trials that count. Parameters are needed by the model of a noisy study alone.
void Observe(const v1::StudySpec& spec, const std::vector<core::TrialPtr>& trials,
             tuning::BestFinder* finder) {
  for (const core::TrialPtr& trial : trials) {
    if (trial->state() != v1::TRIAL_SUCCEEDED || !trial->has_final_measurement()) continue;
    tuning::TrialRecord record;
    record.id = trial->id();
    record.state = trial->state();
    if (spec.noise() == v1::StudySpec::NOISE_HIGH) {
      record.parameters.assign(trial->parameters().begin(), trial->parameters().end());
    }
    record.final_measurement = trial->final_measurement();
    record.stopped_early = trial->stopped_early();
    finder->Observe(record);
  }
}

}  // namespace

std::vector<int32_t> BestTrials(const v1::StudySpec& spec,
                                const std::vector<core::TrialPtr>& trials, int count) {
  tuning::BestFinder finder(spec);
  Observe(spec, trials, &finder);
  return finder.Best(count);
}

std::vector<int32_t> BestBook::Best(const runtime::View& view, const journal::v1::StudyRow& study,
                                    int count) {
  const std::pair<uint64_t, int> key(study.uid(), count);
  {
    MutexLock lock(&mutex_);
    const auto known = known_.find(key);
    if (known != known_.end() && known->second.revision == study.revision()) {
      return known->second.ids;
    }
  }
  tuning::BestFinder finder(study.spec());
  int32_t last = 0;
  for (auto page = view.Trials(study.uid(), last, kPage); !page.empty();
       page = view.Trials(study.uid(), last, kPage)) {
    last = page.back()->id();
    Observe(study.spec(), page, &finder);
  }
  Known found{study.revision(), finder.Best(count)};
  MutexLock lock(&mutex_);
  if (known_.size() >= kKnownMax) known_.clear();
  known_[key] = found;
  return found.ids;
}

}  // namespace trainyard::api
