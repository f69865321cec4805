// Numbers in JSON, which has no NaN and no infinity: they are written as "nan", "inf" and "-inf",
// and null is read as NaN, as some programs write it. One way for all who speak JSON lines.
#ifndef TRAINYARD_COMMON_JSON_NUMBER_H_
#define TRAINYARD_COMMON_JSON_NUMBER_H_

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace trainyard {

// Nothing when the value is no number in any of these ways.
inline std::optional<double> NumberOfJson(const nlohmann::ordered_json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_null()) return std::nan("");
  if (!value.is_string()) return std::nullopt;
  const std::string text = value.get<std::string>();
  const bool negative = !text.empty() && text[0] == '-';
  const std::string word = negative ? text.substr(1) : text;
  if (word == "nan" || word == "NaN") return std::nan("");
  if (word != "inf" && word != "Infinity") return std::nullopt;
  const double infinity = std::numeric_limits<double>::infinity();
  return negative ? -infinity : infinity;
}

inline nlohmann::ordered_json JsonOfNumber(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_JSON_NUMBER_H_
