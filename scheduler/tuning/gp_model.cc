// See gp_model.h.
#include "scheduler/tuning/gp_model.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "common/random.h"
#include "scheduler/tuning/output_warp.h"

namespace trainyard::tuning {
namespace {

constexpr int kFitMax = 100;      // points of the fit
constexpr int kEvaluations = 30;  // of the likelihood, from each of two starts
constexpr size_t kKeptMax = 16;   // fits: a study of several metrics alternates between some
constexpr double kAdvantage = 0;  // of an expectation from earlier studies, in log likelihood

uint64_t KeyOfAll(const std::vector<Observation>& used, bool transfer) {
  uint64_t key = transfer ? 2 : 1;
  uint64_t bits;
  for (const Observation& observation : used) {
    std::memcpy(&bits, &observation.value, sizeof(bits));
    key = MixSeed(MixSeed(key, static_cast<uint64_t>(observation.id)), bits);
    std::memcpy(&bits, &observation.deviation, sizeof(bits));
    if (observation.deviation > 0) key = MixSeed(key, bits);
    for (const double feature : observation.features) {
      std::memcpy(&bits, &feature, sizeof(bits));
      key = MixSeed(key, bits);
    }
  }
  return key;
}

}  // namespace

GpModels::GpModels(const Space& space, const Lessons* lessons) : space_(space), lessons_(lessons) {
  for (const Dimension& dimension : space.dimensions()) {
    categorical_.push_back(dimension.is_categorical() ? 1 : 0);
  }
}

GpData GpModels::ToData(const std::vector<Observation>& observations) const {
  GpData data;
  data.categorical = categorical_;
  data.x.resize(static_cast<Eigen::Index>(observations.size()), space_.size());
  std::vector<double> values;
  for (size_t i = 0; i < observations.size(); ++i) {
    for (int d = 0; d < space_.size(); ++d) {
      data.x(static_cast<Eigen::Index>(i), d) = observations[i].features[static_cast<size_t>(d)];
    }
    values.push_back(observations[i].value);
  }
  data.t = ScaleObjectives(values);
  const bool doubtful = std::any_of(observations.begin(), observations.end(),
                                    [](const Observation& one) { return one.deviation > 0; });
  if (!doubtful) return data;
  const double unit = ScaleUnit(values);
  data.doubt = Eigen::VectorXd::Zero(data.t.size());
  for (Eigen::Index i = 0; i < data.t.size() && unit > 0; ++i) {
    data.doubt[i] = observations[static_cast<size_t>(i)].deviation / unit;
  }
  return data;
}

std::shared_ptr<const GpModel> GpModels::FittedTo(const std::vector<Observation>& all,
                                                  bool transfer) {
  transfer = transfer && lessons_ != nullptr && !lessons_->empty();
  size_t count = all.size();
  if (count > 40) {
    size_t step = 2;
    while (step * 16 < count) step *= 2;
    count -= count % step;
  }
  const std::vector<Observation> prefix(all.begin(), all.begin() + static_cast<int64_t>(count));
  const std::vector<Observation> used = Thinned(prefix, kFitMax);
  const uint64_t key = KeyOfAll(used, transfer);
  const auto it = std::find_if(kept_.begin(), kept_.end(),
                               [key](const auto& kept) { return kept.first == key; });
  if (it != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, it);
  } else {
    kept_.emplace_front(key, std::make_shared<const GpModel>(Make(used, transfer)));
    if (kept_.size() > kKeptMax) kept_.pop_back();
  }
  return kept_.front().second;
}

GpModel GpModels::Make(const std::vector<Observation>& used, bool transfer) const {
  GpData data = ToData(used);
  GpModel model{GpFit(data).Fit(kEvaluations), 0, nullptr};
  if (transfer) {
    double agreement;
    const Eigen::VectorXd z = WarpOutputs(data.t, model.fit.plain.warp(), nullptr);
    std::unique_ptr<MeanFunction> mean = lessons_->Agree(data, z, &agreement);
    if (mean != nullptr) {
      data.mean = mean.get();
      GpFitted taught = GpFit(data).Fit(kEvaluations);
      if (taught.value < model.fit.value - kAdvantage) {
        model.fit = std::move(taught);
        model.mean = std::move(mean);
      } else {
        data.mean = nullptr;
      }
    }
  }
  model.skill = GpPosterior(data, Eigen::MatrixXd(0, space_.size()), model.fit.best).Skill();
  return model;
}

std::vector<Observation> Thinned(const std::vector<Observation>& all, int most) {
  const auto limit = static_cast<size_t>(most);
  if (all.size() <= limit) return all;
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&all](size_t a, size_t b) { return all[a].value < all[b].value; });
  std::vector<size_t> kept(order.begin(), order.begin() + static_cast<int64_t>(limit / 2));
  std::vector<size_t> rest(order.begin() + static_cast<int64_t>(limit / 2), order.end());
  std::sort(rest.begin(), rest.end());
  const size_t others = limit - kept.size();
  for (size_t i = 0; i < others; ++i) kept.push_back(rest[i * rest.size() / others]);
  std::sort(kept.begin(), kept.end());
  std::vector<Observation> out;
  for (const size_t i : kept) out.push_back(all[i]);
  return out;
}

std::vector<int32_t> ByPosterior(const std::vector<Observation>& all, const Space& space) {
  constexpr int kModelMax = 500;
  std::vector<int32_t> ids;
  if (all.empty()) return ids;
  const std::vector<Observation> modelled = Thinned(all, kModelMax);
  GpModels models(space, nullptr);
  const auto model = models.FittedTo(all, /*transfer=*/false);
  const GpPosterior posterior(models.ToData(modelled), Eigen::MatrixXd(0, space.size()),
                              model->fit.plain);
  std::vector<size_t> order(modelled.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&posterior](size_t a, size_t b) {
    return posterior.fitted()[static_cast<Eigen::Index>(a)] <
           posterior.fitted()[static_cast<Eigen::Index>(b)];
  });
  for (const size_t i : order) ids.push_back(modelled[i].id);
  return ids;
}

}  // namespace trainyard::tuning
