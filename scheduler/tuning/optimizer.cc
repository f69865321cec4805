// The Optimizer of tuning.h: a history, one sampler, the stopping rules. A suggestion is a function
// of the set of records and the trial's id; what the samplers cache changes no answer.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/errors.h"
#include "common/random.h"
#include "scheduler/tuning/best.h"
#include "scheduler/tuning/curve_stop.h"
#include "scheduler/tuning/history.h"
#include "scheduler/tuning/regret.h"
#include "scheduler/tuning/sampler.h"
#include "scheduler/tuning/space.h"
#include "scheduler/tuning/stopping.h"
#include "scheduler/tuning/transfer.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {
namespace {

constexpr int kRetriesMax = 64;      // draws to get past a duplicate
constexpr int kBrackets = 3;         // of Hyperband
constexpr double kWalkMax = 200000;  // points of a finite space looked at for a free one

class StudyOptimizer : public Optimizer {
 public:
  StudyOptimizer(const v1::StudySpec& spec, uint64_t seed, const std::vector<EarlierStudy>& earlier)
      : spec_(spec),
        seed_(spec.seed() != 0 ? spec.seed() : seed),
        space_(spec),
        history_(spec_, space_),
        lessons_(spec_, space_, earlier),
        sampler_(MakeSampler(spec_, space_, &lessons_)) {
    for (const auto& given : spec_.initial_trials()) {
      given_.push_back(
          space_.FromParameters({given.parameters().begin(), given.parameters().end()}));
    }
    const auto& dims = space_.dimensions();
    if (spec_.algorithm() != v1::StudySpec::GRID &&
        std::any_of(dims.begin(), dims.end(),
                    [](const Dimension& d) { return d.default_value.has_value(); })) {
      given_.push_back(space_.FromParameters({}));
    }
  }

  void Observe(TrialRecord trial) override { history_.Observe(trial); }

  absl::StatusOr<SuggestResult> Suggest(int32_t first_id, int count) override {
    if (first_id < 1 || count < 0) {
      return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                       absl::StrCat("asked for ", count, " trials from id ", first_id),
                       "ids begin with 1 and the count is not negative");
    }
    SuggestResult result;
    Batch batch;
    for (int i = 0; i < count; ++i) {
      const int32_t id = first_id + i;
      const uint64_t trial_seed = MixSeed(seed_, static_cast<uint64_t>(id));
      const std::optional<Point> point = NextPoint(id, trial_seed, batch);
      if (!point.has_value()) {
        result.exhausted = true;
        break;
      }
      Suggestion suggestion;
      suggestion.parameters = space_.ToParameters(*point);
      suggestion.seed = trial_seed;
      suggestion.origin = origin_;
      if (spec_.duplicates() == v1::StudySpec::REUSE) suggestion.same_as = SameAs(*point);
      result.suggestions.push_back(std::move(suggestion));
      batch.keys.push_back(KeyOf(*point));
      batch.points.push_back(*point);
    }
    return result;
  }

  std::vector<StopAdvice> AdviseStops() override {
    switch (spec_.stopping().kind()) {
      case v1::StudySpec::MEDIAN:
        return MedianStops(spec_.stopping(), history_);
      case v1::StudySpec::ASHA:
      case v1::StudySpec::HYPERBAND:
        return Rungs(spec_.stopping(), history_, Brackets()).Stops();
      case v1::StudySpec::DECAY_CURVE:
        return curve_stop_.Advise(history_);
      default:
        return {};
    }
  }

  std::vector<int32_t> AdviseResumes() override {
    if (!history_.any_held()) return {};
    return Rungs(spec_.stopping(), history_, Brackets()).Resumes();
  }

  StudyStop AdviseStudy(double elapsed_seconds) override {
    StudyStop stop = AdviseStudyStop(spec_, history_, elapsed_seconds);
    if (stop.stop || !MayStop(spec_.study_stopping(), history_, elapsed_seconds)) return stop;
    return StopOnRegret();
  }

  std::vector<int32_t> Best(int count) const override { return BestOf(spec_, history_, count); }

 private:
  // The estimate costs a fit: it is made anew when a trial has ended.
  StudyStop StopOnRegret() {
    const double most = spec_.study_stopping().regret_below();
    if (most <= 0 || history_.succeeded() == 0) return {};
    if (history_.ended() != regret_at_) {
      regret_at_ = history_.ended();
      regret_ = EstimatedRegret(history_);
    }
    if (!regret_.has_value() || *regret_ > most) return {};
    return {true, absl::StrFormat("no more than %.3g is thought to be left to gain", *regret_)};
  }

  int Brackets() const {
    return spec_.stopping().kind() == v1::StudySpec::HYPERBAND ? kBrackets : 1;
  }

  struct Batch {
    std::vector<Point> points;
    std::vector<uint64_t> keys;
  };

  bool Taken(uint64_t key, const Batch& batch) const {
    return history_.Contains(key) ||
           std::find(batch.keys.begin(), batch.keys.end(), key) != batch.keys.end();
  }

  // With REPEAT: between the first trials of different points.
  bool DuplicatesForbidden() const {
    if (sampler_->MayRepeat()) return false;
    const auto policy = spec_.duplicates();
    if (policy == v1::StudySpec::FORBID || policy == v1::StudySpec::REPEAT) return true;
    return policy == v1::StudySpec::DUPLICATES_UNSPECIFIED &&
           spec_.noise() != v1::StudySpec::NOISE_HIGH;
  }

  std::optional<Point> NextPoint(int32_t id, uint64_t trial_seed, const Batch& batch) {
    origin_ = 0;
    int32_t first_of_repeat = id;
    int32_t index = id - 1;
    if (spec_.duplicates() == v1::StudySpec::REPEAT && spec_.repeats() > 1) {
      index = (id - 1) / spec_.repeats();
      first_of_repeat = index * spec_.repeats() + 1;
      const int back = id - first_of_repeat;
      if (back > 0 && back <= static_cast<int>(batch.points.size())) {
        return batch.points[batch.points.size() - static_cast<size_t>(back)];
      }
      const Entry* const first = history_.Find(first_of_repeat);
      if (back > 0 && first != nullptr) return first->point;
    }
    const auto given = static_cast<int32_t>(given_.size());
    if (index < given) return given_[index];
    Ask ask;
    ask.id = id;
    ask.index = index - given;
    ask.study_seed = seed_;
    ask.batch = &batch.points;
    if (spec_.algorithm() == v1::StudySpec::GRID) return NextGridPoint(ask);
    if (DuplicatesForbidden() &&
        static_cast<double>(history_.distinct_points()) + static_cast<double>(batch.keys.size()) >=
            space_.Count()) {
      if (std::isfinite(space_.Count()) && !AnyFree(trial_seed, batch).has_value()) {
        return std::nullopt;
      }
    }
    ask.seed = trial_seed;
    Point point = sampler_->Propose(history_, ask);
    origin_ = sampler_->Origin(history_, ask);
    if (!DuplicatesForbidden()) return point;
    for (ask.attempt = 1; Taken(KeyOf(point), batch); ++ask.attempt) {
      if (ask.attempt > kRetriesMax) return AnyFree(trial_seed, batch);
      ask.seed = MixSeed(trial_seed, static_cast<uint64_t>(ask.attempt));
      point = DrawUniform(space_, ask.seed);
    }
    return point;
  }

  std::optional<Point> NextGridPoint(const Ask& ask) {
    if (DuplicatesForbidden() && static_cast<double>(ask.index) >= space_.Count()) {
      return std::nullopt;
    }
    return sampler_->Propose(history_, ask);
  }

  // A point that nobody tried: a walk over a finite space from a random place.
  std::optional<Point> AnyFree(uint64_t seed, const Batch& batch) const {
    const double count = space_.Count();
    if (!std::isfinite(count)) return DrawUniform(space_, MixSeed(seed, 0xf1ee));
    Random random(MixSeed(seed, 0xf1ee));
    const double start = std::floor(random.Uniform() * count);
    for (double i = 0; i < std::min(count, kWalkMax); ++i) {
      Point point = space_.GridPoint(std::fmod(start + i, count));
      if (!Taken(KeyOf(point), batch)) return point;
    }
    return std::nullopt;
  }

  int32_t SameAs(const Point& point) const {
    const uint64_t key = KeyOf(point);
    if (!history_.Contains(key)) return 0;
    for (const auto& [id, entry] : history_.entries()) {
      if (entry.key == key && entry.status == Entry::kSucceeded && !entry.stopped_early) return id;
    }
    return 0;
  }

  const v1::StudySpec spec_;
  const uint64_t seed_;
  const Space space_;
  History history_;
  const Lessons lessons_;
  std::unique_ptr<Sampler> sampler_;
  CurveStop curve_stop_{spec_.stopping()};
  std::vector<Point> given_;
  int32_t origin_ = 0;  // of the point that NextPoint gave last
  int regret_at_ = 0;   // trials that had ended then
  std::optional<double> regret_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(const v1::StudySpec& spec, uint64_t seed,
                                                         const std::vector<EarlierStudy>& earlier) {
  if (absl::Status status = CheckStudySpec(spec); !status.ok()) return status;
  for (const EarlierStudy& study : earlier) {
    if (absl::Status status = CheckStudySpec(study.spec); !status.ok()) return status;
  }
  return std::make_unique<StudyOptimizer>(spec, seed, earlier);
}

}  // namespace trainyard::tuning
