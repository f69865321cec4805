// Population based training: a trial is one stretch of training of one member of a population, and
// goes on from the checkpoint of the trial that `Origin` names. A member among the worst quarter of
// the last stretches takes over weights and parameters of one of the best quarter and changes them
// a little; the others go on as they are. Source: Jaderberg and others, "Population based training
// of neural networks" (2017): truncation selection, perturbation by 0.8 or 1.2, one value in four
// drawn anew. Members are served by turns (trial index modulo population), so that the answer
// depends on the history alone and no generation waits for its slowest member. See sampler.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/random.h"
#include "scheduler/tuning/sampler.h"
#include "scheduler/tuning/scalarize.h"
#include "scheduler/tuning/sobol.h"

namespace trainyard::tuning {
namespace {

constexpr int kPopulationLeast = 4;
constexpr int kPopulationMost = 20;
constexpr double kResample = 0.25;
constexpr double kFactorLow = 0.8;
constexpr double kFactorHigh = 1.2;
constexpr double kStepLeast = 0.04;  // of the range

struct Member {
  int slot;
  const Entry* entry;  // of its last stretch that has ended
  double value;        // less is better; infinity of a failure
};

class PbtSampler : public Sampler {
 public:
  PbtSampler(const v1::StudySpec& spec, const Space& space)
      : spec_(spec),
        space_(space),
        population_(std::clamp(2 * space.size(), kPopulationLeast, kPopulationMost)) {}

  Point Propose(const History& history, const Ask& ask) override {
    if (ask.index < population_ || ask.attempt > 0) return Fresh(ask);
    const int slot = ask.index % population_;
    const Choice choice = Choose(history, ask);
    if (choice.from == nullptr) return Fresh(ask);
    if (choice.from->slot == slot && !choice.explore) return choice.from->entry->point;
    return Explored(choice.from->entry->point, ask.seed);
  }

  int32_t Origin(const History& history, const Ask& ask) override {
    if (ask.index < population_ || ask.attempt > 0) return 0;
    const Choice choice = Choose(history, ask);
    return choice.from == nullptr ? 0 : choice.from->entry->id;
  }

  // A member that goes on as it is asks for its own point again.
  bool MayRepeat() const override { return true; }

 private:
  struct Choice {
    std::vector<Member> members;
    const Member* from = nullptr;  // none: begin anew
    bool explore = false;
  };

  Point Fresh(const Ask& ask) const {
    if (ask.attempt > 0) return DrawUniform(space_, ask.seed);
    return space_.FromFeatures(
        ScrambledSobol(ask.study_seed, static_cast<uint32_t>(ask.index), space_.size()));
  }

  // The last ended stretch of every member that has one, best first.
  std::vector<Member> Ranked(const History& history, const Ask& ask) const {
    const Scalarizer scalarizer(spec_, history, /*seed=*/0);
    std::vector<Member> members;
    std::vector<bool> met(static_cast<size_t>(population_), false);
    size_t left = met.size();
    const int32_t before = ask.id - ask.index;  // id of index 0
    const auto& entries = history.entries();
    for (auto it = entries.rbegin(); it != entries.rend() && left > 0; ++it) {
      const Entry& entry = it->second;
      if (entry.status == Entry::kPending || it->first >= ask.id || it->first < before) continue;
      const int slot = (it->first - before) % population_;
      if (met[static_cast<size_t>(slot)]) continue;
      met[static_cast<size_t>(slot)] = true;
      --left;
      const bool failed = entry.status == Entry::kInfeasible;
      members.push_back(
          {slot, &entry,
           failed ? std::numeric_limits<double>::infinity() : scalarizer.Value(entry)});
    }
    std::stable_sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
      return a.value < b.value || (a.value == b.value && a.slot < b.slot);
    });
    return members;
  }

  Choice Choose(const History& history, const Ask& ask) const {
    Choice choice;
    choice.members = Ranked(history, ask);
    const int slot = ask.index % population_;
    const size_t count = choice.members.size();
    const size_t quarter = std::max<size_t>(1, count / 4);
    size_t place = count;  // unknown: its first stretch has not ended
    for (size_t i = 0; i < count; ++i) {
      if (choice.members[i].slot == slot) place = i;
    }
    const auto is_sound = [&](size_t i) {
      return choice.members[i].entry->status == Entry::kSucceeded;
    };
    if (place < count && is_sound(place) && (place + quarter < count || count < 2)) {
      choice.from = &choice.members[place];
      return choice;
    }
    size_t sound = 0;
    while (sound < std::min(quarter, count) && is_sound(sound)) ++sound;
    if (sound == 0) return choice;
    Random random(MixSeed(ask.seed, 0xb7a));
    choice.from = &choice.members[random.Below(sound)];
    choice.explore = true;
    return choice;
  }

  Point Explored(const Point& from, uint64_t seed) const {
    Random random(MixSeed(seed, 0xe891));
    std::vector<double> features = space_.ToFeatures(from);
    for (int d = 0; d < space_.size(); ++d) {
      const Dimension& dimension = space_.dimension(d);
      double& feature = features[static_cast<size_t>(d)];
      const double chance = random.Uniform();
      const bool up = random.Below(2) == 1;
      const double drawn = random.Uniform();
      if (chance < kResample) {
        feature = drawn;
      } else if (std::isnan(from[static_cast<size_t>(d)])) {
        feature = drawn;  // of a branch that the parent did not take
      } else if (!dimension.is_categorical()) {
        const double moved =
            dimension.ToFeature(Stepped(dimension, from[static_cast<size_t>(d)], up));
        const double step = up ? kStepLeast : -kStepLeast;
        // A factor moves nothing near zero.
        feature = std::abs(moved - feature) < kStepLeast / 2 ? feature + step : moved;
      }
    }
    return space_.FromFeatures(features);
  }

  // Numbers by the factor, lists and small integers to the neighbour.
  static double Stepped(const Dimension& dimension, double value, bool up) {
    if (dimension.kind == Dimension::kDiscrete || dimension.kind == Dimension::kOrdinal) {
      return std::clamp(value + (up ? 1 : -1), 0.0, dimension.Levels() - 1);
    }
    double moved = value * (up ? kFactorHigh : kFactorLow);
    if (dimension.kind == Dimension::kInteger) {
      moved = up ? std::max(std::round(moved), value + 1) : std::min(std::round(moved), value - 1);
    }
    return std::clamp(moved, dimension.low, dimension.high);
  }

  const v1::StudySpec& spec_;
  const Space& space_;
  const int population_;
};

}  // namespace

std::unique_ptr<Sampler> MakePbtSampler(const v1::StudySpec& spec, const Space& space) {
  return std::make_unique<PbtSampler>(spec, space);
}

}  // namespace trainyard::tuning
