// See context.h.
#include "sim/run/context.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace trainyard::sim {
namespace {

constexpr double kPointProbability = 0.0005;

}  // namespace

Context::Context(const Options& options)
    : options_(options), random_(MixSeed(options.seed, 0x7261696e)) {
  for (const Fault fault : options.faults) enabled_[static_cast<size_t>(fault)] = true;
}

bool Context::Strikes(Fault fault, double probability) {
  if (!Enabled(fault) || random_.Uniform() >= probability) return false;
  Count(fault);
  return true;
}

Context::Strike Context::StrikesAt(const char* point, Fault crash, Fault hang) {
  if (!Enabled(crash) && !Enabled(hang)) return Strike::kNone;
  auto& [passed, struck] = points_[point];
  ++passed;
  const double dice = random_.Uniform();
  if (dice >= 2 * kPointProbability) return Strike::kNone;
  const Fault fault = dice < kPointProbability ? crash : hang;
  if (!Enabled(fault)) return Strike::kNone;
  ++struck;
  Count(fault);
  Note(point, -1);
  return fault == crash ? Strike::kCrash : Strike::kHang;
}

std::map<std::string, std::pair<uint64_t, uint64_t>> Context::points() const {
  std::map<std::string, std::pair<uint64_t, uint64_t>> points;
  for (const auto& [point, count] : points_) {
    // One place may have several addresses.
    auto& [passed, struck] = points[point];
    passed += count.first;
    struck += count.second;
  }
  return points;
}

void Context::Note(const char* what, int64_t node, uint64_t a, uint64_t b) {
  remarks_[next_remark_++ % kRemarks] = {queue_.now_us(), what, node, a, b};
  queue_.Mix(a * 31 + b * 17 + static_cast<uint64_t>(node));
}

std::vector<std::string> Context::LastNotes() const {
  std::vector<std::string> lines;
  for (uint64_t i = next_remark_ < kRemarks ? 0 : next_remark_ - kRemarks; i < next_remark_; ++i) {
    const Remark& remark = remarks_[i % kRemarks];
    std::string line =
        absl::StrFormat("%14.6f s  %s", static_cast<double>(remark.time_us) / 1e6, remark.what);
    if (remark.node >= 0) absl::StrAppend(&line, " node=n", remark.node);
    if (remark.a != 0 || remark.b != 0) absl::StrAppend(&line, " ", remark.a);
    if (remark.b != 0) absl::StrAppend(&line, "/", remark.b);
    lines.push_back(std::move(line));
  }
  return lines;
}

void Context::Violate(const std::string& what) {
  if (violation_.has_value()) return;
  violation_ = Violation{what, queue_.now_us()};
}

std::string NodeName(int node) { return absl::StrCat("n", node); }

int64_t Exponential(Random* random, double mean_us) {
  return static_cast<int64_t>(-mean_us * std::log(1 - random->Uniform()));
}

}  // namespace trainyard::sim
