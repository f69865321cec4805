// See metric_file.h.
#include "worker/supervisor/metric_file.h"

#include <cmath>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace trainyard::worker {
namespace {

using nlohmann::json;

constexpr size_t kSeenMax = 20000;
constexpr size_t kTagBytesMax = 256;  // as of names reported otherwise
constexpr size_t kBytesMax = 1 << 20;

// The library writes numbers as texts ("0.93", "nan"); numbers are taken too.
bool NumberOf(const json& value, double* to) {
  if (value.is_number()) {
    *to = value.get<double>();
    return true;
  }
  if (!value.is_string()) return false;
  const std::string& text = value.get_ref<const std::string&>();
  char* end = nullptr;
  *to = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0';
}

bool IsBookkeeping(const std::string& key) {
  return key == "timestamp" || key == "trial" || key == "global_step" || key == "checkpoint_path";
}

}  // namespace

void MetricFile::AddLine(const std::string& line, std::vector<MetricLine>* to) {
  // The library's JSON writer prints bare NaN and Infinity only for floats; values are texts.
  const json value = json::parse(line, nullptr, false);
  if (!value.is_object()) return;
  double step = 0;
  double timestamp = 0;
  if (value.contains("global_step")) NumberOf(value["global_step"], &step);
  if (value.contains("timestamp")) NumberOf(value["timestamp"], &timestamp);
  if (!std::isfinite(step) || std::fabs(step) > 9e18) return;
  for (const auto& [tag, text] : value.items()) {
    double number = 0;
    const bool named = !tag.empty() && tag.size() <= kTagBytesMax;
    if (!named || IsBookkeeping(tag) || !NumberOf(text, &number)) continue;
    const std::string key = tag + "\n" + std::to_string(step) + "\n" + std::to_string(timestamp);
    if (seen_before_.count(key) != 0 || !seen_.insert(key).second) continue;
    const bool dated = timestamp > 0 && timestamp < 1e12;
    to->push_back({tag, static_cast<int64_t>(step), number, 0,
                   dated ? static_cast<int64_t>(timestamp * 1e6) : WallMicros()});
  }
}

std::vector<MetricLine> MetricFile::NewPoints(const std::string& text, bool complete) {
  std::vector<MetricLine> points;
  std::unordered_set<size_t> lines;
  for (size_t start = 0; start < text.size();) {
    size_t end = text.find('\n', start);
    if (end == std::string::npos) {
      if (!complete) break;
      end = text.size();
    }
    // Most lines were there at the last look already: they are not parsed again.
    const size_t hash = std::hash<std::string_view>{}({text.data() + start, end - start});
    if (lines.insert(hash).second && lines_.count(hash) == 0) {
      AddLine(text.substr(start, end - start), &points);
    }
    start = end + 1;
  }
  lines_ = std::move(lines);
  if (seen_.size() > kSeenMax) {
    seen_before_ = std::move(seen_);
    seen_.clear();
  }
  return points;
}

std::vector<MetricLine> MetricFile::Read(const std::string& path, bool complete) {
  // The library keeps its last hundred reports; whoever appends for ever is read from the end.
  std::string text = ReadTail(path, kBytesMax);
  if (text.size() == kBytesMax) text.erase(0, text.find('\n') + 1);
  return NewPoints(text, complete);
}

}  // namespace trainyard::worker
