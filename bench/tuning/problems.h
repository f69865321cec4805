// Public test problems for optimisers with the figures of other optimisers on them, and a few
// problems of our own kind that no bar was set on.
#ifndef TRAINYARD_BENCH_TUNING_PROBLEMS_H_
#define TRAINYARD_BENCH_TUNING_PROBLEMS_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "trainyard/v1/spec.pb.h"

namespace trainyard::bench {

// Values by parameter id; categories as text.
struct Values {
  explicit Values(const std::vector<v1::ParameterValue>& parameters);
  double operator()(const std::string& id) const { return numbers.at(id); }
  const std::string& text(const std::string& id) const { return texts.at(id); }
  std::map<std::string, double> numbers;
  std::map<std::string, std::string> texts;
};

struct Problem {
  std::string name;
  v1::StudySpec spec;  // metric "loss", MINIMIZE
  std::function<double(const Values&)> loss;
  double noise = 0;  // standard deviation of what is told
  double minimum = 0;
};
// Throws nothing; an unknown name gives a problem without parameters.
Problem MakeProblem(const std::string& name);

// A row of the comparison: what others reach (medians), and what we promise.
struct Row {
  std::string problem;
  int trials;
  double random;       // Optuna 4.9 random
  double best_optuna;  // the best of seven Optuna configurations
  double bar;          // NaN: none
};
const std::vector<Row>& PublicRows();
// Rows without published figures.
const std::vector<Row>& OtherRows();

}  // namespace trainyard::bench

#endif  // TRAINYARD_BENCH_TUNING_PROBLEMS_H_
