// See problems.h. Definitions: Branin, Hartmann-6, Rosenbrock, Ackley, Rastrigin, Levy,
// Michalewicz, Griewank, Styblinski-Tang are the usual ones; mixed7 and cond8 imitate tuning a
// network.
#include "bench/tuning/problems.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace trainyard::bench {
namespace {

using Scale = v1::StudySpec;
constexpr double kPi = M_PI;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

v1::StudySpec::Parameter* Double(v1::StudySpec::Parameter* p, const std::string& id, double min,
                                 double max, v1::StudySpec::Scale scale = Scale::LINEAR) {
  p->set_parameter_id(id);
  p->mutable_double_range()->set_min(min);
  p->mutable_double_range()->set_max(max);
  p->set_scale(scale);
  return p;
}
void Integer(v1::StudySpec::Parameter* p, const std::string& id, int64_t min, int64_t max,
             v1::StudySpec::Scale scale = Scale::LINEAR) {
  p->set_parameter_id(id);
  p->mutable_integer_range()->set_min(min);
  p->mutable_integer_range()->set_max(max);
  p->set_scale(scale);
}
v1::StudySpec::Parameter* Choice(v1::StudySpec::Parameter* p, const std::string& id,
                                 const std::vector<std::string>& values) {
  p->set_parameter_id(id);
  for (const auto& value : values) p->mutable_categories()->add_values(value);
  return p;
}
v1::StudySpec::Parameter* Under(v1::StudySpec::Parameter* p, const std::string& value) {
  auto* conditional = p->add_conditional_parameters();
  conditional->mutable_condition()->add_categorical_values(value);
  return conditional->mutable_parameter();
}

v1::StudySpec Box(int dimensions, double low, double high) {
  v1::StudySpec spec;
  for (int i = 0; i < dimensions; ++i) {
    Double(spec.add_parameters(), absl::StrCat("x", i), low, high);
  }
  return spec;
}

std::vector<double> Vector(const Values& v) {
  std::vector<double> x(v.numbers.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = v(absl::StrCat("x", i));
  return x;
}

double Branin(const Values& v) {
  const double x = v("x0");
  const double y = v("x1");
  const double a = y - 5.1 / (4 * kPi * kPi) * x * x + 5 / kPi * x - 6;
  return a * a + 10 * (1 - 1 / (8 * kPi)) * std::cos(x) + 10;
}

double Hartmann6(const Values& v) {
  static const double alpha[] = {1, 1.2, 3, 3.2};
  static const double a[4][6] = {{10, 3, 17, 3.5, 1.7, 8},
                                 {.05, 10, 17, .1, 8, 14},
                                 {3, 3.5, 1.7, 10, 17, 8},
                                 {17, 8, .05, 10, .1, 14}};
  static const double p[4][6] = {{1312, 1696, 5569, 124, 8283, 5886},
                                 {2329, 4135, 8307, 3736, 1004, 9991},
                                 {2348, 1451, 3522, 2883, 3047, 6650},
                                 {4047, 8828, 8732, 5743, 1091, 381}};
  const auto x = Vector(v);
  double sum = 0;
  for (int i = 0; i < 4; ++i) {
    double inner = 0;
    for (int j = 0; j < 6; ++j) inner += a[i][j] * std::pow(x[j] - 1e-4 * p[i][j], 2);
    sum -= alpha[i] * std::exp(-inner);
  }
  return sum;
}

double Rosenbrock(const Values& v) {
  const auto x = Vector(v);
  double sum = 0;
  for (size_t i = 0; i + 1 < x.size(); ++i) {
    sum += 100 * std::pow(x[i + 1] - x[i] * x[i], 2) + std::pow(1 - x[i], 2);
  }
  return sum;
}

double Ackley(const Values& v) {
  static const double shift[] = {5, -12, 8.5, -3.25, 14};
  const auto x = Vector(v);
  double squares = 0;
  double cosines = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    squares += std::pow(x[i] - shift[i], 2) / 5;
    cosines += std::cos(2 * kPi * (x[i] - shift[i])) / 5;
  }
  return -20 * std::exp(-0.2 * std::sqrt(squares)) - std::exp(cosines) + 20 + std::exp(1.0);
}

double Rastrigin(const Values& v) {
  static const double shift[] = {1.3, -2.1, 0.7, -0.4, 2.6};
  const auto x = Vector(v);
  double sum = 50;
  for (size_t i = 0; i < x.size(); ++i) {
    const double z = x[i] - shift[i];
    sum += z * z - 10 * std::cos(2 * kPi * z);
  }
  return sum;
}

double Levy(const Values& v) {
  const auto x = Vector(v);
  const auto w = [&](size_t i) { return 1 + (x[i] - 1) / 4; };
  double sum = std::pow(std::sin(kPi * w(0)), 2);
  for (size_t i = 0; i + 1 < x.size(); ++i) {
    sum += std::pow(w(i) - 1, 2) * (1 + 10 * std::pow(std::sin(kPi * w(i) + 1), 2));
  }
  const double last = w(x.size() - 1);
  return sum + std::pow(last - 1, 2) * (1 + std::pow(std::sin(2 * kPi * last), 2));
}

v1::StudySpec Mixed7Space() {
  v1::StudySpec spec;
  Double(spec.add_parameters(), "lr", 1e-5, 1, Scale::LOG);
  Double(spec.add_parameters(), "wd", 1e-6, 1e-1, Scale::LOG);
  Integer(spec.add_parameters(), "layers", 1, 10);
  Integer(spec.add_parameters(), "units", 16, 1024, Scale::LOG);
  Double(spec.add_parameters(), "dropout", 0, 0.9);
  Choice(spec.add_parameters(), "opt", {"sgd", "adam", "rmsprop"});
  Choice(spec.add_parameters(), "act", {"relu", "tanh", "gelu"});
  return spec;
}

double Mixed7(const Values& v) {
  const std::string& opt = v.text("opt");
  const std::string& act = v.text("act");
  const double mu = (opt == "sgd" ? -1 : opt == "adam" ? -3 : -3.5) - 0.05 * (v("layers") - 4);
  const double delta = std::log10(v("lr")) - mu;
  const double cap = v("layers") * std::log2(v("units"));
  return 0.08 +
         (opt == "sgd"    ? .03
          : opt == "adam" ? 0
                          : .02) +
         (act == "relu"   ? .01
          : act == "tanh" ? .04
                          : 0) +
         0.12 * (1 - std::exp(-0.5 * std::pow(delta / 0.7, 2))) + 0.01 * std::abs(delta) +
         0.15 * std::pow((cap - 36) / 36, 2) +
         0.3 * std::pow(v("dropout") - 0.1 - 0.2 * cap / 72, 2) +
         0.01 * std::pow(std::log10(v("wd")) + 4, 2);
}

v1::StudySpec Cond8Space() {
  v1::StudySpec spec;
  auto* opt = Choice(spec.add_parameters(), "opt", {"sgd", "adam"});
  Double(Under(opt, "sgd"), "lr_sgd", 1e-4, 1, Scale::LOG);
  Double(Under(opt, "sgd"), "momentum", 0, 0.99);
  Double(Under(opt, "adam"), "lr_adam", 1e-6, 0.1, Scale::LOG);
  Double(Under(opt, "adam"), "gap2", 1e-4, 0.1, Scale::LOG);
  Integer(spec.add_parameters(), "layers", 1, 12);
  auto* schedule = Choice(spec.add_parameters(), "sched", {"const", "cosine"});
  Double(Under(schedule, "cosine"), "warmup", 0, 0.3);
  return spec;
}

double Cond8(const Values& v) {
  double sum = 0.02 * std::abs(v("layers") - 5) / 4;
  sum += v.text("sched") == "const" ? 0.02 : 0.2 * std::pow(v("warmup") - 0.08, 2);
  if (v.text("opt") == "sgd") {
    const double e = std::log10(v("lr_sgd")) + std::log10(1 / (1 - v("momentum")));
    return sum + 0.10 + 0.06 * (1 - std::exp(-0.5 * std::pow(e / 0.4, 2))) +
           0.05 * std::pow(v("momentum") - 0.9, 2);
  }
  return sum + 0.11 +
         0.07 * (1 - std::exp(-0.5 * std::pow((std::log10(v("lr_adam")) + 3.2) / 0.5, 2))) +
         0.01 * std::pow(std::log10(v("gap2")) + 2.5, 2);
}

double Michalewicz(const Values& v) {
  const auto x = Vector(v);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum -= std::sin(x[i]) * std::pow(std::sin((i + 1) * x[i] * x[i] / kPi), 20);
  }
  return sum;
}

double StyblinskiTang(const Values& v) {
  double sum = 0;
  for (const double x : Vector(v)) sum += (std::pow(x, 4) - 16 * x * x + 5 * x) / 2;
  return sum;
}

// A long bent valley turned against the axes, badly scaled.
double Rotated(const Values& v) {
  const auto x = Vector(v);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    double z = 0;
    for (size_t j = 0; j < x.size(); ++j) {
      z += std::cos(1.0 + 3.0 * i + 5.0 * i * j + j) * (x[j] - 0.3 - 0.05 * j);
    }
    sum += std::pow(10, 4.0 * i / (x.size() - 1) - 2) * z * z;
  }
  return sum;
}

// Twelve parameters of which four matter; many integers and choices.
v1::StudySpec Service12Space() {
  v1::StudySpec spec;
  for (const char* id : {"a", "b", "c", "d"}) Integer(spec.add_parameters(), id, 1, 64, Scale::LOG);
  for (const char* id : {"e", "f", "g", "h"}) Choice(spec.add_parameters(), id, {"x", "y", "z"});
  for (const char* id : {"i", "j", "k", "l"}) Double(spec.add_parameters(), id, 0, 1);
  return spec;
}

double Service12(const Values& v) {
  const double batch = std::log2(v("a"));
  const double threads = std::log2(v("b"));
  double latency = 1 + 0.3 * std::pow(batch - 4, 2) + 0.2 * std::pow(threads + batch - 7, 2);
  latency += v.text("e") == "z" ? 0 : 1.5;
  latency += 2 * std::abs(v("i") - 0.72) + 0.05 * v("j") + (v.text("f") == "y" ? 0 : 0.1);
  return latency;
}

Problem BoxProblem(const std::string& name, int dimensions, double low, double high,
                   double (*loss)(const Values&), double minimum) {
  Problem problem{name, Box(dimensions, low, high), loss, 0, minimum};
  return problem;
}

Problem Known(const std::string& name) {
  if (name == "branin") {
    Problem problem{name, {}, Branin, 0, 0.397887};
    Double(problem.spec.add_parameters(), "x0", -5, 10);
    Double(problem.spec.add_parameters(), "x1", 0, 15);
    return problem;
  }
  if (name == "hartmann6") return BoxProblem(name, 6, 0, 1, Hartmann6, -3.322368);
  if (name == "hartmann6n") {
    Problem problem = BoxProblem(name, 6, 0, 1, Hartmann6, -3.322368);
    problem.noise = 0.1;
    return problem;
  }
  if (name == "rosenbrock4") return BoxProblem(name, 4, -5, 10, Rosenbrock, 0);
  if (name == "ackley5s") return BoxProblem(name, 5, -32.768, 32.768, Ackley, 0);
  if (name == "rastrigin5s") return BoxProblem(name, 5, -5.12, 5.12, Rastrigin, 0);
  if (name == "levy5") return BoxProblem(name, 5, -10, 10, Levy, 0);
  if (name == "mixed7") return {name, Mixed7Space(), Mixed7, 0, 0.08};
  if (name == "cond8") return {name, Cond8Space(), Cond8, 0, 0.10};
  if (name == "michalewicz5") return BoxProblem(name, 5, 0, kPi, Michalewicz, -4.687658);
  if (name == "styblinski8") return BoxProblem(name, 8, -5, 5, StyblinskiTang, -313.33);
  if (name == "rotated6") return BoxProblem(name, 6, -1, 1, Rotated, 0);
  if (name == "rosenbrock10") return BoxProblem(name, 10, -2, 2, Rosenbrock, 0);
  if (name == "service12") return {name, Service12Space(), Service12, 0, 1};
  return {};
}

}  // namespace

Values::Values(const std::vector<v1::ParameterValue>& parameters) {
  for (const auto& p : parameters) {
    if (p.value_case() == v1::ParameterValue::kText) {
      texts[p.parameter_id()] = p.text();
    } else {
      numbers[p.parameter_id()] = p.value_case() == v1::ParameterValue::kInteger
                                      ? static_cast<double>(p.integer())
                                      : p.number();
    }
  }
}

Problem MakeProblem(const std::string& name) {
  Problem problem = Known(name);
  auto* metric = problem.spec.add_metrics();
  metric->set_metric_id("loss");
  metric->set_goal(v1::StudySpec::MINIMIZE);
  return problem;
}

const std::vector<Row>& PublicRows() {
  static const auto* const rows = new std::vector<Row>{
      {"branin", 30, 1.46, 0.4103, 0.400},        {"branin", 60, 1.066, 0.3979, kNone},
      {"hartmann6", 60, -1.994, -3.321, -3.321},  {"hartmann6", 100, -2.123, -3.322, -3.3223},
      {"rosenbrock4", 60, 1934, 101, 10},         {"ackley5s", 60, 18.2, 6.556, 4},
      {"rastrigin5s", 60, 43.68, 24.61, 22},      {"levy5", 60, 6.717, 0.8665, 0.3},
      {"mixed7", 60, 0.1383, 0.08041, 0.0802},    {"mixed7", 100, 0.1295, 0.08009, kNone},
      {"hartmann6n", 60, -1.994, -3.243, -3.243}, {"cond8", 60, 0.1212, 0.1105, 0.1025},
  };
  return *rows;
}

const std::vector<Row>& OtherRows() {
  static const auto* const rows = new std::vector<Row>{
      {"michalewicz5", 60, kNone, kNone, kNone}, {"styblinski8", 80, kNone, kNone, kNone},
      {"rotated6", 60, kNone, kNone, kNone},     {"rosenbrock10", 100, kNone, kNone, kNone},
      {"service12", 60, kNone, kNone, kNone},
  };
  return *rows;
}

}  // namespace trainyard::bench
