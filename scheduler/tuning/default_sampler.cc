// See default_sampler.h.
#include "scheduler/tuning/default_sampler.h"

#include "scheduler/tuning/elite_sampler.h"
#include "scheduler/tuning/gp_sampler.h"
#include "scheduler/tuning/tpe.h"

namespace trainyard::tuning {
namespace {

constexpr size_t kModelledMax = 1000;  // trials; a suggestion takes some 20 ms there
constexpr int kTurns = 4;
constexpr int kJudged = 40;  // of the best trials

// Of four trials beyond the model the first is found by local search, two by the Parzen estimator,
// the third by whichever found more of the best ones. Which was which follows from the id.
enum class Turn { kLocal, kWide, kBetter };

Turn TurnOf(int32_t id) {
  switch (id % kTurns) {
    case 0:
      return Turn::kLocal;
    case 2:
      return Turn::kBetter;
    default:
      return Turn::kWide;
  }
}

class DefaultSampler : public Sampler {
 public:
  DefaultSampler(const v1::StudySpec& spec, const Space& space, const Lessons* lessons)
      : gp_(MakeGpSampler(spec, space, lessons)),
        tpe_(MakeTpeSampler(spec, space)),
        elite_(MakeEliteSampler(space)),
        may_search_(spec.metrics_size() == 1 && !spec.metrics(0).has_safety_threshold()) {}

  Point Propose(const History& history, const Ask& ask) override {
    if (history.entries().size() <= kModelledMax) return gp_->Propose(history, ask);
    const Turn turn = TurnOf(ask.id);
    const bool local = turn == Turn::kLocal || (turn == Turn::kBetter && LocalFoundMore(history));
    return (local && may_search_ ? elite_ : tpe_)->Propose(history, ask);
  }

 private:
  // Among the best trials, counted where each has turns of its own.
  static bool LocalFoundMore(const History& history) {
    int local = 0;
    int wide = 0;
    int looked = 0;
    for (const auto& [value, id] : history.ranking()) {
      if (++looked > kJudged) break;
      if (static_cast<size_t>(id) <= kModelledMax) continue;
      local += TurnOf(id) == Turn::kLocal ? 1 : 0;
      wide += TurnOf(id) == Turn::kWide ? 1 : 0;
    }
    return 2 * local > wide;  // the Parzen estimator has two turns
  }

  std::unique_ptr<Sampler> gp_;
  std::unique_ptr<Sampler> tpe_;
  std::unique_ptr<Sampler> elite_;
  const bool may_search_;
};

}  // namespace

std::unique_ptr<Sampler> MakeDefaultSampler(const v1::StudySpec& spec, const Space& space,
                                            const Lessons* lessons) {
  return std::make_unique<DefaultSampler>(spec, space, lessons);
}

}  // namespace trainyard::tuning
