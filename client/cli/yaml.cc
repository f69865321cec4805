// See yaml.h.
#include "client/cli/yaml.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace trainyard::cli {
namespace {

using Json = nlohmann::ordered_json;

// Whether YAML reads the bare text back as the same string.
bool IsPlain(const std::string& text) {
  if (text.empty()) return false;
  const bool good = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' ||
           c == '/' || c == '+' || c == '=' || c == ' ' || c == '(' || c == ')' || c == ',' ||
           c == ';';
  });
  const char first = text.front();
  if (!good ||
      !(absl::ascii_isalpha(static_cast<unsigned char>(first)) || first == '/' || first == '_')) {
    return false;
  }
  if (text.back() == ' ') return false;
  const std::string lower = absl::AsciiStrToLower(text);
  for (const char* word : {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}) {
    if (lower == word) return false;
  }
  double number = 0;
  return !absl::SimpleAtod(text, &number);  // "inf", "nan"
}

std::string Scalar(const Json& json) {
  if (json.is_string() && IsPlain(json.get<std::string>())) return json.get<std::string>();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool IsLeaf(const Json& json) { return !json.is_structured() || json.empty(); }

void Write(const Json& json, int indent, std::string* out);

// What follows "key:" or "-".
void WriteValue(const Json& json, int indent, bool in_list, std::string* out) {
  if (IsLeaf(json)) {
    absl::StrAppend(out, " ", Scalar(json), "\n");
    return;
  }
  if (in_list && json.is_object()) {  // first key on the line of the dash
    std::string block;
    Write(json, indent, &block);
    absl::StrAppend(out, " ", block.substr(static_cast<size_t>(indent)));
    return;
  }
  *out += "\n";
  Write(json, indent, out);
}

void Write(const Json& json, int indent, std::string* out) {
  const std::string margin(static_cast<size_t>(indent), ' ');
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      absl::StrAppend(out, margin, IsPlain(key) ? key : Json(key).dump(), ":");
      WriteValue(value, value.is_array() ? indent : indent + 2, false, out);
    }
    return;
  }
  for (const Json& value : json) {
    absl::StrAppend(out, margin, "-");
    WriteValue(value, indent + 2, true, out);
  }
}

}  // namespace

std::string YamlOf(const nlohmann::ordered_json& json) {
  if (IsLeaf(json)) return absl::StrCat(Scalar(json), "\n");
  std::string out;
  Write(json, 0, &out);
  return out;
}

}  // namespace trainyard::cli
